"""Small checks and calculations on arrays and calendars of traces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import TraceError
from .names import SECONDS_PER_DAY, SECONDS_PER_HOUR


def count_bins(duration_s: float, bin_s: float) -> int:
    """Return how many bins of ``bin_s`` cover ``duration_s``."""
    if not (math.isfinite(bin_s) and bin_s > 0):
        raise TraceError(f"bin_s must be positive, got {bin_s!r}")
    return max(0, math.ceil(duration_s / bin_s - 1e-9))


def advance_calendar(weekday: int, hour_utc: float, seconds: float) -> tuple[int, float]:
    """Return weekday and hour ``seconds`` after a given weekday and hour."""
    total = hour_utc * SECONDS_PER_HOUR + seconds
    days = math.floor(total / SECONDS_PER_DAY)
    hour = (total - days * SECONDS_PER_DAY) / SECONDS_PER_HOUR
    return (weekday + days) % 7, min(hour, math.nextafter(24.0, 0.0))


def checked_column(
    name: str, column: str, values: npt.ArrayLike, dtype: type[np.generic], n: int
) -> npt.NDArray[Any]:
    """Return a read-only copy of a column in its type.

    Raises:
        TraceError: If the shape is wrong or a value is not a finite number that fits.
    """
    raw = np.asarray(values)
    if raw.shape != (n,):
        raise TraceError(f"trace {name!r}: column {column} has shape {raw.shape}, expected ({n},)")
    if raw.dtype.kind not in "iuf" and n:
        raise TraceError(f"trace {name!r}: column {column} is not numeric ({raw.dtype})")
    if raw.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(raw))
        if len(bad):
            raise TraceError(f"trace {name!r}: row {bad[0]}, column {column}: not a finite number")
    if np.issubdtype(dtype, np.integer) and n and raw.dtype != dtype:
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        bad = np.flatnonzero((raw < limits.min) | (raw > limits.max) | (raw != np.floor(raw)))
        if len(bad):
            raise TraceError(
                f"trace {name!r}: row {bad[0]}, column {column}: {raw[bad[0]]} is not a whole "
                f"number that fits {np.dtype(dtype)}"
            )
    array = np.array(raw, dtype=dtype)
    array.flags.writeable = False
    return array


def checked_ids(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    """Return a read-only copy of ids: texts as they are, numbers as 64-bit integers.

    Raises:
        TraceError: If the shape is wrong or a number is no whole one that fits.
    """
    raw = np.asarray(values)
    if raw.dtype.kind not in "UO" or raw.shape != (n,):
        return checked_column(name, "request_id", raw, np.int64, n)
    array = raw.astype(np.str_)
    array.flags.writeable = False
    return array
