"""What numbers in a time column count: found out from their size, their gaps and their name.

The rules are our assumptions (A). They are judged on most rows, so that a bad cell does not sway
them; the reader says what was assumed, and `ReadOptions.time_unit` overrides it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..reading import TIME_UNITS

FloatArray = npt.NDArray[np.float64]

#: Unix times that are believed, in seconds: 2010 to 2100.
_UNIX_S = (1.262e9, 4.103e9)
_UNIX_UNITS = ("s", "ms", "us", "ns")
#: Day numbers of spreadsheets that are believed, 2000 to 2100; day 0 is 30 December 1899.
_SHEET_DAYS = (36_526.0, 73_051.0)
_SHEET_UNIX_S: Final = -2_209_161_600.0
_SHORTEST_GAP_S: Final = 1e-4
_SHORTEST_LENGTH_S: Final = 1.0
_LONGEST_GAP_S: Final = 60.0
_LONGEST_DECLARED_GAP_S: Final = 3600.0
_SHORT_LENGTH_S: Final = 10.0
_LONGEST_LENGTH_S: Final = 400 * 86_400.0
_FEWEST: Final = 4  # rows from which gaps say something
_MANY: Final = 20
_FAR_FROM_MOST: Final = 1000.0  # times the length of the shortest stretch with most rows
_NAMES = {
    "ns": "nanoseconds",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
}
_IN_NAME_UNITS = ("ns", "us", "ms", "s", "min", "h", "d")
_IN_NAME = re.compile(
    r"(?:^|[\W_])(?:(ns|nanos(?:ec(?:ond)?s?)?|nanoseconds?)|(us|micros(?:ec(?:ond)?s?)?|microseconds?)"
    r"|(ms|msec|millis(?:ec(?:ond)?s?)?|milliseconds?)|(s|secs?|seconds?)|(mins?|minutes?)"
    r"|(h|hrs?|hours?)|(days?))[\W_]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Unit:
    """What a number in a time column means.

    Attributes:
        size_s: Seconds of one unit.
        unix_s: Unix time of 0 where numbers are calendar times; None where they count from the
            start of the trace.
        text: How it is said.
    """

    size_s: float
    unix_s: float | None
    text: str


def find_unit(values: FloatArray, *, given: str | None, declared: str | None) -> Unit:
    """Return what the numbers of a column count.

    Args:
        values: Finite numbers of the column, at least one, in any order.
        given: The user's word for it, a key of `TIME_UNITS`.
        declared: What the schema or the column's name says.
    """
    values = np.sort(values)
    for name in _UNIX_UNITS:
        if given in (None, name) and _is_unix(values, TIME_UNITS[name]):
            return Unit(TIME_UNITS[name], 0.0, f"Unix time in {_NAMES[name]}")
    sheet = _mostly_within(values, *_SHEET_DAYS)
    if sheet and (
        given == "d"
        or (given is None and (declared == "d" or (declared is None and _counts_days(values))))
    ):
        return Unit(TIME_UNITS["d"], _SHEET_UNIX_S, "day numbers of a spreadsheet")
    name = given or _relative(values, declared)
    return Unit(TIME_UNITS[name], None, f"{_NAMES[name]} from the start")


def unit_in_name(column: str) -> str | None:
    """Return the unit that a column's name ends with, as in ``offset_ms`` or ``time (us)``."""
    found = _IN_NAME.search(column)
    return None if found is None else _IN_NAME_UNITS[(found.lastindex or 1) - 1]


def implausible(length_s: float, rows: int) -> bool:
    """Return whether a trace of that length is hardly what was meant."""
    if rows < 2:
        return False
    gap_s = length_s / (rows - 1)
    too_fast = length_s < _SHORTEST_LENGTH_S and gap_s < 0.01
    return length_s > _LONGEST_LENGTH_S or gap_s > _LONGEST_DECLARED_GAP_S or too_fast


def _is_unix(values: FloatArray, size_s: float) -> bool:
    """Return whether most values are Unix times; a long trace from 0 on has earlier ones too."""
    seconds = values * size_s
    inside = np.count_nonzero((seconds >= _UNIX_S[0]) & (seconds < _UNIX_S[1]))
    before = np.count_nonzero((seconds >= 0.1 * _UNIX_S[0]) & (seconds < _UNIX_S[0]))
    return bool(2 * inside >= len(values) and 10 * before <= inside)


def _mostly_within(values: FloatArray, low: float, high: float) -> bool:
    return bool(2 * np.count_nonzero((values >= low) & (values < high)) > len(values))


