"""Where results are printed."""

from __future__ import annotations

from rich.console import Console

_PLAIN_WIDTH = 180


def output() -> Console:
    """Return standard output; a file or a pipe has no width of its own, tables need theirs."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH, highlight=False)
