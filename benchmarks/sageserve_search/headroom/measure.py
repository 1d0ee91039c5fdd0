"""`measure`: the figures of some days of a scenario, from the least fleet to the relaxation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sageserve_agents import make_agent
from sageserve_agents.registry import calibrated_options, parse_spec
from sageserve_bench.analysis.targets import Targets
from sageserve_bench.runs.pools import Backend
from sageserve_bench.runs.tasks import content_of_files
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.ablation import ablated
from sageserve_search.headroom.bound import fluid_bound_usd
from sageserve_search.headroom.least import least_fleet_usd
from sageserve_search.headroom.parts import read_part, write_part
from sageserve_search.headroom.plan import Array, Plan, write_plans
from sageserve_search.headroom.playing import Day, Played
from sageserve_search.headroom.redrawn import redrawn
from sageserve_search.headroom.search import Best, Search, figures
from sageserve_search.headroom.starts import found_before, neighbours, opening_share, price_before
from sageserve_search.headroom.sweep import Helpers
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
            RULE: ("reactive", "hpa", "kpa", "pooled"),
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
        adapting: Plays of each day in which the best plan adapts to each knob that is put back;
            0 for none.
        adapted: Knobs that are put back for that; empty for all.
        agent_probes: Values of the service knob at which the best agent plays without each knob;
            0 for none.
        redraws: How often agents and plans play the days with other requests.
        published: File of plans of these days (`write_plans`) with which the search begins too.
        backend: Processes among which the days of a sweep are divided.
    """

    plays: int = 200
    frozen: tuple[str, ...] = ()
    adapting: int = 0
    adapted: tuple[str, ...] = ()
    agent_probes: int = 0
    redraws: int = 0
    published: Path | None = None
    backend: Backend = field(default_factory=Backend)


Told = Callable[[str], None]
Plays = dict[str, tuple[Played, Plan]]


