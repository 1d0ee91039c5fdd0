"""Agents that plan once an hour: the common part of `ilp` and the paper's LT strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sageserve_agents.demand import HOUR_S
from sageserve_agents.options import option
from sageserve_agents.planner.options import PlannerOptions
from sageserve_agents.planner.planning import PlanningAgent
from sageserve_agents.planner.schedule import HourlySchedule
from sageserve_env.view import ClusterView, Floats, Ints


@dataclass(frozen=True)
class HourlyOptions(PlannerOptions):
    """Options of every hourly planner.

    Attributes:
        period_s: Time between plans (the paper: an hour).
        level: Quantile over the bins of a period that is planned for; 1 is their maximum.
    """

    period_s: float = option(HOUR_S, above=0)
    level: float = option(1.0, low=0, high=1)

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.period_s < self.bin_s:
            raise ValueError(f"period_s must be at least bin_s, got {self.period_s}")


HourlyT = TypeVar("HourlyT", bound=HourlyOptions)


class HourlyPlanner(PlanningAgent[HourlyT]):
    """Plans each period one scale-out delay before it begins.

    What the plan adds starts when it is made; what it removes leaves when the period begins.

    Attributes:
        expected: Mean interactive prompt tokens per second that the last plan expects, [M].
    """

    def start(self) -> None:
        """Forget the last episode."""
        super().start()
        self._schedule = HourlySchedule(self.options.period_s, self.lead_s)
        self._current: Ints | None = None
        self._next: Ints | None = None
        self.expected: Floats | None = None

    def step(self, view: ClusterView) -> None:
        """Plan one delay before the hour, switch when it begins."""
        if self._schedule.starts_now(view.time_s) and self._next is not None:
            self._current = self._next
        # Without any history the mean of what was seen is planned on; look again while it is short.
        young = self.tracker.end_s - self.tracker.start_s < HOUR_S
        due = self._schedule.due(view.time_s, young)
        if due is not None and self.informed:
            self._make(view, *due)
        if self._current is not None and self._next is not None:
            waiting = view.time_s < self._schedule.switch_s
            self.planned = np.maximum(self._current, self._next) if waiting else self._next

    def _make(self, view: ClusterView, start_s: float, end_s: float) -> None:
        rates = self.forecast(view, end_s)[self.bins_between(start_s, end_s)]
        peak = np.quantile(rates, self.options.level, axis=0)
        self.expected = rates.mean(axis=0).sum(axis=(1, 2))
        demand = peak + self.batch_demand(view, [(start_s, end_s)])[0]
        demand = self.staff(view, demand)[None]
        plan = self.solve(self.problem(view, demand, np.array([end_s - start_s])))
        if plan is None:
            return
        counts = plan.instances[0].reshape(view.target.shape)
        self._next = counts
        if self._current is None:
            self._current = counts

    def left_s(self, view: ClusterView) -> float:
        """Return the time to the end of the present period."""
        return self.options.period_s - view.time_s % self.options.period_s
