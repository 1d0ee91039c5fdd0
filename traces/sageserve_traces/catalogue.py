"""Named traces and `make_trace`."""

from __future__ import annotations

from pathlib import Path

from .errors import TraceError
from .source import TraceSource
from .synthetic import O365Trace


def make_trace(
    trace: str | Path | TraceSource,
    *,
    seed: int = 0,
    horizon_s: float | None = None,
    scale: float = 1.0,
    **options: object,
) -> TraceSource:
    """Return a trace source by name, path or object (minimal; grows)."""
    if not isinstance(trace, str | Path):
        return trace
    if str(trace) == "o365":
        days = 1.0 if horizon_s is None else horizon_s / 86400
        return O365Trace(seed, days=days, scale=scale)
    raise TraceError(f"unknown trace {trace!r}")
