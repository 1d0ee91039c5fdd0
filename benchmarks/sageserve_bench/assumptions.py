"""What a comparison took for granted, said beside its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sageserve_bench.rows import Row
from sageserve_bench.workload import TraceSpec, read_spec
from sageserve_env.scenario import Scenario

if TYPE_CHECKING:
    from sageserve_bench.comparison import Grid

DAY_S = 86_400.0


def assumptions(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """Return one line each about the traces, the length of the runs, the cluster and its prices."""
    lines = []
    for spec in grid.traces:
        if isinstance(spec, TraceSpec):
            lines += _of_trace(grid.scenario, spec)
    hours = {float(row.get("horizon_s") or DAY_S) / 3600 for row in rows}
    if hours != {24.0}:
        shown = " and ".join(f"{value:.4g} h" for value in sorted(hours))
        lines.append(
            f"Length: {shown} were simulated; dollars a day and a month are in proportion."
        )
    lines.append(_of_cluster(grid.scenario))
    return lines


def _of_trace(scenario: Scenario, spec: TraceSpec) -> list[str]:
    name = spec.to_dict()["name"] or scenario.workload.trace
    said = []
    report = read_spec(scenario, spec)
    if report is not None:
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
        said.append(f"repeated up to {spec.tile_s / 3600:.4g} h")
    if spec.rate_scale != 1.0:
        said.append(f"rate times {spec.rate_scale:g}")
    return [f"Trace {name}: {'; '.join(said)}."] if said else []


def _of_cluster(scenario: Scenario) -> str:
    types = [
        f"{count:,} {gpu.name} at ${gpu.price_usd_per_hour:,.2f} an hour"
        for gpu, count in zip(scenario.gpu_specs, scenario.inventory.sum(axis=0), strict=True)
    ]
    return (
        f"Cluster {scenario.name}: {', '.join(scenario.models)} in {len(scenario.regions)} "
        f"regions; VMs at hand: {', '.join(types)} (list prices)."
    )
