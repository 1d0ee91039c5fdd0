"""What the report draws, as plain values small enough for one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.families import best_of_kinds
from sageserve_bench.analysis.outcome import DAY_S, Outcome
from sageserve_bench.analysis.verdict import DAYS_PER_MONTH
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row, number
from sageserve_bench.runs.episode import Series
from sageserve_bench.wording import short_names
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.metrics import BUCKETS
from sageserve_env.simulator.summary import bucket_middle_s

MOST_POINTS, FEWEST_POINTS = 360, 96
MOST_VALUES = 1_200_000
"""Numbers in all time lines, about 10 MB of the file; beyond, they have fewer points."""

MOST_BINS = 36
BINS_S = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 24 * 3600)
"""Lengths of the intervals in which scaling events are counted."""

LEVELS = (
    *np.round(np.linspace(0.0, 0.9, 46), 4),
    *np.round(1 - np.geomspace(0.1, 1e-4, 46)[1:], 6),
)
"""Shares of requests at which a latency distribution is drawn."""

DRAWN = ("active", "pending", "draining", "target", "utilisation", "slo_attainment")
CACHED = "prefix_hit_rate"  # drawn where there are prefix caches
PEAKS = ("queued_prompt_tokens",)


def report_data(
    store: Store, rows: Sequence[Row], outcome: Outcome, scenario: Scenario
) -> dict[str, Any]:
    """Return everything the report's script needs.

    Time lines are those of the first seed of each agent and trace; distributions and costs are
    over all seeds.
    """
    runs, latency, costs = [], [], []
    endpoints: dict[str, None] = {}
    pairs = dict.fromkeys((str(row["agent"]), str(row["trace"])) for row in rows)
    points = points_of(len(pairs) * len(scenario.endpoints))
    for agent, trace in pairs:
        own = [row for row in rows if (row["agent"], row["trace"]) == (agent, trace)]
        found = [(row, store.series(str(row["run"]))) for row in own]
        stored = [(row, series) for row, series in found if series is not None]
        if not stored:
            continue
        cluster = scenario.replace(pooling=str(own[0]["pooling"]))
        endpoints |= dict.fromkeys(f"{e.model}/{e.region}" for e in cluster.endpoints)
        runs.append({"agent": agent, "trace": trace} | time_lines(*stored[0], cluster, points))
        every = [series for _, series in stored]
        place = {"agent": agent, "trace": trace}
        latency += [place | curve for curve in distributions(every, cluster)]
        costs.append(place | cost_split(stored, cluster))
    short = short_names([agent.agent for agent in outcome.agents])
    agents = [_agent(agent, rows) | {"short": short[agent.agent]} for agent in outcome.agents]
    requests = [_per_day(row, "requests") for row in rows]
    best = best_of_kinds(outcome.agents)
    return {
        "pair": [best[kind].agent for kind in ("planner", "rule") if kind in best],
        "agents": agents,
        "rows": [_point(row, outcome.targets) for row in rows],
        "targets": dict(outcome.targets),
        "service": _service(outcome.targets),
        "traces": list(dict.fromkeys(str(row["trace"]) for row in rows)),
        "endpoints": list(endpoints),
        "tiers": list(scenario.tier_names),
        "models": list(scenario.models),
        "regions": list(scenario.region_names),
        "levels": [float(level) for level in LEVELS],
        "runs": runs,
        "latency": latency,
        "costs": costs,
        "requests_per_day": float(np.mean(requests)) if requests else 0.0,
        "days_per_month": DAYS_PER_MONTH,
    }


def _agent(agent: AgentOutcome, rows: Sequence[Row]) -> dict[str, Any]:
    own = [row for row in rows if row["agent"] == agent.agent]
    requests = sum(number(row, "requests", 0.0) for row in own)
    return {
        "name": agent.agent,
        "clairvoyant": agent.clairvoyant,
        "attains": agent.attains,
        "misses": list(agent.misses),
        "mean": {name: value for name, value in agent.means.items() if math.isfinite(value)},
        "usd_per_request": sum(number(row, "cost_usd", 0.0) for row in own) / max(requests, 1.0),
    }


def _per_day(row: Row, name: str) -> float:
    return number(row, name, 0.0) * DAY_S / (number(row, "horizon_s", 0.0) or DAY_S)


def _point(row: Row, targets: Mapping[str, float]) -> dict[str, Any]:
    values = {name: row.get(name) for name in ("agent", "trace", "seed", *targets)}
    return values | {"cost_per_day_usd": _per_day(row, "cost_usd")}


def _service(targets: Mapping[str, float]) -> list[list[str]]:
    titles = {"slo_iwf": "IW-F", "slo_iwn": "IW-N", "slo_niw": "NIW"}
    titles["slo_worst_model"] = "worst model"
    return [[name, titles.get(name, name.removeprefix("slo_"))] for name in targets]


def points_of(lines: int) -> int:
    """Return how many points a time line may have where so many endpoints are drawn."""
    most = MOST_VALUES // max(1, lines * len(DRAWN + PEAKS))
    return max(FEWEST_POINTS, min(MOST_POINTS, most))


def time_lines(
    row: Row, series: Series, scenario: Scenario, points: int = MOST_POINTS
) -> dict[str, Any]:
    """Return a run's series, averaged (queues: their peaks) to at most so many points."""
    time_s = np.asarray(series["time_s"], dtype=np.float64)
    group = max(1, math.ceil(len(time_s) / points))
    starts = np.arange(0, len(time_s), group)
    drawn = {
        name: [
            _short(np.add.reduceat(column, starts) / _sizes(starts, len(column)))
            for column in np.asarray(series[name], dtype=np.float64).T
        ]
        for name in (*DRAWN, *((CACHED,) if np.any(series.get(CACHED, 0.0)) else ()))
    } | {
        name: [
            _short(np.maximum.reduceat(column, starts))
            for column in np.asarray(series[name], dtype=np.float64).T
        ]
        for name in PEAKS
    }
    bin_s, events = scaling_events(time_s, np.asarray(series["target"], dtype=np.int64))
    return {
        "seed": row["seed"],
        "endpoints": [endpoint.name for endpoint in scenario.endpoints],
        "hours": [round(float(t) / 3600, 5) for t in time_s[starts]],
        "series": drawn,
        "types": _by_type(series, scenario, starts),
        "refused": float(np.asarray(series.get("refused", [0.0]))[-1]),
        "bin_hours": bin_s / 3600,
        "scale_outs": events[0].T.tolist(),
        "scale_ins": events[1].T.tolist(),
    }


