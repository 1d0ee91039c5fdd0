"""What each knob is worth: the best plan found, with one knob put back to its neutral value.

At first nothing else adapts. The plan then costs something else and misses more; misses are charged
at the prices that the search ended with, which are what the last points of service cost to buy
back, so that both sides are compared at the same service. Then a search without the knob goes on
from there until the plan attains again (`frozen`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from sageserve_bench.analysis.targets import Targets
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.plan import Plan, neutral_of
from sageserve_search.headroom.playing import Day, value
from sageserve_search.headroom.search import Best, Search
from sageserve_search.headroom.sweep import Helpers

ROUTING = "routing"
KNOBS = {
    ROUTING: ("routing", "router_weights"),
    "batch": ("niw_release",),
    "admission": ("admission",),
}
HARDWARE = "hardware"
_MANY = 1000


def knobs_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the knobs beside scaling that a scenario has."""
    return (*KNOBS, *((HARDWARE,) if len(scenario.gpus) > 1 else ()))


def worth(days: Sequence[Day], best: Best) -> dict[str, float]:
    """Return by how much the bill rises at equal service without each knob, as a share.

    Args:
        days: The days.
        best: Their best plans.
    """
    bill = sum(float(played.usd.sum()) for _, played in best.days)
    found = {}
    for knob in knobs_of(days[0].scenario):
        more = 0.0
        for day, (plan, played) in zip(days, best.days, strict=True):
            with without(day, knob) as other:
                back = other.play(put_back(plan, day, knob))
            more += value(back, best.price) - value(played, best.price)
        found[knob] = more / bill
    return found


def frozen(
    days: Sequence[Day],
    best: Best,
    knob: str,
    targets: Targets,
    plays: int,
    others: Sequence[Sequence[Plan]] = (),
    file: Path | None = None,
    told: Callable[[str], None] = lambda line: None,
    helpers: Helpers | None = None,
) -> float | None:
    """Return by how much the bill rises when all but one knob adapt, as a share.

    Args:
        days: The days.
        best: Their best plans with all knobs.
        knob: What is put back to its neutral value.
        targets: What has to be attained on average.
        plays: Plays of each day in which the plans adapt.
        others: Of each day plans of agents; with the knob put back the search begins with them too.
        file: Where the search is kept.
        told: Is given a line now and then.
        helpers: Processes among which the days are divided; None for this one.

    Returns:
        The share; None if no plans without the knob attain.

    Raises:
        UserError: If a helper dies again and again.
    """
    with ExitStack() as stack:
        entered = [stack.enter_context(without(day, knob)) for day in days]
        more = others or [()] * len(days)
        plans = [[one[0], *some] for one, some in zip(best.days, more, strict=True)]
        starts = [
            [(back, other.play(back)) for back in (put_back(plan, day, knob) for plan in some)]
            for other, day, some in zip(entered, days, plans, strict=True)
        ]
        search = Search(
            entered,
            starts,
            targets=targets,
            price=best.price,
            frozen=(knob,),
            told=lambda line: told(f"without {knob}: {line}"),
            helpers=helpers,
        )
        found = search.run(plays, file)
    return None if found is None else found.cost_usd / best.cost_usd - 1.0


@contextmanager
def without(day: Day, knob: str) -> Iterator[Day]:
    """Give the day on which a knob is at its neutral value.

    Without a choice of hardware every model has as many VMs of its neutral type as it wants.
    """
    if knob != HARDWARE:
        yield day
        return
    alone = Day(one_type(day.scenario), day.seed)
    try:
        yield alone
    finally:
        alone.close()


def put_back(plan: Plan, day: Day, knob: str) -> Plan:
    """Return the plan with a knob at its neutral value, for routing with the scenario's router."""
    if knob == HARDWARE:
        return on_one_type(plan, day)
    names, arrays = dict(plan.names), dict(plan.copy().arrays)
    if knob == ROUTING:
        names["router"] = day.scenario.routing.router
        arrays.pop("router_weights", None)
    for name in KNOBS[knob]:
        if name != "router_weights" or ROUTERS.spec(names["router"]).weights:
            neutral = neutral_of(name, day.scenario, names)
            arrays[name] = np.repeat(neutral[None], len(plan), axis=0)
    return Plan(names, arrays)


def one_type(scenario: Scenario) -> Scenario:
    """Return the scenario with the neutral types alone, as many VMs as anybody may want."""
    vms = {scenario.gpus[g]: _MANY for g in sorted(set(neutral_types(scenario)))}
    regions = tuple(
        {
            "name": r.name,
            "vms": vms,
            "price_factor": r.price_factor,
            "resident": r.resident,
        }
        for r in scenario.regions
    )
    return scenario.replace(regions=regions)


def neutral_types(scenario: Scenario) -> list[int]:
    """Return the VM type of each model where no mix is decided: the first that it runs on."""
    return [int(np.argmax(row)) for row in scenario.compatible]


def on_one_type(plan: Plan, day: Day) -> Plan:
    """Return the plan with every instance on its model's neutral type, as many as serve as much."""
    scenario, theta = day.scenario, day.workload.theta()
    changed = plan.copy()
    types = neutral_types(scenario)
    for e, endpoint in enumerate(scenario.endpoints):
        m = scenario.models.index(endpoint.model)
        power = plan.arrays["instances"][:, e] @ np.where(scenario.compatible[m], theta[m], 0.0)
        counts = np.ceil(power / theta[m, types[m]] - 1e-9).astype(np.int64)
        changed.arrays["instances"][:, e] = 0
        changed.arrays["instances"][:, e, types[m]] = counts
    return changed
