"""Which requests a comparison serves: the workload of one seed, and which seeds there are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from sageserve_bench.errors import UserError
from sageserve_env.arguments import LARGEST_SEED
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec, Workload, Workloads, read_file
from sageserve_traces import LoadReport, TraceSource
from sageserve_traces.names import SPLIT_SEEDS


def resolve(scenario: Scenario, spec: TraceSpec | TraceSource, seed: int) -> Workload:
    """Return the workload of one seed.

    Args:
        scenario: The cluster, with the user's pooling.
        spec: What trace, or a trace itself.
        seed: Fixes generated requests, and the assignment of models, regions and tiers.

    Raises:
        ValueError: If there is no such trace, or it is shorter than one decision.
    """
    workload = Workloads(scenario, spec, first_seed=seed).make(seed)
    interval_s = scenario.decision_interval_s
    if workload.horizon_s < min(interval_s, scenario.horizon_s):
        raise UserError(
            f"trace {workload.trace.name!r} lasts {workload.horizon_s:.0f} s, less than one "
            f"decision interval of {interval_s:.0f} s; repeat it with --tile 1h"
        )
    return workload


def report_of(scenario: Scenario, spec: TraceSpec | TraceSource) -> LoadReport | None:
    """Return what reading the file of a trace came to; None where there is no file."""
    read = read_file(scenario, spec) if isinstance(spec, TraceSpec) else None
    return None if read is None else read[1]


def remarks(report: LoadReport) -> list[str]:
    """Return what was assumed and left out when a file was read, a line each."""
    lines = list(report.notes)
    lines += [f"dropped {count:,} rows: {why}" for why, count in report.dropped.items()]
    if report.outputs_raised:
        lines.append(f"{report.outputs_raised:,} outputs of 0 tokens read as 1")
    return lines


def pick_seeds(seeds: int | Sequence[int] = 1, *, split: str = "test") -> tuple[int, ...]:
    """Return so many of the first seeds of a split, or exactly those of a list.

    Raises:
        UserError: If the split is unknown, a count or seed out of range, or a seed repeated.
    """
    if not isinstance(seeds, int):
        chosen = tuple(int(seed) for seed in seeds)
        if not chosen:
            raise UserError("the list of seeds is empty")
        if min(chosen) < 0:
            raise UserError(f"seeds must be at least 0, got {min(chosen)}")
        if max(chosen) > LARGEST_SEED:
            raise UserError(f"seeds must be at most {LARGEST_SEED}, got {max(chosen)}")
        if len(set(chosen)) < len(chosen):
            raise UserError(f"a seed is named twice in {', '.join(map(str, chosen))}")
        return chosen
    if split not in SPLIT_SEEDS:
        raise UserError(f"unknown split {split!r}; use {', '.join(SPLIT_SEEDS)}")
    first, end = SPLIT_SEEDS[split]
    if not 1 <= seeds <= end - first:
        raise UserError(f"the number of seeds must be 1 to {end - first}, got {seeds}")
    return tuple(range(first, first + seeds))


def digest(value: object) -> str:
    """Return 12 digits that name a plain value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
