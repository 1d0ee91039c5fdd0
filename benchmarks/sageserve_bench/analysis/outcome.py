"""What rows come to: statistics per agent, who is cheapest at the targets, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.families import savings
from sageserve_bench.analysis.statistics import (
    Estimate,
    estimate,
    improvement,
    paired,
    pareto_front,
)
from sageserve_bench.analysis.targets import Targets, most_unfinished
from sageserve_bench.analysis.verdict import verdict_of
from sageserve_bench.rows import Row, number
from sageserve_bench.runs.episode import SETTLED_S
from sageserve_env.scenario import Scenario

DAY_S = 86_400.0
SEED = 20_250_601
"""Of the bootstrap, so that a report comes out the same when it is rebuilt."""

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
    "goodput_rps",
    "refused",
    "prefix_hit_rate",
    "scaling_waste_gpu_hours",
    "scale_outs",
    "spot_hours",
    "reward",
    "score",
    "decision_ms",
    "planner_failures",
    "plans",
    "unfinished",
    "oldest_unfinished_s",
)

OF_TIERS = (
    "slo_flat_{}",
    "e2e_p95_{}",
    "tpot_p95_{}",
    "ttft_p95_{}",
    "unfinished_{}",
    "oldest_unfinished_{}_s",
)
"""Figures of every tier that has a target."""

FAILED_SHARE = 0.01
"""Share of failed plans up to which an agent may still be called the cheapest (A): one plan of a
hundred that the time limit cut off on a busy machine decides nothing."""


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


def conclude(
    rows: Sequence[Row], targets: Mapping[str, float], *, least_vms: float = 0.0
) -> Outcome:
    """Return statistics, front and verdict of finished rows.

    Args:
        rows: At least one.
        targets: See `targets_of`.
        least_vms: VMs of the least fleet, below which no agent may go.
    """
    rng = np.random.default_rng(SEED)
    names = list(dict.fromkeys(str(row["agent"]) for row in rows))
    in_order = [_agent(name, rows, targets, rng) for name in names]
    agents = tuple(sorted(in_order, key=_place))
    good = [a for a in agents if a.attains and not a.clairvoyant]
    best = good[0] if good else None
    pairs = {}
    if best is not None:
        for other in in_order:
            if other.agent != best.agent:
                pairs[other.agent] = _against(best.agent, other.agent, rows, rng)
    service = [min(a.means.get(c, 1.0) - t for c, t in targets.items()) for a in agents]
    front = pareto_front([a.cost_per_day_usd for a in agents], service)
    kinds = savings(agents, lambda new, old: _against(new, old, rows, rng))
    verdict = (*verdict_of(agents, pairs, targets, least_vms), *kinds)
    return Outcome(agents, targets, verdict, pairs, tuple(agents[i].agent for i in front))


def _place(agent: AgentOutcome) -> tuple[bool, float]:
    """Return the place in the table: by cost where all is attained, then by distance from it."""
    return not agent.attains, agent.cost_per_day_usd if agent.attains else -agent.margin


def _number(row: Row, name: str) -> float:
    horizon_s = float(row.get("horizon_s") or DAY_S)
    if name in PER_DAY:
        return _number(row, PER_DAY[name]) * DAY_S / horizon_s
    if name == "vms":
        return _number(row, "vm_hours") * 3600.0 / horizon_s
    if name == "vms_peak" and horizon_s <= SETTLED_S:
        return float("nan")  # all of the run is the hour in which the start fleet goes
    return number(row, name)


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
    keys = [column.removeprefix("slo_") for column in targets]
    tiers = [form.format(k) for k in keys for form in OF_TIERS]
    for metric in dict.fromkeys((*FIGURES, *targets, *tiers)):
        runs = _arrays(strata_of(rows, name, metric))
        if runs:
            figures[metric] = estimate(runs, rng)
            means[metric] = float(np.concatenate(runs).mean())
    service = Targets(targets, most_unfinished(_number(own[0], "horizon_s")))
    means_of_service = means | {"unfinished_share": _left(own)}
    misses, margin = service.misses(means_of_service), service.margin(means_of_service)
    if not any(row.get("requests", 1) for row in own):
        misses, margin = ("no request was served",), -math.inf
    failed = _failed(own)
    if failed:
        misses, margin = (*misses, failed), -math.inf
    clairvoyant = bool(own[0].get("clairvoyant"))
    return AgentOutcome(name, clairvoyant, len(own), figures, means, misses, margin)


def _failed(rows: Sequence[Row]) -> str:
    """Return how many plans failed, in words, where the figures rest on them; else nothing."""
    failures, plans = (
        int(sum(float(row.get(name) or 0.0) for row in rows))
        for name in ("planner_failures", "plans")
    )
    if not failures or failures <= FAILED_SHARE * plans:
        return ""
    return f"{failures:,} of {plans:,} plans failed" if plans else f"{failures:,} plans failed"


def _left(rows: Sequence[Row]) -> float:
    """Return the share of the requests that is unfinished at the end; 0 if it is not told."""
    requests = sum(_number(row, "requests") for row in rows)
    share = sum(_number(row, "unfinished") for row in rows) / requests if requests else 0.0
    return 0.0 if math.isnan(share) else share


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
