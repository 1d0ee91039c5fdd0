"""`ilp`: the reference agent, an hourly integer plan that is refined between plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.demand import HOUR_S
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner import requirements as need
from sageserve_agents.planner.options import PlannerOptions
from sageserve_agents.planner.planning import PlanningAgent
from sageserve_agents.planner.refine import Refinement, refine
from sageserve_agents.planner.schedule import HourlySchedule
from sageserve_env.view import ClusterView, Floats, Ints


@dataclass(frozen=True)
class IlpOptions(PlannerOptions):
    """Options of `Ilp`.

    Attributes:
        period_s: Time between plans (the paper: an hour).
        level: Quantile over the bins of an hour that is planned for; 1 is their maximum.
        refine: Whether targets are refined between plans.
        beyond: Observed over planned load of a model above which instances are added (A; LT-UA
            uses 5 x the forecast, which a queue does not wait for).
        below: Observed over forecast load below which instances are taken away in the last part
            of the hour (paper: 0.5).
        last_part_s: That last part (paper: 20 min).
        hold_above: A planned scale-in waits while the endpoint's utilisation is above this (paper,
            LT-U: in below 0.3; 1 or more never waits).
    """

    period_s: float = HOUR_S
    level: float = 1.0
    refine: bool = True
    beyond: float = 1.0
    below: float = 0.5
    last_part_s: float = 1200.0
    hold_above: float = 0.7


class Ilp(PlanningAgent[IlpOptions]):
    """Each hour an integer program sets how many instances every model has in every region.

    The plan for an hour is made one scale-out delay before it begins: what it adds starts then,
    what it removes leaves when the hour begins. Demand is the forecast's maximum over the hour,
    pooled over regions with cross-region flows, plus a buffer for non-interactive work and what
    its deadlines force. Between plans the observed load corrects the counts (`refine`).
    """

    name = "ilp"
    options_type = IlpOptions
    tunable: ClassVar[Tunable] = {
        "beta": Range(0.0, 3.0),
        "rho": Range(0.6, 1.2),
        "level": Range(0.5, 1.0),
        "beyond": Range(0.8, 1.5),
        "hold_above": Range(0.2, 1.0),
        "niw_buffer": Range(0.0, 0.5),
    }
    service_knob = ServiceKnob("rho", stingy=2.0, generous=0.3, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        super().start()
        self._schedule = HourlySchedule(self.options.period_s, self.lead_s)
        self._current: Ints | None = None
        self._next: Ints | None = None
        self._forecast: Floats | None = None  # [M] mean interactive load of the hour in force

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
        self._forecast = rates.mean(axis=0).sum(axis=(1, 2))
        demand = peak + need.niw_demand(self.layout, view, self.tracker, self.options.niw_buffer)
        demand = self.staff(view, demand)[None]
        plan = self.solve(self.problem(view, demand, np.array([end_s - start_s])))
        if plan is None:
            return
        counts = plan.instances[0].reshape(view.target.shape)
        self._next = counts
        if self._current is None:
            self._current = counts

    def desired(self, view: ClusterView) -> Ints:
        """Return the plan's counts, corrected by what is observed, [E]."""
        if self.planned is None:
            standing: Ints = view.target.sum(axis=1)
            return standing
        planned: Ints = self.planned.sum(axis=1)
        if not self.options.refine:
            return planned
        o = self.options
        rules = Refinement(o.beyond, o.below, o.last_part_s, o.hold_above, o.beta, o.rho)
        left_s = o.period_s - view.time_s % o.period_s
        return refine(view, self.layout, planned, self._forecast, left_s, rules)
