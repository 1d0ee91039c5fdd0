"""Where results are printed, and plain tables of figures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 180
_UNLIMITED = 10_000
_FOLDED = 12  # least width of a column that folds (A)


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
    show(table, console or output())


def show(table: Table, console: Console) -> None:
    """Print a table of which nothing is cut.

    Where the terminal is too narrow it goes without a frame, and columns that may fold give way.
    Where that is not enough it is wider than the terminal, which wraps its lines.
    """

    def needed() -> int:
        unlimited = console.options.update(max_width=_UNLIMITED)
        return console.measure(table, options=unlimited).maximum

    if needed() > console.width:
        table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
        table.show_edge = False
        for column in table.columns:
            column.header = str(column.header).replace(" ", "\n")
    if needed() > console.width:
        for column in table.columns:
            column.width = _FOLDED if column.overflow == "fold" else None
    room = max(console.width, needed())
    for column in table.columns:
        if column.width is not None:
            column.width += room - needed()
    Console(file=console.file, width=room, force_terminal=console.is_terminal).print(table)


def percent(fraction: float) -> str:
    """Return a fraction as per cent with one digit."""
    return f"{100 * fraction:.1f} %"
