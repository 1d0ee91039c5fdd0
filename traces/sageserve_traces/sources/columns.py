"""Turning raw columns into checked numbers, with the row and column of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..errors import TraceError
from ..prefixes import Blocks, read_blocks
from ..reading import ReadOptions
from .cells import BoolArray, FloatArray, comma_advice, to_float, to_ids

if TYPE_CHECKING:
    from .table import Table

_MAX_TOKENS = float(np.iinfo(np.int32).max)


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

    def __init__(self, table: Table, rows: int, reading: ReadOptions) -> None:
        self.table = table
        self.reading = reading
        self.drop = reading.on_error == "drop"
        self.good: BoolArray = np.ones(rows, dtype=bool)
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = list(table.notes)
        if table.bad_rows:
            self.dropped["wrong number of fields"] = table.bad_rows
        self.first_reason: str | None = None

    @property
    def has_own_zero(self) -> bool:
        """Whether the file says what its time 0 is, as one that `write_parquet` made does."""
        return "duration_s" in self.table.metadata

    def shown(self, column: str) -> str:
        """Return the name that a column of the table has in the file."""
        return self.table.names.get(column, column)

    def refuse(self, bad: BoolArray, column: str, reason: str, advice: str = "") -> None:
        """Mark rows as unusable.

        Args:
            bad: Rows; those that are bad already are left alone.
            column: Name in the table.
            reason: What is wrong, after "value 'x'".
            advice: What to do about it, for the message only.

        Raises:
            TraceError: With file, row and column, unless rows are dropped.
        """
        bad = bad & self.good
        if not bad.any():
            return
        if not self.drop:
            self.fail(bad, column, reason, advice)
        if self.first_reason is None:
            self.first_reason = self.described(bad, column, reason, advice)
        key = f"{self.shown(column)} {reason}"
        self.dropped[key] = self.dropped.get(key, 0) + int(bad.sum())
        self.good &= ~bad

    def fail(self, bad: BoolArray, column: str, reason: str, advice: str = "") -> NoReturn:
        """Refuse the file for some bad rows, even where rows are dropped.

        Raises:
            TraceError: Always, with file, row and column of the first of them.
        """
        raise TraceError(self.described(bad, column, reason, advice))

    def described(self, bad: BoolArray, column: str, reason: str, advice: str = "") -> str:
        """Return the line that names the first of some bad rows."""
        row = int(np.argmax(bad))
        value = _python(self.table.columns[column][row])
        where = f"{self.table.path}: row {row + 1}, column {self.shown(column)}"
        if value is None or value == "":
            return f"{where}: the value is missing"
        return f"{where}: value {str(value)[:40]!r} {reason}{comma_advice(value) or advice}"

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
        reason = f"is an unknown {what} (known: {', '.join(sorted(known))})"
        rename = "; name it in a scenario: workload: {rename_models: {ITS NAME: KNOWN NAME}}"
        self.refuse(index < 0, column, reason, rename if what == "model" else "")
        return index

    def blocks(self, column: str) -> Blocks | None:
        """Return a column of block ids, or None where the table has none."""
        if column not in self.table.columns:
            return None
        values = self.table.columns[column]
        try:
            return read_blocks(values if isinstance(values, list) else values.to_pylist())
        except TraceError as error:
            raise TraceError(f"{self.table.path}: column {column}: {error}") from None

    def ids(self, column: str) -> npt.NDArray[Any]:
        """Return a column of ids, as 64-bit integers where all are, else as texts."""
        return to_ids(self.table.columns[column])


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
