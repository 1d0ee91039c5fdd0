"""What each knob is worth: the best plan found, with one knob put back to its neutral value.

The plan then costs something else and misses more. Misses are charged at the prices that the search
ended with, which are what the last points of service cost to buy back, so that both sides are
compared at the same service. Nothing else in the plan adapts: a search with the knob frozen
(``--freeze``) gives what is left when it does.
"""

from __future__ import annotations

import numpy as np

from sageserve_bench.headroom.plan import Plan, neutral_of
from sageserve_bench.headroom.playing import Day, Floats, Played, value
from sageserve_env.scenario import Scenario

KNOBS = {
    "routing": ("routing", "router_weights"),
    "batch": ("niw_release",),
    "admission": ("admission",),
}
HARDWARE = "hardware"
_MANY = 1000


def worth(day: Day, plan: Plan, played: Played, price: Floats) -> dict[str, float]:
    """Return by how much the bill rises at equal service without each knob, as a share.

    Args:
        day: The day.
        plan: The best plan.
        played: What it comes to.
        price: Of a miss by model and tier, [M, K].
    """
    before = value(played, price)
    found = {}
    for word, names in KNOBS.items():
        changed = plan.copy()
        for name in set(names) & set(changed.arrays):
            changed.arrays[name][:] = neutral_of(name, day.scenario, plan.names)
        found[word] = (value(day.play(changed), price) - before) / float(played.usd.sum())
    if len(day.scenario.gpus) > 1:
        alone = Day(one_type(day.scenario), day.seed)
        try:
            changed = on_one_type(plan, day)
            found[HARDWARE] = (value(alone.play(changed), price) - before) / float(played.usd.sum())
        finally:
            alone.close()
    return found


def one_type(scenario: Scenario) -> Scenario:
    """Return the scenario with as many VMs of the neutral types as anybody may want."""
    types = {scenario.gpus[g] for g in neutral_types(scenario)}
    regions = tuple(
        {
            "name": r.name,
            "vms": {**r.vms, **{g: _MANY for g in types if g in r.vms}},
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
