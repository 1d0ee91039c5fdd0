"""What an episode is played on: from scenario, trace and seed to requests, history and theta.

The environment and the benchmark both take their episodes from here. `TraceSpec` says which trace
and what is done to it, `Workloads` makes the `Workload` of a seed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.capacity import measure_theta
from sageserve_env.scenario import Scenario
from sageserve_env.session_capacity import session_theta
from sageserve_traces import (
    MODELS,
    REGIONS,
    TIERS,
    DemandSeries,
    LoadReport,
    ReadOptions,
    RequestTrace,
    TraceError,
    TraceSource,
    is_generated,
    make_trace,
    read_trace,
    repeat_first_minutes,
)
from sageserve_traces.names import SPLIT_SEEDS
from sageserve_traces.sessions import NAME as SESSIONS
from sageserve_traces.sources.schema import KNOWN_MODELS

STARTS = ("fixed", "random")
TRAIN_SEEDS = SPLIT_SEEDS["train"][1]  # train seeds are 0-999
HISTORY_BIN_S = 60.0
LEAST_ROWS = 200  # (A) requests of a model from which its token mix can be told
_WEEK_S = 604_800.0


@dataclass(frozen=True)
class TraceSpec:
    """A trace and what is done to it, before a seed makes it definite.

    Attributes:
        name: Name of a trace or path of a file; None takes the scenario's workload.
        tile_s: Repeat a short trace up to this length.
        rate_scale: Factor on the rate, on top of the scenario's.
        reading: How a file is read, and where in it the episode begins.
    """

    name: str | None = None
    tile_s: float | None = None
    rate_scale: float = 1.0
    reading: ReadOptions = field(default_factory=ReadOptions)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a path is reduced to the file's name."""
        name = None if self.name is None else Path(self.name).name
        plain = {"name": name, "tile_s": self.tile_s, "rate_scale": self.rate_scale}
        return plain | self.reading.to_dict()


@dataclass(frozen=True)
class Workload:
    """What one episode is played on.

    Attributes:
        scenario: The cluster; its horizon is the episode's.
        trace: The requests.
        offset_s: Where in the trace time 0 is.
    """

    scenario: Scenario
    trace: TraceSource
    offset_s: float = 0.0

    @property
    def horizon_s(self) -> float:
        """Length of the episode."""
        return self.scenario.horizon_s

    @property
    def trace_hash(self) -> str:
        """12 digits that name the trace's content."""
        return self.trace.content_hash[:12]

    def history(self, *, clairvoyant: bool = False) -> DemandSeries:
        """Return what an agent is told before time 0, in the scenario's names; may have no bins.

        Bins have `HISTORY_BIN_S`. Where the start lies within a bin of the trace, the history ends
        with the bin before and is told as if that ended at time 0.

        Args:
            clairvoyant: Append the realised demand of the episode, for agents that may know it.
        """
        bins = self.offset_s // HISTORY_BIN_S
        series = self.trace.history(HISTORY_BIN_S, self.offset_s)
        if bins > 0:
            series = series.shift(-bins * HISTORY_BIN_S)
        if clairvoyant:
            series = series.concat(self._future())
        return in_names_of(self.scenario, series)

    def theta(self) -> NDArray[np.float64]:
        """Return sustained prompt tokens per second of one instance, [M, G]; see `theta_of`."""
        return theta_of(self.scenario, self.trace)

    def _future(self) -> DemandSeries:
        trace, horizon_s = self.trace, self.scenario.horizon_s
        if self.offset_s == 0:
            return trace.demand(HISTORY_BIN_S, horizon_s)
        end_s = self.offset_s + horizon_s
        return DemandSeries.of(trace, HISTORY_BIN_S, end_s, self.offset_s).shift(-self.offset_s)


