"""What a comparison took for granted, said beside its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sageserve_agents.calibrated import calibrated_on
from sageserve_agents.registry import is_calibrated, parse_spec
from sageserve_bench.analysis.outcome import DAY_S
from sageserve_bench.analysis.targets import NEAR_LEAST, WORST_MODEL_TARGET, least_vms
from sageserve_bench.rows import Row
from sageserve_bench.runs.grid import Grid
from sageserve_bench.runs.tasks import agent_label
from sageserve_bench.wording import counted, duration
from sageserve_env.options import TierConfig
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec, read_file

if TYPE_CHECKING:
    from sageserve_traces import LoadReport, RequestTrace

SHORT_S = 6 * 3600.0
"""A shorter run is said to be short: leaving the start fleet takes up to an hour of it (A)."""


def assumptions(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """Return one line each about traces, length, seeds, service, cluster and least fleet."""
    lines, files = [], []
    for spec in grid.traces:
        read = read_file(grid.scenario, spec) if isinstance(spec, TraceSpec) else None
        files.append(read is not None)
        if isinstance(spec, TraceSpec):
            lines += _of_trace(grid.scenario, spec, read)
    lengths = {float(row.get("horizon_s") or DAY_S) for row in rows}
    if lengths != {DAY_S}:
        lines.append(_of_length(grid.scenario, sorted(lengths)))
    if any(files):
        later = [isinstance(t, TraceSpec) and t.reading.start_s > 0 for t in grid.traces]
        lines += _of_files(len(grid.seeds), begin_later=all(later))
    lines.append(_of_service(grid.scenario))
    lines.append(_of_cluster(grid.scenario))
    lines += _of_least_fleet(grid.scenario, rows)
    lines += _of_options(grid)
    return lines


def _of_options(grid: Grid) -> list[str]:
    """Return which agents have the options that ship for the scenario, and which come raw."""
    specs = [agent for agent in grid.agents if isinstance(agent, str)]
    tuned = [agent_label(s) for s in specs if is_calibrated(s, grid.scenario)]
    if not tuned:
        return []
    raw = [agent_label(agent) for agent in grid.agents if agent_label(agent) not in tuned]
    name = parse_spec(tuned[0])[0]
    line = (
        f"Options: calibrated to {calibrated_on(grid.scenario.name)} for {', '.join(tuned)} "
        f"({name}:calibrated=no is without)"
    )
    return [f"{line}; as they come or are given for {', '.join(raw)}." if raw else f"{line}."]


def _of_trace(
    scenario: Scenario, spec: TraceSpec, read: tuple[RequestTrace, LoadReport] | None
) -> list[str]:
    name = spec.to_dict()["name"] or scenario.workload.trace
    said = []
    if read is not None:
        trace, report = read
        start_s = spec.reading.start_s
        left_s = trace.duration_s - start_s
        if start_s:
            said.append(f"begins {duration(start_s)} after the first arrival")
        if left_s > scenario.horizon_s and spec.tile_s is None:
            said.append(
                f"only the first {duration(scenario.horizon_s)} of {duration(left_s)} "
                f"were played: horizon_s of {scenario.name} (o365-week has seven days)"
            )
        missing = [column for column in report.assumed if column != "iw_split"]
        if missing:
            said.append(f"not in the file and drawn at random by the seed: {', '.join(missing)}")
        if "iw_split" in report.assumed:
            said.append("interactive requests are split into IW-F and IW-N by the seed")
        said += report.notes
        if report.rows_dropped:
            said.append(f"{report.rows_dropped:,} unusable rows were left out")
        if report.outputs_raised:
            said.append(f"{report.outputs_raised:,} outputs of 0 tokens are read as 1")
    if spec.tile_s is not None:
        said.append(f"repeated up to {duration(spec.tile_s)}")
    if spec.rate_scale != 1.0:
        said.append(f"rate times {spec.rate_scale:g}")
    return [f"Trace {name}: {'; '.join(said)}."] if said else []


def _of_length(scenario: Scenario, lengths_s: Sequence[float]) -> str:
    shown = " and ".join(duration(length) for length in lengths_s)
    line = f"Length: {shown} were simulated; dollars a day and a month are in proportion."
    if lengths_s[0] < SHORT_S:
        given = scenario.initial_instances * len(scenario.models) * len(scenario.regions)
        line += (
            f" So short a run is coloured by the {counted(given, 'VM')} that every agent is given "
            "at its start; --tile 24h repeats a trace."
        )
    return line


def _of_files(seeds: int, *, begin_later: bool) -> list[str]:
    lines = [
        "History: what lies in the file before the start."
        if begin_later
        else "History: a file has none before its start, so forecasts begin cold, and static takes "
        "20 instances per model and region or what there is (static:instances=N takes N)."
    ]
    if seeds > 1:
        lines.append(
            "Seeds: every run has the arrivals of the file; seeds change what is drawn at random. "
            "The intervals say nothing about traffic of other days."
        )
    return lines


def _of_service(scenario: Scenario) -> str:
    tiers = ", ".join(f"{100 * t.target:.4g} % of {_promise(t)}" for t in scenario.tiers)
    line = f"Service: {tiers}; no model below {100 * WORST_MODEL_TARGET:.4g} %."
    if not scenario.slo_scale:
        return line
    return (
        f"{line} Where a first token is promised, a long prompt may take "
        f"{scenario.slo_scale:g} times what it takes alone."
    )


def _promise(tier: TierConfig) -> str:
    what = "first token" if tier.objective == "ttft" else "answer complete"
    within = " or ".join(duration(s) for s in tier.objectives_s or (tier.objective_s,))
    pace = "" if tier.tpot_s is None else f", then {1000 * tier.tpot_s:.4g} ms a token"
    return f"{tier.name} requests ({what} within {within}{pace})"


def _of_cluster(scenario: Scenario) -> str:
    types = [
        f"{count:,} {gpu.name} at ${gpu.price_usd_per_hour:,.2f} an hour"
        for gpu, count in zip(scenario.gpu_specs, scenario.inventory.sum(axis=0), strict=True)
    ]
    return (
        f"Cluster {scenario.name}: {', '.join(scenario.models)} in "
        f"{counted(len(scenario.regions), 'region')}; VMs at hand: {', '.join(types)} "
        "(list prices)."
    )


def _of_least_fleet(scenario: Scenario, rows: Sequence[Row]) -> list[str]:
    """Return what the least fleet costs, and whether an agent came down to it."""
    least = least_vms(scenario)
    if not least:
        return []
    prices = np.array([gpu.price_usd_per_hour for gpu in scenario.gpu_specs])
    cheapest = np.where(scenario.compatible, prices, np.inf).min(axis=1).mean()
    line = (
        f"Least fleet: {scenario.min_instances} of each model in each region, "
        f"{counted(least, 'VM')} or ${24 * cheapest * least:,.0f} a day whatever the traffic "
        "(min_instances of the scenario)."
    )
    used = [_vms(row) for row in rows]
    if used and min(used) <= NEAR_LEAST * least:
        line += (
            " The cheapest fleets here are hardly larger, so they say little about the policies: a "
            "scenario file with your own models, regions and least fleet will."
        )
    return [line]


def _vms(row: Row) -> float:
    return float(row.get("vm_hours") or 0.0) * 3600.0 / float(row.get("horizon_s") or DAY_S)
