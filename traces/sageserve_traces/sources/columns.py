"""Turning raw columns into checked numbers, with the row and column of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import TraceError

if TYPE_CHECKING:
    from .table import Table

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_MAX_TOKENS = float(np.iinfo(np.int32).max)
_LONGEST_S = 10 * 366 * 86_400.0
"""Longest trace that is believed (A); what is longer is a wrong unit."""
_UNIX_UNITS = (("seconds", 1.0), ("milliseconds", 1e-3), ("microseconds", 1e-6))
_UNIX_S = (1e9, 1e10)
"""Unix times from 2001 to 2286; as seconds from the start, a first arrival after 31 years."""


@dataclass(frozen=True)
class LoadReport:
    """What reading a file came to.

    Attributes:
        path: The file.
        schema: Name of the schema that was recognised.
        rows: Rows kept.
        dropped: Rows left out, by reason; empty unless ``on_error="drop"``.
        assumed: Columns the file does not have: ``model``, ``region``, ``tier``, ``iw_split``.
        outputs_raised: Rows whose output of 0 tokens was read as 1.
        notes: How values were read, where there was a choice.
    """

    path: str
    schema: str
    rows: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    outputs_raised: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rows_dropped(self) -> int:
        """Total of the rows left out."""
        return sum(self.dropped.values())


class Checker:
    """Collects which rows are unusable; the first one is an error unless rows are dropped."""

    def __init__(self, table: Table, rows: int, *, drop: bool) -> None:
        self.table = table
        self.drop = drop
        self.good: BoolArray = np.ones(rows, dtype=bool)
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        if table.bad_rows:
            self.dropped["wrong number of fields"] = table.bad_rows

    def refuse(self, bad: BoolArray, column: str, reason: str) -> None:
        """Mark rows as unusable.

        Raises:
            TraceError: With file, row and column, unless rows are dropped.
        """
        bad = bad & self.good
        if not bad.any():
            return
        if not self.drop:
            row = int(np.argmax(bad))
            value = _python(self.table.columns[column][row])
            shown = "" if value is None else f" {str(value)[:40]!r}"
            raise TraceError(
                f"{self.table.path}: row {row + 1}, column {column}: value{shown} {reason}"
                if shown
                else f"{self.table.path}: row {row + 1}, column {column}: the value is missing"
            )
        key = f"{column} {reason}"
        self.dropped[key] = self.dropped.get(key, 0) + int(bad.sum())
        self.good &= ~bad

    def numbers(self, column: str) -> FloatArray:
        """Return a column as floats; missing, unreadable and non-finite values are refused."""
        values = to_float(self.table.columns[column])
        self.refuse(~np.isfinite(values), column, "is not a finite number")
        return values

    def tokens(self, column: str, least: int) -> npt.NDArray[np.int32]:
        """Return a column of whole numbers from ``least`` on."""
        values = self.numbers(column)
        with np.errstate(invalid="ignore"):
            self.refuse(values < least, column, f"is below {least}")
            self.refuse(values > _MAX_TOKENS, column, "is too large")
            self.refuse(values != np.floor(values), column, "is not a whole number")
        return np.where(self.good, values, 1).astype(np.int32)

    def labels(self, column: str, known: Mapping[str, int], what: str) -> npt.NDArray[np.int16]:
        """Return a column of names as indices; names that are not known are refused."""
        codes, values = factorise(self.table.columns[column])
        table = np.array([known.get(value, -1) for value in values] or [-1], dtype=np.int16)
        index: npt.NDArray[np.int16] = table[codes]
        names = ", ".join(sorted(known))
        self.refuse(index < 0, column, f"is an unknown {what} (known: {names})")
        return index

    def times(self, column: str, *, unit_s: float = 1.0) -> tuple[FloatArray, Any]:
        """Return a column of times in seconds, and the first as a timestamp if it is one.

        Numbers are taken times ``unit_s``, or as Unix time if the first one can only be that;
        anything else is read as ISO 8601 timestamps (UTC unless they carry an offset). Both kinds
        of timestamps are counted from the first good row. Times must not fall.
        """
        values = to_float(self.table.columns[column])
        first = None
        if len(values) and np.isnan(values).all():
            stamps = to_stamps(self.table.columns[column])
            usable = ~np.isnat(stamps)
            self.refuse(~usable, column, "is not a time")
            good = np.flatnonzero(self.good & usable)
            first = stamps[good[0]] if len(good) else None
            values = (stamps - (first if first is not None else stamps[:1])) / np.timedelta64(
                1, "s"
            )
        else:
            self.refuse(~np.isfinite(values), column, "is not a finite number")
            values, first = self._from_unix(column, values, unit_s)
            if first is None:
                self.refuse(values < 0, column, "is negative")
        with np.errstate(invalid="ignore"):
            late = values > _LONGEST_S
        self.refuse(late, column, "is more than ten years after the start; check the unit")
        seen = np.where(self.good, values, -np.inf)
        latest = np.maximum.accumulate(seen) if len(seen) else seen
        with np.errstate(invalid="ignore"):
            self.refuse(values < latest, column, "is earlier than a row before; sort the file")
        return np.where(self.good, values, 0.0), first

    def _from_unix(
        self, column: str, values: FloatArray, unit_s: float
    ) -> tuple[FloatArray, np.datetime64 | None]:
        """Return seconds from the start, and the time of the start if the numbers say it."""
        good = np.flatnonzero(self.good)
        start = float(values[good[0]]) if len(good) else 0.0
        for name, size_s in _UNIX_UNITS:
            if _UNIX_S[0] <= start * size_s < _UNIX_S[1]:
                self.notes.append(f"{column} read as Unix time in {name}")
                first = np.datetime64(round(start * size_s * 1e6), "us").astype("datetime64[ns]")
                return (values - start) * size_s, first
        return values * unit_s, None


def to_float(column: Any) -> FloatArray:
    """Return a column as floats, NaN where that is impossible."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column, list):
        ok = (int, float, str)
        column = [v if isinstance(v, ok) and not isinstance(v, bool) else None for v in column]
        return np.asarray(pd.to_numeric(pd.Series(column, dtype=object), errors="coerce"), float)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_temporal(column.type) or pa.types.is_boolean(column.type):
        return np.full(len(column), np.nan)
    try:
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    except (pa.ArrowException, ValueError):
        series = pd.Series(column.to_pylist(), dtype=object)
        return np.asarray(pd.to_numeric(series, errors="coerce"), dtype=np.float64)


def to_stamps(column: Any) -> npt.NDArray[np.datetime64]:
    """Return a column of timestamps as UTC, NaT where that is impossible."""
    import pandas as pd

    values = column if isinstance(column, list) else column.to_pylist()
    series = pd.Series([None if v is None else str(v) for v in values], dtype=object)
    stamps = pd.to_datetime(series, utc=True, format="ISO8601", errors="coerce")
    return np.asarray(stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"))


def factorise(column: Any) -> tuple[npt.NDArray[np.int64], Sequence[str]]:
    """Return codes and the distinct values (as stripped strings) of a column of names."""
    import pyarrow as pa

    if isinstance(column, list):
        column = pa.array([None if v is None else str(v) for v in column], type=pa.string())
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values = [str(v).strip() for v in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), [*values, ""]


def _python(value: Any) -> Any:
    return value.as_py() if hasattr(value, "as_py") else value