class Workloads:
    """Makes the workloads of a scenario and a trace, seed by seed.

    A generated trace comes from the seed; a file's requests are the same for every seed, but
    models, regions and tiers that it does not have are assigned by the seed; a `TraceSource` is
    used as it is. A trace that is shorter than the scenario's horizon (or its decision interval)
    shortens it. With
    ``start="random"`` an episode begins at a seeded decision time of the trace (of a week, where it
    is generated) from which the horizon still fits.

    Args:
        scenario: The cluster; ``scenario.workload`` names the default trace, its scale and bursts.
        trace: What trace: a specification, a name, a path or a source; None takes the scenario's.
        start: ``fixed`` or ``random``.
        start_s: Seconds of the trace before the first episode, which are history; for traces of a
            file or in memory. 0 takes that of the specification.
        first_seed: Seed with which the trace is tried.

    Attributes:
        scenario: The cluster with the horizon that episodes have.

    Raises:
        ValueError: If the trace or the start cannot be used.
    """

    def __init__(
        self,
        scenario: Scenario,
        trace: TraceSpec | TraceSource | str | Path | None = None,
        *,
        start: str = "fixed",
        start_s: float = 0.0,
        first_seed: int = 0,
    ) -> None:
        if start not in STARTS:
            message = unknown_key_message(str(start), list(STARTS), "start")
            raise ValueError(message.replace("unknown key", "unknown value"))
        if trace is None or isinstance(trace, (str, Path)):
            trace = TraceSpec(None if trace is None else str(trace))
        if not isinstance(trace, (TraceSpec, TraceSource)):
            raise ValueError(
                f"trace: expected a name, a path or a TraceSource, got {type(trace).__name__}"
            )
        if start_s:
            if isinstance(trace, TraceSpec):
                trace = replace(trace, reading=replace(trace.reading, start_s=start_s))
            else:
                trace = make_trace(trace, start_s=start_s)
        self.trace = trace
        self.random_start = start == "random"
        self._asked = scenario
        self._last: tuple[int, TraceSource] | None = None
        first = self._source(first_seed)
        self.scenario = scenario
        length_s = first.duration_s
        if length_s <= 0:
            raise ValueError(f"trace {first.name!r} lasts 0 s: an episode needs a length")
        if length_s < scenario.horizon_s:
            interval_s = min(scenario.decision_interval_s, length_s)
            self.scenario = scenario.replace(horizon_s=length_s, decision_interval_s=interval_s)

    def make(self, seed: int, rng: np.random.Generator | None = None) -> Workload:
        """Return the workload of a trace seed; ``rng`` draws a random start.

        Raises:
            ValueError: If starts are random and there is no ``rng``, or nothing arrives in the
                episode.
        """
        source = self._source(seed)
        offset_s = 0.0
        if self.random_start:
            if rng is None:
                raise ValueError("a random start needs a generator")
            room_s = source.duration_s - self.scenario.horizon_s
            if self._generated:
                room_s = _WEEK_S
            step_s = self.scenario.decision_interval_s
            offset_s = step_s * float(rng.integers(0, max(0, int(room_s // step_s)) + 1))
        elif isinstance(source, RequestTrace):
            _check_arrivals(source, self.scenario.horizon_s)
        return Workload(self.scenario, source, offset_s)

    def theta(self) -> NDArray[np.float64]:
        """Return theta of all episodes, [M, G], see `theta_of`."""
        return theta_of(self.scenario, self._source(0))

    @property
    def _generated(self) -> bool:
        spec = self.trace
        return isinstance(spec, TraceSpec) and is_generated(_name(self._asked, spec))

    def _source(self, seed: int) -> TraceSource:
        """Return the trace of a seed; the last one is kept."""
        if not isinstance(self.trace, TraceSpec):
            return self.trace
        if self._last is None or self._last[0] != seed:
            self._last = seed, self._made(self.trace, seed)
        return self._last[1]

    def _made(self, spec: TraceSpec, seed: int) -> TraceSource:
        scenario, workload = self._asked, self._asked.workload
        name = _name(scenario, spec)
        read = read_file(scenario, spec)
        names: Mapping[str, Any] = {} if read is None else names_of(scenario, read[1].assumed)
        length_s = scenario.horizon_s
        if spec.tile_s is not None:
            length_s = min(length_s, spec.tile_s)
        whole = self.random_start and read is not None  # a random start may be anywhere in a file
        if self.random_start and read is None:
            length_s += _WEEK_S
        trace = make_trace(
            name,
            seed=seed,
            horizon_s=None if whole else length_s,
            tile_s=spec.tile_s,
            scale=spec.rate_scale * (workload.scale if name == workload.trace else 1.0),
            reading=spec.reading,
            **names,
        )
        if workload.bursts:
            trace = repeat_first_minutes(trace, copies=workload.bursts, seed=seed)
        return trace


def _check_arrivals(trace: RequestTrace, horizon_s: float) -> None:
    """Refuse an episode in which nothing arrives; of random starts some may be quiet.

    Raises:
        ValueError: If the first request arrives after the horizon, or there is none.
    """
    if not len(trace):
        raise ValueError(f"trace {trace.name!r} has no requests")
    first_s = float(trace.arrival_s[0])
    if first_s >= horizon_s:
        raise ValueError(
            f"trace {trace.name!r}: no request arrives in the {horizon_s:g} s of the episode, the "
            f"first one does after {first_s:g} s; start_s (--start) begins later in a trace"
        )


def theta_of(scenario: Scenario, trace: TraceSource) -> NDArray[np.float64]:
    """Measure theta for the token mix that is known before the episode, [M, G].

    A generated trace has the published mix of its generator. Of a trace in memory (a file's) the
    requests before its start are known: a model's own if there are at least `LEAST_ROWS`, else
    those of all models. Where fewer lie before the start, theta is measured for the reference mix:
    the published one of the scenario's own generated workload, or of ``o365``. Nothing that an
    episode serves is looked at. Of generated sessions a reference is served (`session_capacity`).
    """
    renamed = [scenario.workload.rename_models.get(n, n) for n in trace.models]
    if not isinstance(trace, RequestTrace):
        indices = [renamed.index(n) if n in renamed else 0 for n in scenario.models]
        return measure_theta(scenario, lambda m: trace.token_mix(indices[m]))
    if trace.name == SESSIONS:
        return session_theta(scenario)
    known = trace.known
    if known is None or len(known.overall[0]) < LEAST_ROWS:
        return measure_theta(scenario)
    old = dict(zip(trace.models, renamed, strict=True))
    own = {old[n]: p for n, p in known.by_model if n in old and len(p[0]) >= LEAST_ROWS}
    return measure_theta(scenario, lambda m: own.get(scenario.models[m], known.overall))


def in_names_of(scenario: Scenario, series: DemandSeries) -> DemandSeries:
    """Return a series in the models, regions and tiers of a scenario; others are left out.

    Models that the scenario renames to the same name are added up.
    """
    renamed = [scenario.workload.rename_models.get(n, n) for n in series.models]
    table = np.array([[float(n == wanted) for n in renamed] for wanted in scenario.models])
    sums = {
        field: np.einsum("nm,tmrk->tnrk", table, getattr(series, field))
        for field in ("requests", "prompt_tokens", "output_tokens")
    }
    series = replace(series, models=scenario.models, **sums)
    series = series.reindex("regions", scenario.region_names)
    return series.reindex("tiers", scenario.tier_names)


def read_file(scenario: Scenario, spec: TraceSpec) -> tuple[RequestTrace, LoadReport] | None:
    """Return a trace's file as it is, and what reading it came to; None if it is generated."""
    name = _name(scenario, spec)
    if is_generated(name):
        return None
    try:
        return read_trace(name, reading=spec.reading, **names_of(scenario))
    except TraceError as error:
        if spec.name is not None:
            raise
        raise TraceError(f"scenario {scenario.name!r}: workload: trace: {error}") from None


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


def _name(scenario: Scenario, spec: TraceSpec) -> str:
    return spec.name or scenario.workload.trace
