"""What a long job shows: a bar with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sageserve_bench.rows import Row

MIN_REFRESH_S = 0.1


class Reporter(Protocol):
    """Whom a comparison tells how far it is."""

    def begin(self, labels: list[str], steps: list[int], reused: int) -> None:
        """So many runs are to be done, each with so many decisions; some are there already."""

    def stepped(self, index: int, steps: int) -> None:
        """Run ``index`` has taken so many decisions."""

    def finished(self, index: int, row: Row) -> None:
        """Run ``index`` is done."""


class Silent:
    """Shows nothing."""

    def begin(self, labels: list[str], steps: list[int], reused: int) -> None:
        """Show nothing."""

    def stepped(self, index: int, steps: int) -> None:
        """Show nothing."""

    def finished(self, index: int, row: Row) -> None:
        """Show nothing."""


class Display:
    """A bar with the time left, shown on a terminal while it is entered.

    Args:
        console: Where to show it.
        counted: What stands between the bar and the time.
    """

    def __init__(self, console: Console, *counted: ProgressColumn) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counted,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the display."""
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Bars(Display):
    """A bar over all decisions of all runs, and one line per finished run."""

    def __init__(self, console: Console) -> None:
        decisions = TextColumn("decisions,")
        super().__init__(console, TaskProgressColumn(), MofNCompleteColumn(), decisions)
        self._began = time.perf_counter()
        self._shown = 0.0

    def begin(self, labels: list[str], steps: list[int], reused: int) -> None:
        """Show how much there is to do."""
        if reused:
            self.console.print(f"{reused} finished runs are there already")
        self._began = time.perf_counter()
        self._labels, self._steps = labels, steps
        self._done = [0] * len(steps)
        self._finished = 0
        self._bar = self._progress.add_task(labels[0] if labels else "", total=sum(steps))

    def stepped(self, index: int, steps: int) -> None:
        """Move the bar."""
        self._done[index] = steps
        now = time.perf_counter()
        if now - self._shown >= MIN_REFRESH_S:
            self._shown = now
            self._progress.update(
                self._bar, completed=sum(self._done), description=self._labels[index]
            )

    def finished(self, index: int, row: Row) -> None:
        """Print the line of a run."""
        self._done[index] = self._steps[index]
        self._finished += 1
        self._progress.update(self._bar, completed=sum(self._done))
        passed = time.perf_counter() - self._began
        share = sum(self._done) / max(sum(self._steps), 1)
        left = passed / share - passed if share else 0.0
        rest = f", about {left:.0f} s left" if self._finished < len(self._steps) else ""
        self.say(
            f"[{self._finished}/{len(self._steps)}] {row['agent']} on {row['trace']}, "
            f"seed {row['seed']}: {row['requests']:,} requests in {row['wall_s']:.1f} s{rest}"
        )