def _by_type(
    series: Series, scenario: Scenario, starts: NDArray[np.int64]
) -> dict[str, list[float]]:
    """Return billed VMs by type over time; empty where a run was stored without them."""
    if "vms_by_type" not in series:
        return {}
    counts = np.asarray(series["vms_by_type"], dtype=np.float64).T
    sizes = _sizes(starts, counts.shape[1])
    return {
        name: _short(np.add.reduceat(row, starts) / sizes)
        for name, row in zip(scenario.gpus, counts, strict=True)
    }


def scaling_events(
    time_s: NDArray[np.float64], target: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Return the length of an interval, and instances asked for and given back [2, bins, E]."""
    end_s = float(time_s[-1] + 1.0) if len(time_s) else 1.0
    bin_s = next((length for length in BINS_S if end_s <= MOST_BINS * length), BINS_S[-1])
    steps = np.diff(target, axis=0, prepend=target[:1])  # the start fleet is given, not asked for
    place = (time_s // bin_s).astype(np.int64)
    events = np.zeros((2, math.ceil(end_s / bin_s), target.shape[1]), dtype=np.int64)
    np.add.at(events[0], place, np.maximum(steps, 0))
    np.add.at(events[1], place, np.maximum(-steps, 0))
    return bin_s, events


def _sizes(starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return np.diff(np.append(starts, length))


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def distributions(every: Sequence[Series], scenario: Scenario) -> list[dict[str, Any]]:
    """Return quantiles of TTFT and E2E by tier, per model and for all (model name ``""``)."""
    middle = np.array([bucket_middle_s(i) for i in range(BUCKETS)])
    curves = []
    for kind in ("ttft", "e2e"):
        histogram = np.sum([series[f"{kind}_histogram"] for series in every], axis=0)  # [M, K, B]
        for k, tier in enumerate(scenario.tier_names):
            for name, counts in (
                ("", histogram[:, k].sum(axis=0)),
                *((model, histogram[m, k]) for m, model in enumerate(scenario.models)),
            ):
                total = int(counts.sum())
                if not total:
                    continue
                ranks = np.clip(np.ceil(np.array(LEVELS) * total), 1, total)
                place = np.searchsorted(np.cumsum(counts), ranks)
                curves.append(
                    {"kind": kind, "tier": tier, "model": name, "seconds": _short(middle[place])}
                )
    return curves


def cost_split(stored: Sequence[tuple[Row, Series]], scenario: Scenario) -> dict[str, Any]:
    """Return mean dollars per day of billed VMs by model and by region."""
    days = [max(number(row, "horizon_s", 0.0), 1.0) / DAY_S for row, _ in stored]
    usd = np.mean(
        [
            scenario.billed_usd(series["vm_seconds"]).sum(axis=1) / day
            for (_, series), day in zip(stored, days, strict=True)
        ],
        axis=0,
    )
    parts = usd.reshape(len(scenario.models), len(scenario.regions), -1)
    return {"model": _short(parts.sum(axis=(1, 2))), "region": _short(parts.sum(axis=(0, 2)))}
