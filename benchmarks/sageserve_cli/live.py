"""What `sageserve run` shows while an episode runs."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView

MOST_ENDPOINTS = 24


class LivePanel:
    """A bar with the time left, and the endpoints as the agent last saw them.

    Args:
        agent: Name to show.
        scenario: The cluster; an agent's own pooling may give it more endpoints.
        steps: Decisions of the episode.
    """

    def __init__(self, agent: str, scenario: Scenario, steps: int) -> None:
        self._agent, self._scenario, self._steps = agent, scenario, steps
        self._began = time.perf_counter()
        self._done = 0
        self._view: ClusterView | None = None

    def note(self, done: int, view: ClusterView) -> None:
        """Keep how far the episode is."""
        self._done, self._view = done, view

    def __rich__(self) -> RenderableType:
        """Return the display."""
        passed = time.perf_counter() - self._began
        left = passed * (self._steps / self._done - 1) if self._done else float("nan")
        view = self._view
        clock = "" if view is None else f", hour {view.time_s / 3600:.1f}"
        head = Text(
            f"{self._agent} on {self._scenario.name}: decision {self._done:,} of "
            f"{self._steps:,}{clock}, {passed:.0f} s passed"
            + (f", {left:.0f} s left" if left == left else "")
        )
        parts: list[RenderableType] = [head, ProgressBar(self._steps, self._done, width=60)]
        if view is not None:
            parts.append(self._endpoints(view))
        return Group(*parts)

    def _endpoints(self, view: ClusterView) -> Table:
        table = Table("endpoint", box=None, header_style="dim")
        for title in ("active", "pending", "draining", "load", "queued tokens", "attained"):
            table.add_column(title, justify="right")
        pools = len(view.target) // (len(self._scenario.models) * len(self._scenario.regions))
        names = [f"{m}/{r}" for m in self._scenario.models for r in self._scenario.region_names]
        for e in range(min(len(view.target), MOST_ENDPOINTS)):
            name = names[e // pools] + (f"/{e % pools}" if pools > 1 else "")
            table.add_row(
                name,
                str(view.active[e].sum()),
                str(view.pending[e].sum()),
                str(view.draining[e].sum()),
                f"{view.utilisation[e]:.2f}",
                f"{view.queued_prompt_tokens[e]:,.0f}",
                f"{view.slo_attainment[e]:.1%}",
            )
        return table
