"""`measure`: the figures of one seed of a scenario, from the least fleet to the relaxation."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sageserve_agents import make_agent
from sageserve_bench.headroom.bound import fluid_bound_usd
from sageserve_bench.headroom.least import least_fleet_usd
from sageserve_bench.headroom.plan import Plan
from sageserve_bench.headroom.playing import Day, Played
from sageserve_bench.headroom.search import Search
from sageserve_bench.headroom.worth import worth
from sageserve_bench.targets import Targets
from sageserve_env.scenario import Scenario

STATIC, RULE, PLANNER, PERFECT, LEARNED = "static", "rule", "planner", "perfect", "learned"
KINDS = (STATIC, RULE, PLANNER, PERFECT, LEARNED)


@dataclass(frozen=True)
class Cast:
    """The agents that are asked, by what they stand for in the report."""

    agents: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {
            STATIC: ("static",),
            RULE: ("reactive", "hpa", "kpa"),
            PLANNER: ("staffing", "ilp", "mpc"),
            PERFECT: ("oracle", "ilp:forecaster=perfect"),
            LEARNED: (),
        }
    )


@dataclass(frozen=True)
class Budget:
    """What a search may use, and what it leaves alone.

    Attributes:
        plays: Plays of the day.
        frozen: Knobs that are not edited.
    """

    plays: int = 200
    frozen: tuple[str, ...] = ()


def measure(
    scenario: Scenario,
    seed: int,
    cast: Cast,
    budget: Budget,
    folder: Path | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Return the figures of a seed, as plain values.

    Every finished agent and the state of the search are kept in ``folder``, so that an interrupted
    job goes on.

    Args:
        scenario: The cluster.
        seed: Of the day.
        cast: Who plays; a search starts from their plans.
        budget: Of the search.
        folder: Where to keep what is finished; None keeps nothing.
        told: Is given a line now and then.
    """
    day, targets = Day(scenario, seed), Targets.of(scenario)
    figures: dict[str, Any] = {"seed": seed, "least_fleet_usd": least_fleet_usd(scenario)}
    starts: list[tuple[Plan, Played]] = []
    try:
        for kind in KINDS:
            tried: dict[str, Played] = {}
            for spec in cast.agents.get(kind, ()):
                played, plan = _agent(day, spec, folder)
                tried[spec] = played
                starts.append((plan, played))
                told(f"seed {seed}: {spec}: {service_of(played, targets)}")
            figures.update(_best(kind, tried, targets))
        search = Search(day, starts, frozen=budget.frozen, told=lambda x: told(f"seed {seed}: {x}"))
        key = _key(scenario, seed, *sorted(s for specs in cast.agents.values() for s in specs))
        name = "-".join(["search", key, *budget.frozen]) + ".pickle"
        best = search.run(budget.plays, None if folder is None else folder / name)
        figures["hindsight_usd"] = None if best is None else best.cost_usd
        figures["hindsight_service"] = None if best is None else best.service
        figures["hindsight_plays"] = search.state.plays
        figures["knobs"] = None if best is None else worth(day, best.plan, best.played, best.price)
        figures["bound_usd"] = fluid_bound_usd(day.workload)
    finally:
        day.close()
    return figures | ratios(figures)


def ratios(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return headroom and what of it a perfect forecast leaves, as shares of the hindsight bill."""
    usual = [figures[f"{kind}_usd"] for kind in (RULE, PLANNER, LEARNED)]
    usual = [usd for usd in usual if usd is not None]
    informed = [*usual, *([figures["perfect_usd"]] if figures["perfect_usd"] else [])]
    least = figures["hindsight_usd"]
    if least is None or not usual:
        return {"headroom": None, "headroom_decision": None}
    return {
        "headroom": min(usual) / least - 1.0,
        "headroom_decision": min(informed) / least - 1.0,
    }


def service_of(played: Played, targets: Targets) -> dict[str, Any]:
    """Return cost, return and attainment of a play, and the targets it misses."""
    metrics = played.metrics
    names = ("cost_usd", *targets.floors, "tpot_p95_iwf", "unfinished", "refused")
    found: dict[str, Any] = {name: _number(metrics[name]) for name in names if name in metrics}
    found["returned_usd"] = played.returned_usd
    found["misses"] = list(targets.misses(targets.means([metrics])))
    return found


def _number(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _best(kind: str, tried: Mapping[str, Played], targets: Targets) -> dict[str, Any]:
    """Return name, cost and service of the best agent of a kind.

    The cheapest of those that attain; where none does, the one that is least below.
    """
    if not tried:
        return {kind: None, f"{kind}_usd": None, f"{kind}_service": None, f"{kind}_all": {}}
    every = {spec: service_of(played, targets) for spec, played in tried.items()}

    def rank(spec: str) -> tuple[bool, float]:
        margin = targets.margin(targets.means([tried[spec].metrics]))
        fails = margin < 0
        return fails, -margin if fails else every[spec]["cost_usd"]

    spec = min(tried, key=rank)
    return {
        kind: spec,
        f"{kind}_usd": every[spec]["cost_usd"],
        f"{kind}_service": every[spec],
        f"{kind}_all": every,
    }


def _agent(day: Day, spec: str, folder: Path | None) -> tuple[Played, Plan]:
    """Let an agent play, or take what it did from the folder."""
    name = f"agent-{_key(day.scenario, day.seed, spec)}.pickle"
    file = None if folder is None else folder / name
    if file is not None and file.exists():
        found: tuple[Played, Plan] = pickle.loads(file.read_bytes())
        return found
    result = day.play_agent(make_agent(spec, scenario=day.scenario), spec)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(result))
    return result


def _key(scenario: Scenario, seed: int, *words: str) -> str:
    text = repr((scenario.config_hash, seed, words))
    return f"{seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
