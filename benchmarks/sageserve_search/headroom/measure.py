"""`measure`: the figures of some days of a scenario, from the least fleet to the relaxation."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sageserve_agents import make_agent
from sageserve_bench.analysis.targets import Targets
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.bound import fluid_bound_usd
from sageserve_search.headroom.least import least_fleet_usd
from sageserve_search.headroom.plan import Plan
from sageserve_search.headroom.playing import Day, Played
from sageserve_search.headroom.search import Search
from sageserve_search.headroom.worth import frozen, knobs_of, worth

STATIC, RULE, PLANNER, PERFECT, LEARNED = "static", "rule", "planner", "perfect", "learned"
KINDS = (STATIC, RULE, PLANNER, PERFECT, LEARNED)
RIVAL, INFORMED = "rival", "informed"  # the best that knows no future; that or the best that does


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
        plays: Plays of each day.
        frozen: Knobs that are not edited.
        adapting: Plays in which the best plan adapts to each knob that is put back; 0 for none.
    """

    plays: int = 200
    frozen: tuple[str, ...] = ()
    adapting: int = 0


Told = Callable[[str], None]
Plays = dict[str, tuple[Played, Plan]]


def measure(
    scenario: Scenario,
    seeds: Sequence[int],
    cast: Cast,
    budget: Budget,
    folder: Path | None = None,
    told: Told = lambda line: None,
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each seed, as plain values.

    First all agents play all days. Of each kind the best is the cheapest that attains on average,
    and the rival is the cheapest of those that know no future. Then every day is searched for the
    cheapest plan that serves as well as the rival does on that day. Every finished agent and the
    state of every search are kept in ``folder``, so that an interrupted job goes on.

    Args:
        scenario: The cluster.
        seeds: Of the days.
        cast: Who plays; searches start from their plans.
        budget: Of each search.
        folder: Where to keep what is finished; None keeps nothing.
        told: Is given a line now and then.
    """
    targets = Targets.of(scenario)
    plays = {seed: _agents(scenario, seed, cast, targets, folder, told) for seed in seeds}

    def best(specs: Iterable[str | None]) -> str | None:
        named = [spec for spec in specs if spec is not None]
        return best_of({spec: [plays[s][spec][0] for s in seeds] for spec in named}, targets)

    chosen = {kind: best(specs) for kind, specs in cast.agents.items()}
    rival = best(chosen.get(kind) for kind in (RULE, PLANNER, LEARNED))
    chosen |= {RIVAL: rival, INFORMED: best((rival, chosen.get(PERFECT)))}
    for seed in seeds:
        yield _day(scenario, seed, (cast, chosen, plays[seed]), budget, folder, told)


def best_of(tried: Mapping[str, Sequence[Played]], targets: Targets) -> str | None:
    """Return the agent that is cheapest of those that attain on average over the days.

    Where none does, the one that is least below; None of no agents.
    """

    def rank(spec: str) -> tuple[bool, float]:
        means = targets.means([played.metrics for played in tried[spec]])
        margin = targets.margin(means)
        return margin < 0, -margin if margin < 0 else means["cost_usd"]

    return min(tried, key=rank, default=None)


def _agents(
    scenario: Scenario, seed: int, cast: Cast, targets: Targets, folder: Path | None, told: Told
) -> Plays:
    """Let all agents play a day."""
    day, plays = Day(scenario, seed), Plays()
    try:
        for spec in dict.fromkeys(s for specs in cast.agents.values() for s in specs):
            plays[spec] = _agent(day, spec, folder)
            told(f"seed {seed}: {spec}: {service_of(plays[spec][0], targets)}")
    finally:
        day.close()
    return plays


def _day(
    scenario: Scenario,
    seed: int,
    played: tuple[Cast, Mapping[str, str | None], Plays],
    budget: Budget,
    folder: Path | None,
    told: Told,
) -> dict[str, Any]:
    """Return the figures of a day whose agents have played."""
    cast, chosen, plays = played
    targets = Targets.of(scenario)
    figures: dict[str, Any] = {"seed": seed, "least_fleet_usd": least_fleet_usd(scenario)}
    for kind in KINDS:
        every = {s: service_of(plays[s][0], targets) for s in cast.agents.get(kind, ())}
        spec = chosen.get(kind)
        figures[kind], figures[f"{kind}_all"] = spec, every
        figures[f"{kind}_usd"] = None if spec is None else every[spec]["cost_usd"]
        figures[f"{kind}_service"] = None if spec is None else every[spec]
    for who in (RIVAL, INFORMED):
        spec = chosen[who]
        figures[who] = spec
        figures[f"{who}_usd"] = None if spec is None else plays[spec][0].metrics["cost_usd"]
    rival, wanted = chosen[RIVAL], targets
    if rival is not None:
        wanted = targets.as_good_as(targets.means([plays[rival][0].metrics]))
    figures["asked"] = wanted.to_dict()

    def file(*words: str) -> Path | None:
        key = _key(scenario, seed, str(wanted.to_dict()), *sorted(plays))
        return None if folder is None else folder / ("-".join(["search", key, *words]) + ".pickle")

    day = Day(scenario, seed)

    def say(line: str) -> None:
        told(f"seed {seed}: {line}")

    try:
        starts = [(plan, one) for one, plan in plays.values()]
        search = Search(day, starts, targets=wanted, frozen=budget.frozen, told=say)
        best = search.run(budget.plays, file(*budget.frozen))
        figures["hindsight_usd"] = None if best is None else best.cost_usd
        figures["hindsight_service"] = None if best is None else best.service
        figures["hindsight_plays"] = search.state.plays
        figures["knobs"] = None if best is None else worth(day, best)
        figures["frozen"] = None
        if best is not None and budget.adapting:
            figures["frozen"] = {
                knob: frozen(
                    day,
                    best,
                    knob,
                    wanted,
                    budget.adapting,
                    file(f"{budget.plays}", "without", knob),
                    say,
                )
                for knob in knobs_of(scenario)
            }
        figures["bound_usd"] = fluid_bound_usd(day.workload)
    finally:
        day.close()
    return figures | ratios(figures)


def ratios(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return headroom and what of it a perfect forecast leaves, as shares of the hindsight bill."""
    least = figures["hindsight_usd"]
    if least is None or figures[f"{RIVAL}_usd"] is None:
        return {"headroom": None, "headroom_decision": None}
    return {
        "headroom": figures[f"{RIVAL}_usd"] / least - 1.0,
        "headroom_decision": figures[f"{INFORMED}_usd"] / least - 1.0,
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
