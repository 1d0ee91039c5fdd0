"""What rows come to: statistics per agent, who is cheapest at the targets, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.episode import SETTLED_S
from sageserve_bench.rows import Row
from sageserve_bench.statistics import Estimate, estimate, improvement, mean, paired, pareto_front
from sageserve_bench.targets import Targets, most_unfinished, target_label
from sageserve_bench.wording import counted
from sageserve_env.scenario import Scenario

DAY_S = 86_400.0
DAYS_PER_MONTH = 365.25 / 12
SEED = 20_250_601
"""Of the bootstrap, so that a report comes out the same when it is rebuilt."""

SAME = 0.01
"""Costs that differ by less than this share are called practically the same (A): prices and traffic
of a real cluster are not known better."""

PER_DAY = {"cost_per_day_usd": "cost_usd", "gpu_hours_per_day": "gpu_hours"}
"""Figures that are columns of the table, per day of the horizon."""

FIGURES = (
    "cost_per_day_usd",
    "gpu_hours_per_day",
    "vms",
    "vms_peak",
    "gpu_hours",
    "slo_iwf",
    "slo_iwn",
    "slo_niw",
    "slo_worst_model",
    "ttft_p95_iwf",
    "e2e_p95_iwf",
    "scaling_waste_gpu_hours",
    "scale_outs",
    "spot_hours",
    "reward",
    "score",
    "decision_ms",
    "planner_failures",
    "unfinished",
)


@dataclass(frozen=True)
class AgentOutcome:
    """An agent over all its runs.

    Attributes:
        agent: Its specification.
        clairvoyant: Whether it was told the future.
        runs: How many.
        figures: Interquartile means with intervals, by metric.
        means: Plain means, by metric.
        misses: Targets that the mean misses, as text; empty if it attains all.
    """

    agent: str
    clairvoyant: bool
    runs: int
    figures: Mapping[str, Estimate]
    means: Mapping[str, float]
    misses: tuple[str, ...]

    @property
    def attains(self) -> bool:
        """Whether every target is attained on average."""
        return not self.misses

    @property
    def cost_per_day_usd(self) -> float:
        """Mean dollars per day."""
        return self.means["cost_per_day_usd"]


@dataclass(frozen=True)
class Outcome:
    """What the rows of a comparison say.

    Attributes:
        agents: In the order of the table.
        targets: Share of requests that must attain, by column.
        verdict: The answer in plain words.
        pairs: Statistics of each agent against the cheapest that attains.
        front: Agents on the cost-service front.
    """

    agents: tuple[AgentOutcome, ...]
    targets: Mapping[str, float]
    verdict: tuple[str, ...]
    pairs: Mapping[str, Mapping[str, Estimate]]
    front: tuple[str, ...]


def targets_of(scenario: Scenario) -> dict[str, float]:
    """Return the least share of requests within the objective, by column of the table."""
    return dict(Targets.of(scenario).floors)


def conclude(rows: Sequence[Row], targets: Mapping[str, float]) -> Outcome:
    """Return statistics, front and verdict of finished rows."""
    rng = np.random.default_rng(SEED)
    names = list(dict.fromkeys(str(row["agent"]) for row in rows))
    agents = tuple(_agent(name, rows, targets, rng) for name in names)
    fair = [a for a in agents if not a.clairvoyant]
    good = sorted((a for a in fair if a.attains), key=lambda a: a.cost_per_day_usd)
    best = good[0] if good else None
    pairs = {}
    if best is not None:
        for other in agents:
            if other.agent != best.agent:
                pairs[other.agent] = _against(best.agent, other.agent, rows, rng)
    service = [min(a.means.get(c, 1.0) - t for c, t in targets.items()) for a in agents]
    front = pareto_front([a.cost_per_day_usd for a in agents], service)
    verdict = tuple(_verdict(agents, good, pairs, targets))
    return Outcome(agents, targets, verdict, pairs, tuple(agents[i].agent for i in front))


def _number(row: Row, name: str) -> float:
    horizon_s = float(row.get("horizon_s") or DAY_S)
    if name in PER_DAY:
        return _number(row, PER_DAY[name]) * DAY_S / horizon_s
    if name == "vms":
        return _number(row, "vm_hours") * 3600.0 / horizon_s
    if name == "vms_peak" and horizon_s <= SETTLED_S:
        return float("nan")  # all of the run is the hour in which the start fleet goes
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def strata_of(rows: Sequence[Row], agent: str, name: str) -> dict[str, dict[int, float]]:
    """Return a metric of an agent by trace and seed; rows without it are left out."""
    strata: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["agent"] == agent and not np.isnan(value := _number(row, name)):
            strata.setdefault(str(row["trace"]), {})[int(str(row["seed"]))] = value
    return strata


def _arrays(strata: Mapping[str, Mapping[int, float]]) -> list[NDArray[np.float64]]:
    return [np.array(list(runs.values())) for runs in strata.values()]


def _agent(
    name: str, rows: Sequence[Row], targets: Mapping[str, float], rng: np.random.Generator
) -> AgentOutcome:
    own = [row for row in rows if row["agent"] == name]
    figures, means = {}, {}
    # A tier of the user's own is a column of its own.
    for metric in dict.fromkeys((*FIGURES, *targets)):
        runs = _arrays(strata_of(rows, name, metric))
        if runs:
            figures[metric] = estimate(runs, rng)
            means[metric] = mean(np.concatenate(runs))
    most = most_unfinished(_number(own[0], "horizon_s"))
    misses = Targets(targets, most).misses(means | {"unfinished_share": _left(own)})
    return AgentOutcome(name, bool(own[0].get("clairvoyant")), len(own), figures, means, misses)


def _left(rows: Sequence[Row]) -> float:
    """Return the share of the requests that is unfinished at the end; NaN if it is not told."""
    requests = sum(_number(row, "requests") for row in rows)
    return sum(_number(row, "unfinished") for row in rows) / requests if requests else 0.0


def _against(
    best: str, other: str, rows: Sequence[Row], rng: np.random.Generator
) -> dict[str, Estimate]:
    """Return paired differences other - best, and the probability that best costs less."""
    sides: list[list[NDArray[np.float64]]] = [[], []]
    ours, theirs = (strata_of(rows, agent, "cost_per_day_usd") for agent in (best, other))
    for trace in ours:
        seeds = [seed for seed in ours[trace] if seed in theirs.get(trace, {})]
        if seeds:
            sides[0].append(np.array([ours[trace][seed] for seed in seeds]))
            sides[1].append(np.array([theirs[trace][seed] for seed in seeds]))
    if not sides[0]:
        return {}
    return {
        "cost_per_day_usd_more": paired(sides[1], sides[0], rng),
        "probability_cheaper": improvement([-x for x in sides[0]], [-x for x in sides[1]], rng),
    }


def _vms(agent: AgentOutcome) -> str:
    """Return the VMs an agent used, in words: the mean, the peak where it is known, GPU-hours."""
    vms, peak = agent.means.get("vms", math.nan), agent.means.get("vms_peak", math.nan)
    hours = f"{agent.means['gpu_hours']:,.0f} GPU-hours per run"
    if math.isnan(vms):
        return hours
    at_peak = "" if math.isnan(peak) else f" ({peak:,.0f} at the peak)"
    return f"{counted(round(vms), 'VM')} on average{at_peak}, {hours}"


def _dollars(value: float) -> str:
    shown = f"${abs(value):,.0f}" if abs(value) >= 100 else f"${abs(value):,.2f}"
    return f"-{shown}" if value < 0 else shown


def _verdict(
    agents: Sequence[AgentOutcome],
    good: Sequence[AgentOutcome],
    pairs: Mapping[str, Mapping[str, Estimate]],
    targets: Mapping[str, float],
) -> list[str]:
    wanted = ", ".join(f"{target_label(c)} {t:.4g}" for c, t in _percent(targets).items())
    lines = []
    if not good:
        fair = [a for a in agents if not a.clairvoyant]
        if not fair:
            return [f"Only clairvoyant agents ran; none of them can be deployed ({wanted} %)."]
        near = min(fair, key=lambda a: len(a.misses) * 1e12 + a.cost_per_day_usd)
        lines.append(
            f"No policy attains every service target ({wanted} %). Nearest is {near.agent} "
            f"at {_dollars(near.cost_per_day_usd)} a day, which misses {'; '.join(near.misses)}. "
            "Try other agents (sageserve list agents) or more generous settings of these."
        )
        count = "one run" if near.runs == 1 else f"{near.runs} runs"
        lines.append(f"How sure: {count} of each policy; --seeds 5 or more tell chance from fact.")
        return lines
    best = good[0]
    day = best.cost_per_day_usd
    lines.append(
        f"Cheapest policy that attains every service target ({wanted} %): {best.agent}, with "
        f"{_vms(best)}, {_dollars(day)} a day, {_dollars(day * DAYS_PER_MONTH)} a month."
    )
    if len(good) > 1:
        second = good[1]
        more = second.cost_per_day_usd - day
        saved = more / second.cost_per_day_usd if second.cost_per_day_usd else 0.0
        lines.append(
            f"Next is {second.agent} at {_dollars(second.cost_per_day_usd)} a day: "
            f"{best.agent} saves {saved:.1%}, {_dollars(more * DAYS_PER_MONTH)} a month"
            + (", practically the same." if saved < SAME else ".")
        )
    cheaper = [
        a for a in agents if not a.attains and not a.clairvoyant and a.cost_per_day_usd < day
    ]
    lines += [
        f"{a.agent} costs less ({_dollars(a.cost_per_day_usd)} a day) but misses "
        f"{'; '.join(a.misses)}."
        for a in cheaper
    ]
    lines.append(_how_sure(best, good[1] if len(good) > 1 else None, pairs))
    return lines


def _percent(targets: Mapping[str, float]) -> dict[str, float]:
    return {column: 100 * target for column, target in targets.items()}


def _how_sure(
    best: AgentOutcome,
    second: AgentOutcome | None,
    pairs: Mapping[str, Mapping[str, Estimate]],
) -> str:
    if best.runs < 2:
        return "How sure: one run only, so no interval can be given; add --seeds 5 for one."
    if second is None or not pairs.get(second.agent):
        return f"How sure: {best.runs} runs, and no other policy attains the targets."
    difference = pairs[second.agent]["cost_per_day_usd_more"]
    chance = pairs[second.agent]["probability_cheaper"].value
    if difference.low is None or difference.high is None:
        return f"How sure: {best.runs} runs on different traffic, one of each; no interval."
    clear = "excludes" if difference.low > 0 else "includes"
    return (
        f"How sure: on {difference.runs} paired runs {best.agent} is "
        f"{_dollars(difference.value)} a day cheaper than {second.agent}, 95 % interval "
        f"{_dollars(difference.low)} to {_dollars(difference.high)}, which {clear} zero; a run of "
        f"it is cheaper than one of the other with probability {chance:.2f}."
    )
