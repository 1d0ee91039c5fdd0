"""The time column of a file: seconds from the first arrival, whatever form the file has.

What most rows are decides what a time looks like (numbers, ISO 8601 with or without a zone), what
numbers count, where the trace lies and in which order it is. Single rows that do not fit are
refused one by one; a column that does not fit as a whole is an error even where rows are dropped.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import TraceError
from .cells import FloatArray, arrow_stamps, to_float, to_stamps, to_texts
from .units import find_unit, implausible, unit_in_name

if TYPE_CHECKING:
    from .columns import Checker

BoolArray = npt.NDArray[np.bool_]

#: No request for longer than this inside a trace: what lies beyond is a wrong time (A).
FAR_S: Final = 90 * 86_400.0
#: Longest count from wherever a clock began: beyond it, floats are coarser than 0.1 ms.
LONGEST_S: Final = 1e11
#: A step back of about an hour may be a change of the clocks.
_CLOCK_CHANGE_S = (1800.0, 3660.0)
_ISO = "ISO 8601, such as 2024-05-10T13:00:00 or 2024-05-10 13:00:00+02:00"
_NUMBER, _ZONED, _NAIVE = 0, 1, 2
_KINDS = ("numbers", "times with a zone", "times without a zone")


def read_times(
    checker: Checker, column: str, declared: str | None = None
) -> tuple[FloatArray, Any]:
    """Return a column in seconds from the first good row, and that row's time where it has one.

    Args:
        checker: Holds the rows; those that do not fit are refused there.
        column: Name of the column in the table.
        declared: What the schema says that numbers count; None where it says nothing.

    Returns:
        Seconds ``float64 [n]``, 0 in bad rows, and a ``datetime64[ns]`` in UTC or None.

    Raises:
        TraceError: If a row is refused (unless rows are dropped) or the column as a whole.
    """
    if not checker.good.any():
        return np.zeros(len(checker.good)), None
    kinds, numbers, stamps = _cells(checker, column)
    kind = _majority_kind(checker, column, kinds)
    if not checker.good.any():
        return np.zeros(len(checker.good)), None
    if kind == _NUMBER:
        seconds, unix_s = _from_numbers(checker, column, numbers, declared)
    else:
        begin = stamps[np.flatnonzero(checker.good)[0]]
        seconds = (stamps - begin) / np.timedelta64(1, "s")
        unix_s = (begin - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    _refuse_far(checker, column, seconds)
    if kind == _NUMBER and unix_s is None:
        checker.refuse(seconds < 0, column, "is negative")
        late = "is more than 3,000 years after the start"
        checker.refuse(seconds > LONGEST_S, column, late, "; check the unit")
    _refuse_out_of_order(checker, column, seconds, naive=kind == _NAIVE)
    good = np.flatnonzero(checker.good)
    if not len(good):
        return np.zeros(len(seconds)), None
    zero = 0.0 if checker.has_own_zero and unix_s is None else float(seconds[good[0]])
    arrival = np.where(checker.good, seconds - zero, 0.0)
    first = None
    if kind != _NUMBER:
        first = stamps[good[0]]
    elif unix_s is not None:
        first = np.datetime64(round((unix_s + float(seconds[good[0]])) * 1e6), "us")
        first = first.astype("datetime64[ns]")
    _note_length(checker, column, float(arrival[good[-1]] - arrival[good[0]]), len(good))
    return arrival, first


def _cells(checker: Checker, column: str) -> tuple[npt.NDArray[np.int8], FloatArray, Any]:
    """Return for each row its kind (-1 for what is no time), its number and its time."""
    cells = checker.table.columns[column]
    form = checker.reading.time_format
    n = len(checker.good)
    kinds = np.full(n, -1, dtype=np.int8)
    numbers = np.full(n, np.nan)
    stamps = np.full(n, np.datetime64("NaT"), dtype="datetime64[ns]")
    found = arrow_stamps(cells)
    if found is not None:
        stamps = found[0]
        kinds[~np.isnat(stamps)] = _ZONED if found[1] else _NAIVE
        return kinds, numbers, stamps
    if form is None:
        numbers = to_float(cells)
        kinds[~np.isnan(numbers)] = _NUMBER
    rest = np.flatnonzero(kinds < 0)
    if len(rest):
        texts = to_texts(cells)
        stamps[rest], zoned = to_stamps([texts[row] for row in rest], form)
        is_time = ~np.isnat(stamps[rest])
        kinds[rest[is_time]] = np.where(zoned[is_time], _ZONED, _NAIVE)
    return kinds, numbers, stamps


def _majority_kind(checker: Checker, column: str, kinds: npt.NDArray[np.int8]) -> int:
    """Return the kind of most good rows, and refuse the others.

    Raises:
        TraceError: If most rows hold no time at all.
    """
    reading = checker.reading
    good = kinds[checker.good]
    reason, advice = "is not a time", f" of the form {reading.time_format}"
    if reading.time_format is None:
        advice = f" in {_ISO}, and no number; say its form with --time-format"
    counts = np.bincount(good[good >= 0], minlength=3)
    if 2 * np.count_nonzero(good < 0) > len(good):
        checker.fail(checker.good & (kinds < 0), column, reason, advice)
    checker.refuse(kinds < 0, column, reason, advice)
    if not counts.any():
        return _NAIVE
    first = int(good[np.argmax(good >= 0)])
    kind = first if counts[first] == counts.max() else int(np.argmax(counts))
    checker.refuse(kinds != kind, column, f"is of another kind than most rows ({_KINDS[kind]})")
    return kind


def _from_numbers(
    checker: Checker, column: str, numbers: FloatArray, declared: str | None
) -> tuple[FloatArray, float | None]:
    """Return seconds, and the Unix time of second 0 where the numbers are calendar times."""
    checker.refuse(~np.isfinite(numbers), column, "is not a finite number")
    usable = numbers[checker.good]
    if not len(usable):
        return np.zeros(len(numbers)), None
    name = checker.shown(column)
    unit = find_unit(
        usable, given=checker.reading.time_unit, declared=declared or unit_in_name(name)
    )
    if name != "arrival_s" or unit.unix_s is not None or unit.size_s != 1.0:
        checker.notes.append(f"{name} read as {unit.text}")
    if unit.unix_s is None:
        return numbers * unit.size_s, None
    begin = float(np.sort(usable)[(len(usable) - 1) // 2])  # a middle one, for small differences
    return (numbers - begin) * unit.size_s, unit.unix_s + begin * unit.size_s


def _refuse_far(checker: Checker, column: str, seconds: FloatArray) -> None:
    """Refuse rows that a long pause separates from the largest group of rows."""
    rows = np.flatnonzero(checker.good)
    order = rows[np.argsort(seconds[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(seconds[order]) > FAR_S) + 1
    if not len(cuts):
        return
    groups = np.split(order, cuts)
    largest = max(groups, key=lambda group: (len(group), -int(group.min())))
    far = np.ones(len(seconds), dtype=bool)
    far[largest] = False
    days = f"{FAR_S / 86_400:.0f}"
    checker.refuse(far, column, f"is more than {days} days from the other rows", "; check the unit")


def _refuse_out_of_order(
    checker: Checker, column: str, seconds: FloatArray, *, naive: bool
) -> None:
    """Refuse the fewest rows without which times never fall."""
    rows = np.flatnonzero(checker.good)
    times = seconds[rows]
    if not (np.diff(times) < 0).any():
        return
    if naive:
        _check_clock_change(checker, column, times, rows)
    keep = _longest_rising(times)
    if 2 * np.count_nonzero(keep) < len(rows):
        falls = np.flatnonzero(np.diff(times) < 0)
        name = checker.shown(column)
        raise TraceError(
            f"{checker.table.path}: column {name}: times fall in {len(falls):,} of {len(rows):,} "
            f"rows, first in row {rows[falls[0] + 1] + 1}; sort the file by {name}"
        )
    kept = np.maximum.accumulate(np.where(keep, times, -np.inf))
    for bad, reason in (
        (~keep & (times < kept), "is earlier than a row before"),
        (~keep & (times >= kept), "is later than a row after"),
    ):
        out = np.zeros(len(seconds), dtype=bool)
        out[rows[bad]] = True
        checker.refuse(out, column, reason, "; sort the file")


def _check_clock_change(
    checker: Checker, column: str, times: FloatArray, rows: npt.NDArray[np.int64]
) -> None:
    """Refuse a file of local times in which the clocks were set back.

    Raises:
        TraceError: If times fall by about an hour and go on from there.
    """
    steps = np.diff(times)
    for fall in np.flatnonzero((steps <= -_CLOCK_CHANGE_S[0]) & (steps >= -_CLOCK_CHANGE_S[1])):
        after = times[fall + 1 : fall + 3]
        if len(after) == 2 and after[0] <= after[1] < times[fall]:
            row = int(rows[fall + 1])
            raise TraceError(
                f"{checker.table.path}: row {row + 1}, column {checker.shown(column)}: times fall "
                f"by {-steps[fall] / 60:.0f} min and go on from there, as local times do when the "
                "clocks are set back; write them in UTC or with an offset, such as "
                "2024-11-03T01:30:00-04:00"
            )


def _longest_rising(times: FloatArray) -> BoolArray:
    """Return a longest part of a sequence that never falls; of two, the one that begins first."""
    tails: list[float] = []  # of the sequence backwards and negated, so that early rows win
    ends: list[int] = []
    before = np.full(len(times), -1, dtype=np.int64)
    for row in range(len(times) - 1, -1, -1):
        value = -float(times[row])
        place = bisect.bisect_right(tails, value)
        if place == len(tails):
            tails.append(value)
            ends.append(row)
        else:
            tails[place], ends[place] = value, row
        before[row] = ends[place - 1] if place else -1
    keep = np.zeros(len(times), dtype=bool)
    row = ends[-1] if ends else -1
    while row >= 0:
        keep[row] = True
        row = int(before[row])
    return keep


def _note_length(checker: Checker, column: str, length_s: float, rows: int) -> None:
    """Say how long a trace is whose unit was found out, and warn where that is implausible."""
    if implausible(length_s, rows):
        checker.notes.append(
            f"{rows:,} requests in {_shown(length_s)} are implausible; if {checker.shown(column)} "
            "counts something else, say so with --time-unit (ns, us, ms, s, min, h, d)"
        )
    elif checker.notes and checker.notes[-1].startswith(f"{checker.shown(column)} read as"):
        checker.notes[-1] += f": {rows:,} requests in {_shown(length_s)}"


def _shown(seconds: float) -> str:
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{1e3 * seconds:.3g} ms"