def _counts_days(values: FloatArray) -> bool:
    """Return whether day numbers fit better than seconds.

    Times of a clock are whole seconds or milliseconds, so day numbers are multiples of those
    parts of a day, which seconds since a start are not by chance. Otherwise the gaps decide.
    """
    values = values[(values >= _SHEET_DAYS[0]) & (values < _SHEET_DAYS[1])]
    gap = _gap(values)
    if gap > 1.0:
        return False  # days between requests: seconds
    fraction = values[values != np.floor(values)]
    if not len(fraction):
        return False
    ticks = fraction * TIME_UNITS["d"] * 1e3
    on_tick = np.abs(ticks - np.round(ticks)) < 0.02  # float64 resolves 0.001 ms at this size
    whole_ms = np.round(fraction * 1e3) == fraction * 1e3
    if 10 * np.count_nonzero(on_tick & ~whole_ms) >= 9 * len(fraction):
        return True
    return 0 < gap < 1e-3 <= gap * TIME_UNITS["d"]


def _relative(values: FloatArray, declared: str | None) -> str:
    """Return the unit of numbers that count from the start."""
    name = declared or "s"
    values = _bulk(values)
    if len(values) < _FEWEST:
        return name
    gap = _gap(values)
    length = gap * (len(values) - 1)
    if name == "ms" and _are_seconds(values, gap, length):
        return "s"
    longest_s = _LONGEST_GAP_S if declared is None else _LONGEST_DECLARED_GAP_S
    for candidate in (name, *(unit for unit in ("s", "ms", "us", "ns") if unit != name)):
        size_s = TIME_UNITS[candidate]
        limit_s = longest_s if candidate == name else _LONGEST_GAP_S
        fits = _SHORTEST_GAP_S <= gap * size_s <= limit_s
        if candidate == "s" and _counts_minutes(values):
            fits = True
        if fits and (length * size_s >= _SHORTEST_LENGTH_S or candidate == "s"):
            return candidate
    return name


def _are_seconds(values: FloatArray, gap: float, length: float) -> bool:
    """Return whether numbers that should be milliseconds are seconds.

    Milliseconds are whole; a trace of a few seconds is unlikely where seconds give minutes.
    """
    if gap > _LONGEST_GAP_S:
        return False
    if 2 * np.count_nonzero(values != np.floor(values)) > len(values):
        return True
    return length * TIME_UNITS["ms"] < _SHORT_LENGTH_S and _divisor(values) < 5


def _counts_minutes(values: FloatArray) -> bool:
    """Return whether the numbers are whole minutes in seconds, as binned times are."""
    divisor = _divisor(values)
    return 60 <= divisor <= 3600 and divisor % 60 == 0


def _divisor(values: FloatArray) -> int:
    """Return the largest whole number that divides the gaps of sorted values; 0 if none does."""
    gaps = _gaps(values)
    gaps = gaps[gaps > 0]
    if not len(gaps) or (gaps != np.floor(gaps)).any() or gaps[-1] > 2**53:
        return 0
    return int(np.gcd.reduce(gaps.astype(np.int64)))


def _bulk(values: FloatArray) -> FloatArray:
    """Return sorted values without those far from the shortest stretch that holds most of them."""
    n = len(values)
    most = n // 2 + 1
    if n < _FEWEST:
        return values
    widths = values[most - 1 :] - values[: n - most + 1]
    first = int(np.argmin(widths))
    margin = _FAR_FROM_MOST * float(widths[first])
    if not margin > 0.0:
        return values
    low, high = values[first] - margin, values[first + most - 1] + margin
    near: FloatArray = values[(values >= low) & (values <= high)]
    return near


def _gap(values: FloatArray) -> float:
    """Return the mean gap of sorted values, of their middle nine tenths where they are many."""
    n = len(values)
    if n >= _MANY:
        low, high = n // 20, n - 1 - n // 20
        return float(values[high] - values[low]) / (high - low)
    gaps = _gaps(values)
    mean = float(gaps.mean()) if len(gaps) else 0.0
    return mean or float(values[-1] - values[0]) / max(n - 1, 1)


def _gaps(values: FloatArray) -> FloatArray:
    """Return the gaps of sorted values, the longest tenth left out (at least one)."""
    gaps = np.sort(np.diff(values))
    if len(gaps) >= _FEWEST - 1:
        gaps = gaps[: len(gaps) - max(1, len(gaps) // 10)]
    return gaps
