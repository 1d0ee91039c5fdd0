"""Pure, seeded transforms: trace in, new trace out. The published token mix is carried along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .assignment import assign
from .errors import TraceError
from .source import TraceSource
from .token_mix import TokenMix
from .trace import COLUMNS, RequestTrace

Seed = int | np.random.Generator
FloatArray = npt.NDArray[np.float64]

#: Copies of a superposition are moved by up to this much, so that no two requests arrive together
#: and bursts shorter than it are not multiplied (our assumption (A)).
JITTER_S: Final = 30.0

#: Width of the bins of what lies before a later start.
PAST_BIN_S: Final = 60.0

__all__ = [
    "assign",
    "begin_at",
    "change_mix",
    "concatenate",
    "inject_bursts",
    "scale_rate",
    "shift",
    "slice_trace",
    "stretch",
    "tile",
]


def scale_rate(
    trace: RequestTrace, factor: float, seed: Seed, *, jitter_s: float = JITTER_S
) -> RequestTrace:
    """Multiply the request rate.

    Below 1 requests are kept with probability ``factor`` (thinning). Above 1 copies of the trace
    are superposed: floor(factor) whole ones and a thinned one for the rest. The first is the
    original; each request of the others arrives up to ``jitter_s`` earlier or later, reflected at
    both ends. Thinning and independent jitter both keep a Poisson process one.
    """
    _positive("factor", factor)
    rng = np.random.default_rng(seed)
    whole, rest = int(factor), factor - int(factor)
    parts = [np.arange(len(trace))] * whole
    if rest > 0:
        parts.append(np.flatnonzero(rng.random(len(trace)) < rest))
    if not parts:
        parts = [np.arange(0)]
    rows = np.concatenate(parts)
    arrival = trace.arrival_s[rows].copy()
    copies = slice(len(parts[0]), None)
    moved = arrival[copies] + rng.uniform(-jitter_s, jitter_s, len(arrival[copies]))
    arrival[copies] = _reflect(moved, trace.duration_s)
    return _rebuild(trace, rows, arrival)


def stretch(trace: RequestTrace, factor: float) -> RequestTrace:
    """Multiply all times (and the length) by ``factor``: 2 halves the rate."""
    _positive("factor", factor)
    return replace(
        _without_past(trace),
        arrival_s=trace.arrival_s * factor,
        duration_s=trace.duration_s * factor,
    )


def tile(trace: RequestTrace, duration_s: float) -> RequestTrace:
    """Repeat the trace until it is ``duration_s`` long; the last copy (or the trace) may be cut."""
    _positive("duration_s", duration_s)
    _positive(f"the length of trace {trace.name!r}", trace.duration_s)
    copies = math.ceil(duration_s / trace.duration_s - 1e-12)
    rows = np.tile(np.arange(len(trace)), copies)
    arrival = trace.arrival_s[rows]
    arrival = arrival + trace.duration_s * np.repeat(np.arange(copies), len(trace))
    keep = arrival < duration_s
    return _rebuild(trace, rows[keep], arrival[keep], duration_s=float(duration_s), past=trace.past)


def slice_trace(trace: RequestTrace, start_s: float, end_s: float | None = None) -> RequestTrace:
    """Cut ``[start_s, end_s)`` out; the same as `RequestTrace.slice`."""
    return trace.slice(start_s, end_s)


def begin_at(trace: RequestTrace, start_s: float) -> RequestTrace:
    """Return the trace from ``start_s`` on; what lies before is its past, in bins of a minute.

    The tokens of the requests before are what is known of the mix (`RequestTrace.known`).

    Raises:
        TraceError: If no request is left.
    """
    last = float(trace.arrival_s[-1]) if len(trace) else 0.0
    if start_s > last:
        raise TraceError(
            f"trace {trace.name!r}: start_s {start_s:g} is after its last request, {last:g} s "
            "after the first"
        )
    after = trace.with_past(None).slice(start_s)
    bins = int(start_s // PAST_BIN_S)
    before = trace.with_past(None).slice(start_s - bins * PAST_BIN_S, start_s)
    past = before.demand(PAST_BIN_S, bins * PAST_BIN_S).shift(-bins * PAST_BIN_S)
    whole = trace.slice(0.0, start_s)
    known = TokenMix.from_rows(whole.prompt_tokens, whole.output_tokens, whole.model, trace.models)
    return replace(after, past=past if bins else None, known=known)


def shift(trace: RequestTrace, offset_s: float, *, wrap: bool = False) -> RequestTrace:
    """Move all arrivals later by ``offset_s``.

    Args:
        trace: The trace.
        offset_s: Seconds; the calendar stays with the clock, so the workload moves against it.
        wrap: Keep the length and let what leaves one end come in at the other (then ``offset_s``
            may be negative); otherwise the trace grows by a silent lead.
    """
    if not math.isfinite(offset_s) or (offset_s < 0 and not wrap):
        raise TraceError(f"shift: offset_s must be a number >= 0 without wrap, got {offset_s!r}")
    if not wrap:
        return replace(
            _without_past(trace),
            arrival_s=trace.arrival_s + offset_s,
            duration_s=trace.duration_s + offset_s,
        )
    _positive(f"the length of trace {trace.name!r}", trace.duration_s)
    arrival = np.mod(trace.arrival_s + offset_s, trace.duration_s)
    return _rebuild(trace, np.arange(len(trace)), arrival)


def inject_bursts(
    trace: RequestTrace,
    seed: Seed,
    bursts: Sequence[tuple[float, float, float]],
    *,
    model: str | None = None,
    region: str | None = None,
) -> RequestTrace:
    """Multiply the rate in some windows.

    Args:
        trace: The trace.
        seed: Seed or generator.
        bursts: (start, length, factor >= 1) in seconds; overlapping bursts add up.
        model: Only requests of this model are multiplied.
        region: Only requests from this region are multiplied.

    Returns:
        The trace with (factor - 1) more copies of the requests in each window (thinned for the
        fraction), at times drawn uniformly in the window.
    """
    rng = np.random.default_rng(seed)
    chosen = np.ones(len(trace), dtype=bool)
    for value, names, codes in (
        (model, trace.models, trace.model),
        (region, trace.regions, trace.region),
    ):
        if value is not None:
            chosen &= codes == _index(value, names)
    rows, times = [np.arange(len(trace))], [trace.arrival_s]
    for start, length, factor in bursts:
        if not (start >= 0 and length > 0 and 1 <= factor < math.inf):
            raise TraceError(
                f"burst ({start}, {length}, {factor}): needs start >= 0, length > 0, factor >= 1"
            )
        end = min(start + length, trace.duration_s)
        inside = np.flatnonzero(chosen & (trace.arrival_s >= start) & (trace.arrival_s < end))
        extra = factor - 1
        copies = int(extra) + (rng.random(len(inside)) < extra - int(extra))
        rows.append(np.repeat(inside, copies))
        times.append(rng.uniform(start, max(start, end), len(rows[-1])))
    return _rebuild(trace, np.concatenate(rows), np.concatenate(times))


def change_mix(
    trace: RequestTrace, seed: Seed, source: str, target: str, fraction: float, at_s: float = 0.0
) -> RequestTrace:
    """Move a fraction of one model's requests to another model from ``at_s`` on."""
    if not 0 <= fraction <= 1:
        raise TraceError(f"change_mix: fraction must be in [0, 1], got {fraction!r}")
    rng = np.random.default_rng(seed)
    moved = (trace.model == _index(source, trace.models)) & (trace.arrival_s >= at_s)
    moved &= rng.random(len(trace)) < fraction
    model = np.where(moved, _index(target, trace.models), trace.model).astype(np.int16)
    return replace(_with_mix(trace), model=model)


