"""Cells of a column as numbers and as times, whatever kind of file they come from."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TraceError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Stamps = npt.NDArray[np.datetime64]

#: An ISO 8601 time of day that carries an offset: ``2024-05-10T00:00:00Z``, ``... 02:00+02:00``.
_WITH_ZONE = r"[Tt ]\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)\s*$"
_COMMA = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}(?:[., ]\d{3})+(?:[.,]\d+)?")
_EARLIEST, _LATEST = np.datetime64("1678-01-01", "us"), np.datetime64("2262-01-01", "us")


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


def comma_advice(value: Any) -> str:
    """Return what to do about a text that is a number in another country's form, or nothing."""
    if isinstance(value, str) and _COMMA.fullmatch(value.strip()):
        return "; write numbers with a decimal point and without separators of thousands"
    return ""


def to_texts(column: Any) -> list[str | None]:
    """Return the cells of a column as texts without blanks around them; None where one is missing.

    A whole number of a JSON or Parquet file keeps all its digits.
    """
    values = column if isinstance(column, list) else column.to_pylist()
    return [None if value is None else str(value).strip() for value in values]


def to_stamps(texts: list[str | None], form: str | None = None) -> tuple[Stamps, BoolArray]:
    """Return texts as times in UTC, NaT where that is impossible, and which of them had a zone.

    Args:
        texts: Cells.
        form: Form as `datetime.strptime` writes it; None takes ISO 8601.

    Raises:
        TraceError: If the form cannot be used.
    """
    import pandas as pd

    series = pd.Series(texts, dtype=object)
    if form is None:
        # A comma may stand before the fraction in ISO 8601.
        series = series.str.replace(r"(:\d{2}),(\d)", r"\1.\2", regex=True)
        series = series.str.replace(r"(:\d{2}(?:\.\d+)?) ?(?:UTC|GMT)$", r"\1Z", regex=True)
    try:
        stamps = pd.to_datetime(series, utc=True, format=form or "ISO8601", errors="coerce")
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise TraceError(f"time format {form!r} cannot be used: {reason}") from None
    values = stamps.dt.tz_localize(None).to_numpy()
    with np.errstate(all="ignore"):
        coarse = values.astype("datetime64[us]")
    values = np.where((coarse > _EARLIEST) & (coarse < _LATEST), values, np.datetime64("NaT"))
    if form is None:
        zoned = series.str.contains(_WITH_ZONE, regex=True).fillna(False).to_numpy(dtype=bool)
    else:
        zoned = np.full(len(values), "%z" in form or "%Z" in form)
    return values.astype("datetime64[ns]"), zoned


def arrow_stamps(column: Any) -> tuple[Stamps, bool] | None:
    """Return a column of Arrow timestamps as UTC, and whether it has a zone; None for others."""
    import pyarrow as pa

    if isinstance(column, list) or not pa.types.is_timestamp(column.type):
        return None
    try:
        plain = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    except pa.ArrowException:
        return None
    values = plain.fill_null(np.iinfo(np.int64).min).to_numpy()
    return values.view("datetime64[ns]"), column.type.tz is not None


def to_ids(column: Any) -> npt.NDArray[Any]:
    """Return ids untouched: 64-bit integers where all are, else texts (missing ones are empty)."""
    import pyarrow as pa

    if not isinstance(column, list) and pa.types.is_integer(column.type) and not column.null_count:
        try:
            return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)
        except pa.ArrowException:
            pass
    texts = ["" if text is None else text for text in to_texts(column)]
    numbers = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        try:
            number = int(text)
            numbers[row] = number
        except (ValueError, OverflowError):
            return np.array(texts, dtype=np.str_)
        if str(number) != text:  # 007 is a text
            return np.array(texts, dtype=np.str_)
    return numbers
