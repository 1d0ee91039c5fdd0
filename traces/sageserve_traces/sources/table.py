"""Reading a file into a table of columns, whatever its format, with one-line errors."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..errors import TraceError
from .text import (
    SEPARATORS,
    WIDE_MARKS,
    as_utf8,
    body_of,
    decoded,
    ends_in_separator,
    from_utf16,
    header_of,
    separator_of,
)

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_HEAD_BYTES = 1 << 16
_SAMPLE_RECORDS = 20


@dataclass(frozen=True)
class Header:
    """What the beginning of a file says.

    Attributes:
        kind: ``csv``, ``jsonl`` or ``parquet``.
        names: Column names.
        separator: What stands between the fields of a CSV file.
    """

    kind: str
    names: tuple[str, ...]
    separator: str = ","


@dataclass
class Table:
    """Columns of a file.

    Attributes:
        path: The file, for messages.
        columns: Column name to a pyarrow array; text files give strings.
        bad_rows: Rows with a wrong number of fields that were left out.
        metadata: What a native Parquet file says of itself.
        notes: How the file was read, where there was a choice.
        names: Names in the file of columns that go by another name in ``columns``.
    """

    path: Path
    columns: Mapping[str, Any]
    bad_rows: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """Return the format, the column names and the separator of a file.

    Raises:
        TraceError: If the file is missing, empty, a folder, or neither of the formats.
    """
    with one_line_errors(path):
        if path.is_dir():
            raise TraceError(f"{path}: is a folder, not a trace file")
        with _opened(path) as handle:
            head = handle.read(_HEAD_BYTES)
        if head.startswith(_PARQUET):
            import pyarrow.parquet as pq

            return Header("parquet", tuple(pq.read_schema(path).names))
        if b"\x00" in head:
            raise TraceError(
                f"{path}: is a binary file, not CSV, JSON lines or Parquet; if it is text in "
                "UTF-16, save it as UTF-8"
            )
        body, separator = body_of(head)
        if not body.strip():
            raise TraceError(f"{path}: the file is empty")
        if body.startswith(b"{"):
            return Header("jsonl", _keys(path, body, whole=len(head) < _HEAD_BYTES))
        if body.startswith((b"[{", b"[\n", b"[\r\n", b"[ ")):
            raise TraceError(f"{path}: is a JSON array; write one object a line (JSON lines)")
        if len(head) == _HEAD_BYTES and b"\n" in body:
            body = body[: body.rindex(b"\n")]  # the last line may be cut
        separator = separator or separator_of(body)
        names = header_of(body, separator)
        if ends_in_separator(body, separator, len(names)):
            names = (*names, "")
        return Header("csv", names, separator)


def read_table(path: Path, wanted: Mapping[str, bool], *, drop: bool) -> Table:
    """Read some columns of a file.

    Args:
        path: CSV (``.gz`` too), JSON lines or Parquet.
        wanted: Column names; True marks those that must be there.
        drop: Leave rows with a wrong number of fields out and count them, instead of an error.

    Raises:
        TraceError: One line: file, and row and column where they are known.
    """
    found = read_header(path)
    header = found.names
    missing = [name for name, needed in wanted.items() if needed and name not in header]
    if missing:
        raise TraceError(f"{path}: column {', '.join(missing)} is missing; it has {_list(header)}")
    present = [name for name in wanted if name in header]
    repeated = [name for name in present if header.count(name) > 1]
    if repeated:
        raise TraceError(f"{path}: column {repeated[0]} occurs twice in the header")
    reader = {"csv": _read_csv, "jsonl": _read_json_lines, "parquet": _read_parquet}[found.kind]
    with one_line_errors(path):
        return reader(path, found, present, drop)


def _read_csv(path: Path, header: Header, present: list[str], drop: bool) -> Table:
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    bad: list[tuple[int | None, int, int]] = []

    def on_bad_row(row: Any) -> str:
        bad.append((row.number, row.expected_columns, row.actual_columns))
        return "skip"

    names = [name if name in present else f"unused {i}" for i, name in enumerate(header.names)]
    with _opened(path) as handle:
        data, foreign = as_utf8(body_of(handle.read())[0])
    if not data.endswith(b"\n"):
        data += b"\n"
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        parse_options=pa_csv.ParseOptions(
            delimiter=header.separator, invalid_row_handler=on_bad_row
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=present,
            column_types={name: pa.string() for name in names},
            strings_can_be_null=False,
        ),
    )
    if bad and not drop:
        number, expected, actual = bad[0]
        row = f"row {number - 1}" if number else "a row"
        raise TraceError(f"{path}: {row} has {actual} fields, expected {expected}")
    notes = [f"separator {SEPARATORS[header.separator]}"] if header.separator != "," else []
    notes += ["bytes that are not UTF-8 read as Latin-1"] if foreign else []
    columns = {name: table.column(name) for name in present}
    return Table(path, columns, len(bad), notes=tuple(notes))


def _read_json_lines(path: Path, header: Header, present: list[str], drop: bool) -> Table:
    values: dict[str, list[Any]] = {name: [] for name in present}
    bad = 0
    with _opened(path) as handle:
        number = 0
        for line in handle:
            if not line.strip():
                continue
            number += 1
            try:
                record = _record(path, number, decoded(line))
            except TraceError:
                if not drop:
                    raise
                bad += 1
                continue
            for name in present:
                values[name].append(record.get(name))
    return Table(path, values, bad)


def _keys(path: Path, body: bytes, *, whole: bool) -> tuple[str, ...]:
    """Return the keys of the first records, for a single one may lack some.

    Raises:
        TraceError: If none of them is a JSON object.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()  # it may be cut
    keys: dict[str, None] = {}
    error: TraceError | None = None
    for number, line in enumerate(lines[:_SAMPLE_RECORDS], start=1):
        try:
            keys.update(dict.fromkeys(_record(path, number, decoded(line))))
        except TraceError as wrong:
            error = error or wrong
    if error is not None and not keys:
        raise error
    return tuple(keys)


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise TraceError(f"{path}: row {number} is not valid JSON") from error
    if not isinstance(record, dict):
        raise TraceError(f"{path}: row {number} is not a JSON object")
    return record


