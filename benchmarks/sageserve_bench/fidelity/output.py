"""What the three fidelity commands share: writing JSON and printing a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sageserve_bench import terminal


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a report, making its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    console: Console | None = None,
) -> None:
    """Print rows under their columns; floats with four digits."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row))
    (console or terminal.output()).print(table)


def percent(fraction: float) -> str:
    """Return a fraction as per cent with one digit."""
    return f"{100 * fraction:.1f} %"
