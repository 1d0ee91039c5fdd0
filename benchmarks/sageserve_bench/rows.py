"""Result rows: their columns, their text form and files that are never half written."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Value = str | int | float | None
Row = dict[str, Value]

COLUMNS = (
    "agent",
    "scenario",
    "trace",
    "seed",
    "requests",
    "completed",
    "unfinished",
    "gpu_hours",
    "cost_usd",
    "spot_hours",
    "scaling_waste_gpu_hours",
    "scale_outs",
    "scale_ins",
    "slo_iwf",
    "slo_iwn",
    "slo_niw",
    "ttft_p50_iwf",
    "ttft_p95_iwf",
    "ttft_p99_iwf",
    "e2e_p95_iwf",
    "reward",
    "score",
    "decision_ms",
    "planner_failures",
    "wall_s",
    "config_hash",
)
"""The columns every table has, first and in this order."""

TIMED = ("wall_s", "decision_ms")
"""Columns that differ between two runs of the same thing."""

TEXT = frozenset(
    ("agent", "scenario", "trace", "config_hash", "split", "trace_hash", "pooling", "run")
)
"""Columns that hold text; a hash may look like a number."""

ANCHORS = ("static", "oracle")
"""Agents with score 0 and 1."""


def clean(value: object) -> Value:
    """Return a plain value of a row; NaN and infinity become None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or hasattr(value, "item"):
        return clean(int(value) if isinstance(value, bool) else value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def number(row: Mapping[str, Value], name: str, default: float = math.nan) -> float:
    """Return a value of a row as a number, the default where it has none."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else default


def with_scores(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with ``score`` filled in where both anchors ran on the same traffic.

    score = (J - J_static) / (J_oracle - J_static), J the return of the episode.
    """
    rows = [dict(row) for row in rows]
    returns = {(*_cell(row), row["agent"]): row["reward"] for row in rows}
    for row in rows:
        low, high = (returns.get((*_cell(row), anchor)) for anchor in ANCHORS)
        own = row["reward"]
        row["score"] = None
        if isinstance(low, float) and isinstance(high, float) and isinstance(own, float):
            row["score"] = (own - low) / (high - low) if high != low else None
    return rows


def _cell(row: Row) -> tuple[Value, ...]:
    return (row["scenario"], row["trace"], row.get("trace_hash"), row["config_hash"], row["seed"])


def to_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV: the fixed columns, then all others in order of appearance."""
    rows = list(rows)
    extras = dict.fromkeys(key for row in rows for key in row if key not in COLUMNS)
    names = [*COLUMNS, *extras]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_text(row.get(name)) for name in names])
    return text.getvalue()


def from_csv(text: str) -> list[Row]:
    """Return the rows of a CSV made by `to_csv`.

    Raises:
        ValueError: If a needed column is missing or a number cannot be read.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    records = list(reader)
    needed = (*COLUMNS, "run") if records else COLUMNS  # a table without rows has no more
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"no column {missing[0]!r}")
    rows: list[Row] = []
    for line, record in enumerate(records, start=2):
        if None in record or None in record.values():
            raise ValueError(f"line {line} has another number of cells than the header")
        rows.append({name: _value(name, cell, line) for name, cell in record.items()})
    return rows


def _value(name: str, cell: str, line: int) -> Value:
    if name in TEXT:
        return cell
    if cell == "":
        return None
    try:
        return int(cell) if cell.lstrip("-").isdigit() else float(cell)
    except ValueError:
        raise ValueError(f"line {line}: {name} is no number: {cell[:40]!r}") from None


def _text(value: Value) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes the one at the path when it is complete, and else is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file that is either complete or not there: a new one is renamed into place."""
    with replaced(path) as file:
        file.write(text.encode("utf-8"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write JSON as `write_text` does; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
