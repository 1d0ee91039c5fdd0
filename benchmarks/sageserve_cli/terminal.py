"""Where results are printed, and plain tables of figures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 180


def output() -> Console:
    """Return standard output; a file or a pipe has no width of its own, tables need theirs."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH, highlight=False)


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
    (console or output()).print(table)


def percent(fraction: float) -> str:
    """Return a fraction as per cent with one digit."""
    return f"{100 * fraction:.1f} %"