def _read_parquet(path: Path, header: Header, present: list[str], drop: bool) -> Table:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=present)
    table.validate(full=True)  # a damaged file may hold indices out of range
    raw = (table.schema.metadata or {}).get(b"sageserve_trace", b"{}")
    columns = {name: table.column(name) for name in present}
    return Table(path, columns, 0, _checked_metadata(path, raw))


def _checked_metadata(path: Path, raw: bytes) -> dict[str, Any]:
    """Return what a Parquet file of ours says of itself.

    Raises:
        TraceError: If it is damaged.
    """

    def names(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(name, str) for name in value)

    def number(low: float, high: float) -> Callable[[Any], bool]:
        return lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value < high
        )

    checks: dict[str, Callable[[Any], bool]] = {
        "name": lambda value: isinstance(value, str),
        "split": lambda value: isinstance(value, str),
        "models": names,
        "regions": names,
        "tiers": names,
        "duration_s": number(0, math.inf),
        "start_weekday": lambda value: isinstance(value, int) and 0 <= value <= 6,
        "start_hour_utc": number(0, 24),
    }
    try:
        said = json.loads(raw)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise TraceError(f"{path}: its metadata sageserve_trace is damaged: no JSON object")
    for key, check in checks.items():
        if key in said and not check(said[key]):
            shown = repr(said[key])[:40]
            raise TraceError(f"{path}: its metadata sageserve_trace is damaged: {key} is {shown}")
    return said


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as handle:
        zipped = handle.read(2) == _GZIP
        handle.seek(0)
        plain: Any = gzip.open(handle) if zipped else handle
        with plain:
            wide = plain.read(4).startswith(WIDE_MARKS)
            plain.seek(0)
            yield io.BytesIO(from_utf16(plain.read())) if wide else plain


@contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file can raise into a `TraceError`."""
    import pyarrow as pa

    try:
        yield
    except TraceError:
        raise
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TraceError(f"{path}: is a damaged gzip file") from error
    except (pa.ArrowException, csv.Error, ValueError, OSError, OverflowError) as error:
        text = " ".join(str(error).split())[:200]
        raise TraceError(f"{path}: cannot be read: {text}") from error


def _list(names: tuple[str, ...], most: int = 12) -> str:
    shown = [name[:40] for name in names[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


Parser = Callable[[Table], Any]