def concatenate(source: TraceSource) -> RequestTrace:
    """Read a whole source into memory, with its token mix."""
    chunks = list(source.chunks())
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks]) if chunks else np.zeros(0)
        for name in COLUMNS
    }
    mix = [(name, source.token_mix(i)) for i, name in enumerate(source.models)]
    overall = tuple(np.concatenate([pair[i] for _, pair in mix]) for i in (0, 1))
    return RequestTrace(
        **columns,
        models=source.models,
        regions=source.regions,
        tiers=source.tiers,
        duration_s=source.duration_s,
        name=source.name,
        split=source.split,
        start_weekday=source.start_weekday,
        start_hour_utc=source.start_hour_utc,
        mix=TokenMix((overall[0], overall[1]), tuple(mix)),
    )


def _rebuild(
    trace: RequestTrace,
    rows: npt.NDArray[np.int64],
    arrival: FloatArray,
    **changes: Any,
) -> RequestTrace:
    """Take ``rows`` at new times, sorted; ids are kept only if no row occurs twice."""
    order = np.argsort(arrival, kind="stable")
    rows = rows[order]
    columns: dict[str, Any] = {name: getattr(trace, name)[rows] for name in COLUMNS[1:]}
    ids = trace.request_id
    unique = ids is not None and len(rows) <= len(trace) and len(np.unique(rows)) == len(rows)
    columns["request_id"] = ids[rows] if ids is not None and unique else None
    columns["past"] = None
    columns["prefix_node"] = None if trace.prefix_node is None else trace.prefix_node[rows]
    once = len(np.unique(rows)) == len(rows)  # a session that comes twice is none
    for key in ("session", "think_s"):
        values = getattr(trace, key)
        columns[key] = values[rows] if values is not None and once else None
    return replace(_with_mix(trace), arrival_s=arrival[order], **(columns | changes))


def _with_mix(trace: RequestTrace) -> RequestTrace:
    """Make sure that the mix is fixed before rows change."""
    if trace.mix is None:
        trace.token_mix(0)
    return trace


def _without_past(trace: RequestTrace) -> RequestTrace:
    return replace(_with_mix(trace), past=None)


def _reflect(values: FloatArray, high: float) -> FloatArray:
    if high <= 0:
        return np.zeros_like(values)
    folded = np.mod(values, 2 * high)
    return np.where(folded > high, 2 * high - folded, folded)


def _index(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise TraceError(f"unknown name {name!r}; the trace has {', '.join(names)}")
    return names.index(name)


def _positive(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise TraceError(f"{what} must be a positive number, got {value!r}")
