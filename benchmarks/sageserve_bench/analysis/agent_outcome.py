"""One agent of a comparison over all its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sageserve_bench.analysis.statistics import Estimate


@dataclass(frozen=True)
class AgentOutcome:
    """An agent over all its runs.

    Attributes:
        agent: Its specification.
        clairvoyant: Whether it was told the future.
        runs: How many.
        figures: Interquartile means with intervals, by metric.
        means: Plain means, by metric.
        misses: Targets that the mean misses, as text; empty if it attains all. Failed plans and a
            run without a request are misses too.
        margin: How far it is from the targets, see `Targets.margin`; negative where one is missed.
    """

    agent: str
    clairvoyant: bool
    runs: int
    figures: Mapping[str, Estimate]
    means: Mapping[str, float]
    misses: tuple[str, ...]
    margin: float

    @property
    def attains(self) -> bool:
        """Whether every target is attained on average."""
        return not self.misses

    @property
    def cost_per_day_usd(self) -> float:
        """Mean dollars per day."""
        return self.means["cost_per_day_usd"]

    @property
    def failed_plans(self) -> float:
        """Plans that failed in all runs, or 0."""
        return self.runs * self.means.get("planner_failures", 0.0)

    @property
    def plans(self) -> float:
        """Plans that were tried in all runs; 0 where that is not known."""
        return self.runs * self.means.get("plans", 0.0)
