"""The common part of agents that act on a forecast: what is known and what is expected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from sageserve_agents.demand import Clock, DemandTracker
from sageserve_agents.planner import requirements as need
from sageserve_agents.planner import valleys
from sageserve_agents.planner.forecast import Forecaster, make_forecaster
from sageserve_agents.planner.options import ForecastOptions
from sageserve_agents.rule import RuleAgent, wake
from sageserve_agents.stack import batch_ceiling
from sageserve_env.actions import ClusterAction
from sageserve_env.view import ClusterView, Floats, Ints

OptionsT = TypeVar("OptionsT", bound=ForecastOptions)

# Digits after the point of a forecast in tokens per second (A). NumPy's exp and log differ in the
# last bit between processors with and without AVX-512, and of two plans that cost the same that bit
# would choose one.
_RATE_DIGITS = 3
_FIVE_MINUTES = 1  # index into view.WINDOWS_S


class ForecastingAgent(RuleAgent[OptionsT]):
    """An agent that keeps a demand history and forecasts it.

    Attributes:
        planned: Instances that a plan in force wants, [E, G]; None without one.
    """

    def __init__(self, options: OptionsT | None = None) -> None:
        super().__init__(options)
        if self.options.forecaster == "perfect":
            self.clairvoyant = True

    def start(self) -> None:
        """Forget the last episode."""
        self.tracker = DemandTracker(self.history, self.options.bin_s)
        self.forecaster: Forecaster | None = None
        self.planned: Ints | None = None
        self._level: Floats | None = None  # interactive load above which batch work waits, [M]

    @property
    def lead_s(self) -> float:
        """How long before its need a plan is made: the slowest usual start, with its jitter."""
        return float(self.leads_s.max())

    @property
    def leads_s(self) -> Floats:
        """How long a start takes at most, by model and VM type, [M, G]; 0 where none runs."""
        if self.options.lead_s is not None:
            return np.full(self.endpoints.compatible.shape, self.options.lead_s)
        usual = self.scenario.start_s * (1.0 + self.scenario.lifecycle.jitter)
        leads: Floats = np.where(self.endpoints.compatible, usual, 0.0)
        return leads

    @property
    def relied(self) -> Floats:
        """Share of theta that is relied on, [M]: trust, less where the model misses too much."""
        share: Floats = self.stack.trust / self.stack.pressure
        return share

    def act(self, view: ClusterView) -> ClusterAction:
        """Take the new demand, decide anew if it is time, and return targets."""
        self.stack.observe(view)
        self.tracker.update(view)
        self.step(view)
        return self.decision(view, self.targets(view))

    def targets(self, view: ClusterView) -> Ints:
        """Return the targets, [E, G]: the plan's VM types, with the totals that are desired."""
        planned = view.target if self.planned is None else self.planned
        totals = wake(view, self.endpoints, self.desired(view))
        return self.endpoints.spread(view, totals, planned)

    @abstractmethod
    def step(self, view: ClusterView) -> None:
        """Decide anew if it is time; called before `desired`."""

    # -- forecast -------------------------------------------------------------------------------

    @property
    def informed(self) -> bool:
        """Whether anything of the demand is known."""
        return len(self.tracker) > 0

    def make_forecaster(self, view: ClusterView) -> Forecaster:
        """Return an unfitted forecaster of the chosen kind."""
        clock, interactive = Clock.of(view), self.endpoints.interactive
        if self.clairvoyant:
            return make_forecaster("perfect", clock, interactive, future=self.history)
        o = self.options
        settings = {"smooth_s": o.smooth_s} if o.forecaster == "seasonal-naive" else {}
        return make_forecaster(o.forecaster, clock, interactive, **settings)

    def forecast(self, view: ClusterView, until_s: float) -> Floats:
        """Forecast interactive prompt tokens per second from now to ``until_s``, [T, M, R, K].

        The first bin starts at the end of the last complete one, which is now or a little before.
        """
        if self.forecaster is None:
            self.forecaster = self.make_forecaster(view)
        self.forecaster.fit(self.tracker.series())
        bins = max(1, int(np.ceil((until_s - self.tracker.end_s) / self.options.bin_s - 1e-9)))
        tokens = self.forecaster.predict(bins, self.options.quantile)
        rates: Floats = tokens * self.endpoints.interactive / self.options.bin_s
        return np.round(rates, _RATE_DIGITS)

    # -- batch work -----------------------------------------------------------------------------

    def batch_demand(self, view: ClusterView, spans_s: Sequence[tuple[float, float]]) -> Floats:
        """Return batch prompt tokens per second to plan for in spans of time, [T, M, R, K]."""
        o, tracker = self.options, self.tracker
        even = need.niw_demand(self.endpoints, view, tracker, o.niw_buffer)
        if not o.valleys or self.endpoints.interactive.all():
            return np.repeat(even[None], len(spans_s), axis=0)
        left_s = np.minimum(need.batch_time_s(self.endpoints, view), valleys.MOST_AHEAD_S)
        rates = self.forecast(view, view.time_s + float(left_s.max())).sum(axis=(2, 3))
        backlog = view.niw_backlog_tokens
        self._level, planned = valleys.filled(rates, backlog, left_s, o.bin_s)
        means = []
        for start_s, end_s in spans_s:
            part = planned[self.bins_between(start_s, end_s)]
            forced = part.mean(axis=0) if len(part) else np.zeros(len(backlog))
            means.append(need.niw_demand(self.endpoints, view, tracker, o.niw_buffer, forced))
        return np.stack(means)

    def niw_release(self, view: ClusterView) -> Floats | None:
        """Return ceilings for batch work, [E]: lower where the load is above the level."""
        if self._level is None:
            return super().niw_release(view)
        load = view.prompt_rate[_FIVE_MINUTES][..., self.endpoints.interactive].sum(axis=(1, 2))
        calm = self.stack.calm_ceiling
        low = min(calm, valleys.CROWDED_CEILING)
        by_model = np.where(load > self._level, low, calm)
        return batch_ceiling(self.endpoints, view, by_model)

    def bins_between(self, start_s: float, end_s: float) -> slice:
        """Return which bins of `forecast` cover ``[start_s, end_s)``."""
        width = self.options.bin_s
        low = max(0, int(np.floor((start_s - self.tracker.end_s) / width + 1e-9)))
        high = max(low + 1, int(np.ceil((end_s - self.tracker.end_s) / width - 1e-9)))
        return slice(low, high)

    def planned_theta(self, view: ClusterView) -> Floats:
        """Return prompt tokens per second that an instance of each model is planned for, [M].

        That of the mean instance of the plan in force; without one, of the cheapest VM type.
        """
        theta = self.endpoints.best_theta(view.theta)
        if self.planned is not None:
            counts = self.planned.reshape(len(theta), -1, view.theta.shape[1]).sum(axis=1)
            total = counts.sum(axis=1)
            mean = (counts * view.theta).sum(axis=1) / np.maximum(total, 1)
            theta = np.where(total > 0, np.maximum(mean, 1.0), theta)
        planned: Floats = theta * self.relied * self.options.rho
        return planned
