"""Which requests an episode serves: the trace of a scenario, or the user's, for one seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sageserve_bench.errors import UserError
from sageserve_env.scenario import Scenario
from sageserve_traces import (
    DemandSeries,
    LoadReport,
    RequestTrace,
    TraceError,
    TraceSource,
    list_traces,
    make_trace,
    read_trace,
    repeat_first_minutes,
)
from sageserve_traces.names import MODELS, REGIONS, SPLIT_SEEDS, TIERS
from sageserve_traces.sources.schema import KNOWN_MODELS

HISTORY_BIN_S = 60.0


_GENERATED = {"azure-2024-code-week", *(t.name for t in list_traces() if not t.files)}


@dataclass(frozen=True)
class TraceSpec:
    """A trace and what is done to it, before a seed makes it definite.

    Attributes:
        name: Name of a trace or path of a file; None takes the scenario's workload.
        tile_s: Repeat a short trace up to this length.
        rate_scale: Factor on the rate, on top of the scenario's.
        columns: Columns of a file with a header of its own.
        on_error: ``raise``, or ``drop`` unusable rows.
    """

    name: str | None = None
    tile_s: float | None = None
    rate_scale: float = 1.0
    columns: tuple[tuple[str, str], ...] = ()
    on_error: str = "raise"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a path is reduced to the file's name."""
        values = asdict(self)
        if self.name is not None:
            values["name"] = Path(self.name).name
        return values


@dataclass(frozen=True)
class Workload:
    """A scenario and a trace that fit each other."""

    scenario: Scenario
    trace: TraceSource

    @property
    def trace_hash(self) -> str:
        """12 digits that name the trace's content."""
        return self.trace.content_hash[:12]

    def history(self, *, clairvoyant: bool) -> DemandSeries:
        """Return what an agent is told before time 0, in the scenario's names.

        Args:
            clairvoyant: Append the realised demand of the episode.
        """
        series = self.trace.history(HISTORY_BIN_S)
        if clairvoyant:
            series = series.concat(self.trace.demand(HISTORY_BIN_S, self.scenario.horizon_s))
        renamed = self.scenario.workload.rename_models
        names = tuple(renamed.get(name, name) for name in series.models)
        series = DemandSeries(
            series.start_s,
            series.bin_s,
            series.requests,
            series.prompt_tokens,
            series.output_tokens,
            names,
            series.regions,
            series.tiers,
        )
        for axis, wanted in (
            ("models", self.scenario.models),
            ("regions", self.scenario.region_names),
            ("tiers", self.scenario.tier_names),
        ):
            series = series.reindex(axis, wanted)
        return series


def resolve(scenario: Scenario, spec: TraceSpec | TraceSource, seed: int) -> Workload:
    """Return the workload of one seed.

    A trace that is shorter than the scenario's horizon shortens the horizon.

    Args:
        scenario: The cluster, with the user's pooling.
        spec: What trace, or a trace itself.
        seed: Fixes generated requests, and the assignment of models, regions and tiers.

    Raises:
        ValueError: If there is no such trace, or it is shorter than one decision.
    """
    trace = _trace(scenario, spec, seed) if isinstance(spec, TraceSpec) else spec
    length = trace.duration_s
    if length < scenario.horizon_s:
        if length < scenario.decision_interval_s:
            raise UserError(
                f"trace {trace.name!r} lasts {length:.0f} s, less than one decision interval of "
                f"{scenario.decision_interval_s:.0f} s; repeat it with --tile 1h"
            )
        scenario = scenario.replace(horizon_s=length)
    return Workload(scenario, trace)


def read_file(scenario: Scenario, spec: TraceSpec) -> tuple[RequestTrace, LoadReport] | None:
    """Return a trace's file as it is, and what reading it came to; None if it is generated."""
    name = spec.name or scenario.workload.trace
    if name in _GENERATED:
        return None
    columns = dict(spec.columns) or None
    try:
        return read_trace(name, columns=columns, on_error=_on_error(spec), **names_of(scenario))
    except TraceError as error:
        if spec.name is not None:
            raise
        raise UserError(f"scenario {scenario.name!r}: workload: trace: {error}") from None


def names_of(scenario: Scenario, assumed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the names that reading a file for a scenario needs beside the usual ones.

    Args:
        scenario: A file may use the names that it defines, and the known ones.
        assumed: Columns that the file does not have (``model``, ``region``, ``tier``): what is
            drawn for them is from what the scenario has, and nothing else.

    Returns:
        ``models``, ``regions``, ``tiers`` of `make_trace`; none of them where the usual names do.
    """
    renamed = tuple(scenario.workload.rename_models)
    found = {}
    for what, usual, known, own, extra in (
        ("model", MODELS, KNOWN_MODELS, scenario.models, renamed),
        ("region", REGIONS, REGIONS, scenario.region_names, ()),
        ("tier", TIERS, TIERS, scenario.tier_names, ()),
    ):
        if what in assumed:
            if own != usual:
                found[f"{what}s"] = own
        elif not {*own, *extra} <= {*known}:
            found[f"{what}s"] = tuple(dict.fromkeys((*known, *own, *extra)))
    return found


def _on_error(spec: TraceSpec) -> Literal["raise", "drop"]:
    return "drop" if spec.on_error == "drop" else "raise"


def _trace(scenario: Scenario, spec: TraceSpec, seed: int) -> TraceSource:
    workload = scenario.workload
    name = spec.name or workload.trace
    own = name == workload.trace
    columns = dict(spec.columns) or None
    read = read_file(scenario, spec)
    names: Mapping[str, Any] = {} if read is None else names_of(scenario, read[1].assumed)
    horizon_s = scenario.horizon_s
    if spec.tile_s is not None:
        horizon_s = min(horizon_s, spec.tile_s)
    trace = make_trace(
        name,
        seed=seed,
        horizon_s=horizon_s,
        tile_s=spec.tile_s,
        scale=spec.rate_scale * (workload.scale if own else 1.0),
        columns=columns,
        on_error=_on_error(spec),
        **names,
    )
    if workload.bursts:
        trace = repeat_first_minutes(trace, copies=workload.bursts, seed=seed)
    return trace


def pick_seeds(
    count: int = 1, *, seed_list: Sequence[int] | None = None, split: str = "test"
) -> tuple[int, ...]:
    """Return the first ``count`` seeds of a split, or exactly those of a list.

    Raises:
        UserError: If the split is unknown, a count out of range or a seed negative or repeated.
    """
    if seed_list is not None:
        seeds = tuple(int(seed) for seed in seed_list)
        if not seeds:
            raise UserError("the list of seeds is empty")
        if min(seeds) < 0:
            raise UserError(f"seeds must be at least 0, got {min(seeds)}")
        if len(set(seeds)) < len(seeds):
            raise UserError(f"a seed is named twice in {', '.join(map(str, seeds))}")
        return seeds
    if split not in SPLIT_SEEDS:
        raise UserError(f"unknown split {split!r}; use {', '.join(SPLIT_SEEDS)}")
    first, end = SPLIT_SEEDS[split]
    if not 1 <= count <= end - first:
        raise UserError(f"the number of seeds must be 1 to {end - first}, got {count}")
    return tuple(range(first, first + count))


def digest(value: object) -> str:
    """Return 12 digits that name a plain value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
