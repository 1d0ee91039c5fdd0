"""What a long job shows: a bar with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
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


class Bars:
    """A bar over all decisions of all runs, and one line per finished run.

    Args:
        console: Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("decisions,"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._began = time.perf_counter()
        self._shown = 0.0

    def __enter__(self) -> Bars:
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""
        self._progress.stop()

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
        self.console.print(
            f"[{self._finished}/{len(self._steps)}] {row['agent']} on {row['trace']}, "
            f"seed {row['seed']}: {row['requests']:,} requests in {row['wall_s']:.1f} s{rest}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