def measure(
    scenario: Scenario,
    seeds: Sequence[int],
    cast: Cast,
    budget: Budget,
    folder: Path | None = None,
    told: Told = lambda line: None,
    plans: Path | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the figures of each seed, and those of all days together, as plain values.

    First all agents play all days. Of each kind the best is the cheapest that attains on average,
    and the rival is the cheapest of those that know no future. Then the days are searched for the
    cheapest plans that on average serve as well as the rival does. Every finished agent and the
    state of the search are kept in ``folder``, so that an interrupted job goes on.

    Args:
        scenario: The cluster.
        seeds: Of the days.
        cast: Who plays. The search begins with their plans, and with those of the rival at other
            values of its service knob.
        budget: Of the search.
        folder: Where to keep what is finished; None keeps nothing.
        told: Is given a line now and then.
        plans: File to which the plans are written that were found (`read_plan`).

    Raises:
        UserError: If there is no plan of a day in ``budget.published``, or a process of the search
            dies again and again.
    """
    targets = Targets.of(scenario)
    days = [Day(scenario, seed) for seed in seeds]
    try:
        before, content, price = [], [], None
        if budget.published is not None:  # all now: the file may change while agents play
            content = [hashlib.sha256(budget.published.read_bytes()).hexdigest()]
            before = [found_before(budget.published, day.seed, scenario) for day in days]
            price = price_before(budget.published, scenario)
        plays = [_agents(day, cast, targets, folder, told) for day in days]

        def best(specs: Iterable[str | None]) -> str | None:
            named = [spec for spec in specs if spec is not None]
            return best_of({spec: [one[spec][0] for one in plays] for spec in named}, targets)

        chosen = {kind: best(specs) for kind, specs in cast.agents.items()}
        rival = best(chosen.get(kind) for kind in (RULE, PLANNER, LEARNED))
        wanted = least = targets
        if rival is not None:
            means = targets.means([one[rival][0].metrics for one in plays])
            wanted = targets.as_good_as(means)
            least = wanted if targets.misses(means) else targets
        informed, perfect = best((rival, chosen.get(PERFECT))), chosen.get(PERFECT)
        if perfect and least.misses(targets.means([one[perfect][0].metrics for one in plays])):
            informed = None  # what it would cost at that service is not known
        chosen |= {RIVAL: rival, INFORMED: informed}
        rows = [_row(day, cast, chosen, one, targets) for day, one in zip(days, plays, strict=True)]
        share = None
        beside = [] if rival is None else neighbours(rival, scenario)
        for spec in beside:
            told(f"search begins with: {spec}")
            for day, one in zip(days, plays, strict=True):
                one[spec] = _agent(day, spec, folder)
        if rival is not None and beside:
            turned = [[one[spec][0] for one in plays] for spec in (rival, *beside)]
            share = opening_share(turned, scenario)
        terms = Terms(wanted, budget, before, content, price, share)
        found, searched = _search(days, plays, rows, terms, folder, told)
        if plans is not None and searched is not None:
            found_plans = {d.seed: one[0] for d, one in zip(days, searched.days, strict=True)}
            write_plans(plans, found_plans, searched.price)
        found["agent_frozen"] = None
        if rival is not None and budget.agent_probes:
            found["agent_frozen"] = ablated(
                days,
                rival,
                [one[rival][0] for one in plays],
                budget.agent_probes,
                lambda day, spec, knob: _kept(day, spec, folder, "without", knob),
                told,
                budget.backend,
            )
        return rows, found
    finally:
        for day in days:
            day.close()


def best_of(tried: Mapping[str, Sequence[Played]], targets: Targets) -> str | None:
    """Return the agent that is cheapest of those that attain on average over the days.

    Where none does, the one that is least below; None of no agents.
    """

    def rank(spec: str) -> tuple[bool, float]:
        means = targets.means([played.metrics for played in tried[spec]])
        margin = targets.margin(means)
        return margin < 0, -margin if margin < 0 else means["cost_usd"]

    return min(tried, key=rank, default=None)


def _agents(day: Day, cast: Cast, targets: Targets, folder: Path | None, told: Told) -> Plays:
    """Let all agents play a day."""
    plays = Plays()
    for spec in dict.fromkeys(s for specs in cast.agents.values() for s in specs):
        plays[spec] = _agent(day, spec, folder)
        told(f"seed {day.seed}: {spec}: {service_of(plays[spec][0], targets)}")
    return plays


def _row(
    day: Day, cast: Cast, chosen: Mapping[str, str | None], plays: Plays, targets: Targets
) -> dict[str, Any]:
    """Return the figures of a day whose agents have played."""
    row: dict[str, Any] = {"seed": day.seed, "least_fleet_usd": least_fleet_usd(day.scenario)}
    for kind in KINDS:
        every = {s: service_of(plays[s][0], targets) for s in cast.agents.get(kind, ())}
        spec = chosen.get(kind)
        row[kind], row[f"{kind}_all"] = spec, every
        row[f"{kind}_usd"] = None if spec is None else every[spec]["cost_usd"]
        row[f"{kind}_service"] = None if spec is None else every[spec]
    for who in (RIVAL, INFORMED):
        spec = chosen[who]
        row[who] = spec
        row[f"{who}_usd"] = None if spec is None else plays[spec][0].metrics["cost_usd"]
    row["bound_usd"] = fluid_bound_usd(day.workload)
    return row


@dataclass(frozen=True)
class Terms:
    """What a search is held to and begins with.

    Attributes:
        wanted: What the plans have to attain.
        budget: What it may use.
        before: Of each day the plan found before; empty without any.
        content: Hash of the file they were read from; empty without any.
        price: What a miss was charged when they were found, [M, K]; None if not known.
        share: What a miss is charged at first, over the scenario's charge; None if not known.
    """

    wanted: Targets
    budget: Budget
    before: Sequence[Plan]
    content: Sequence[str]
    price: Array | None
    share: float | None


def _search(
    days: Sequence[Day],
    plays: Sequence[Plays],
    rows: Sequence[dict[str, Any]],
    terms: Terms,
    folder: Path | None,
    told: Told,
) -> tuple[dict[str, Any], Best | None]:
    """Search the days; adds to their rows what was found, and returns what is of all of them."""
    wanted, budget = terms.wanted, terms.budget
    seeds = [day.seed for day in days]

    def file(*words: str) -> Path | None:
        specs, scenario = sorted(plays[0]), days[0].scenario
        known = [str(_options(spec, scenario)) for spec in specs]
        contents = [*known, *_contents(specs, scenario)]
        contents += terms.content
        key = _key(scenario, seeds, str(wanted.to_dict()), *specs, *contents)
        return None if folder is None else folder / ("-".join(["sweeps", key, *words]) + ".pickle")

    starts = [[(plan, played) for played, plan in one.values()] for one in plays]
    for day, plan, some in zip(days, terms.before, starts, strict=bool(terms.before)):
        some.append((plan, day.play(plan)))
    helpers = Helpers(budget.backend, tuple(plays[0]))
    search = Search(
        days,
        starts,
        targets=wanted,
        price=terms.price,
        share=terms.share,
        frozen=budget.frozen,
        told=told,
        helpers=helpers,
    )
    best = search.run(budget.plays, file(*budget.frozen))
    for d, row in enumerate(rows):
        played = None if best is None else best.days[d][1]
        row["hindsight_usd"] = None if played is None else float(played.metrics["cost_usd"])
        row["hindsight_service"] = None if played is None else figures(played.metrics)
    found: dict[str, Any] = {
        "asked": wanted.to_dict(),
        "hindsight_plays": round(search.state.plays),
    }
    found["knobs"] = None if best is None else worth(days, best)
    found["redrawn"] = found["frozen"] = None
    if best is not None and budget.redraws:
        rivals = {"headroom": rows[0][RIVAL], "headroom_decision": rows[0][INFORMED]}
        found["redrawn"] = redrawn(days, best, rivals, budget.redraws)
    if best is not None and budget.adapting:
        found["frozen"] = {
            knob: frozen(
                days,
                best,
                knob,
                wanted,
                budget.adapting,
                [[plan for _, plan in one.values()] for one in plays],
                file(f"{budget.plays}", "without", knob),
                told,
                helpers,
            )
            for knob in budget.adapted or knobs_of(days[0].scenario)
        }
    return found, best


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
    file = _kept(day, spec, folder)
    found = read_part(file, tuple)
    if found is not None:
        return found
    result = day.play_agent(make_agent(spec, scenario=day.scenario), spec)
    write_part(file, result)
    return result


def _kept(day: Day, spec: str, folder: Path | None, *terms: str) -> Path | None:
    """Return the file of what an agent does on a day, on some terms."""
    words = (spec, str(_options(spec, day.scenario)), *_contents([spec], day.scenario), *terms)
    name = f"agent-{_key(day.scenario, [day.seed], *words)}.pickle"
    return None if folder is None else folder / name


def _options(spec: str, scenario: Scenario) -> list[tuple[str, Any]]:
    """Return the calibrated options behind a name."""
    return sorted(calibrated_options(parse_spec(spec)[0], scenario).items())


def _contents(specs: Sequence[str], scenario: Scenario) -> list[str]:
    """Return what stands in the files of users that are named; nothing for the package's names."""
    found = {spec: content_of_files(spec, scenario) for spec in specs}
    return [f"{spec} {content}" for spec, content in found.items() if content]


def _key(scenario: Scenario, seeds: Sequence[int], *words: str) -> str:
    text = repr((scenario.config_hash, tuple(seeds), words))
    return f"{seeds[0]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
