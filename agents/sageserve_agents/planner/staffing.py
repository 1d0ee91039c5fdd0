"""`staffing`: square-root staffing on a seasonal forecast, pooled over regions; no solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner.forecasting import ForecastingAgent
from sageserve_agents.planner.options import (
    FORECASTERS_TRIED,
    SMOOTHING_TRIED,
    UNCERTAIN,
    VALLEYS_TRIED,
    ForecastOptions,
)
from sageserve_agents.rule import wake
from sageserve_env.view import ClusterView, Floats, Ints


@dataclass(frozen=True)
class StaffingOptions(ForecastOptions):
    """Options of `Staffing`.

    Attributes:
        period_s: Time between two decisions (docs/sources.md, "First simulations": 5 min).
        hold_s: A scale-in waits until it has been wanted for this long (A).
    """

    quantile: float | None = option(0.8, above=0, below=1, when=UNCERTAIN)
    beta: float = option(0.5, low=0)
    period_s: float = option(300.0, above=0)
    hold_s: float = option(900.0, low=0)


class Staffing(ForecastingAgent[StaffingOptions]):
    """``n = load + beta sqrt(load)`` of each model, every five minutes.

    The load is the largest forecast until a start of the model made now has been up for a period;
    the instances of a model are spread over regions by their share of the traffic.
    """

    name = "staffing"
    options_type = StaffingOptions
    tunable: ClassVar[Tunable] = {
        "quantile": Range(0.5, 0.98),
        "beta": Range(0.0, 3.0),
        "rho": Range(0.6, 2.5),
        "hold_s": Range(300.0, 3600.0, "log"),
        "forecaster": FORECASTERS_TRIED,
        "smooth_s": SMOOTHING_TRIED,
        "valleys": VALLEYS_TRIED,
        "niw_buffer": Range(0.0, 1.0),
    }
    service_knob = ServiceKnob("rho", stingy=3.0, generous=0.3, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        super().start()
        self._next_s = 0.0
        self._wanted: list[tuple[float, Ints]] = []
        self._share: Floats = np.zeros(0)

    def step(self, view: ClusterView) -> None:
        """Compute the counts every period."""
        if view.time_s < self._next_s - 1e-6 or not self.informed:
            return
        o = self.options
        self._next_s = view.time_s + o.period_s
        rates = self.forecast(view, view.time_s + self.lead_s + o.period_s)
        niw = self.batch_demand(view, [(view.time_s, view.time_s + o.period_s)])[0]
        leads = self.leads_s.max(axis=1)
        ends = [self.bins_between(0.0, view.time_s + lead + o.period_s).stop for lead in leads]
        peaks = [rates[:end, m].max(axis=0) for m, end in enumerate(ends)]
        demand = np.stack(peaks) + niw
        load = demand.sum(axis=(1, 2)) / self.planned_theta(view)
        counts = np.ceil(load + o.beta * np.sqrt(load) - 1e-9).astype(np.int64)
        self._share = demand.sum(axis=2)
        self._wanted.append((view.time_s, counts))
        self._wanted = [w for w in self._wanted if w[0] > view.time_s - o.hold_s - 1e-6]

    def targets(self, view: ClusterView) -> Ints:
        """Return the VM types that have the capacity desired, [E, G]."""
        if not self._wanted:
            return view.target
        totals = wake(view, self.endpoints, self.desired(view))
        return self.endpoints.fill(view, totals)

    def desired(self, view: ClusterView) -> Ints:
        """Return the largest counts wanted within the hold, spread over regions, [E].

        Counts are instances of the cheapest VM type per token.
        """
        totals = np.max([counts for _, counts in self._wanted], axis=0)
        models, regions, _ = self.endpoints.shape
        low = self.endpoints.low.reshape(models, regions)
        high = self.endpoints.high.reshape(models, regions)
        standing = self.endpoints.equivalents(view, view.target).reshape(models, regions)
        rows = [
            apportion(int(totals[m]), self._share[m], low[m], high[m], standing[m])
            for m in range(models)
        ]
        spread: Ints = np.concatenate(rows)
        return spread


def apportion(total: int, share: Floats, low: Ints, high: Ints, standing: Ints) -> Ints:
    """Split a total over regions by share, within limits, moving as few instances as possible.

    Starts from what stands; adds where a region is furthest below its share, removes where it is
    furthest above.

    Args:
        total: Instances of a model.
        share: Traffic by region, [R].
        low: Fewest per region, [R].
        high: Most per region, [R].
        standing: Present counts, [R].
    """
    ideal = total * share / max(float(share.sum()), 1e-12)
    counts: Ints = np.clip(standing, low, high).astype(np.int64)
    while counts.sum() < total and (counts < high).any():
        counts[np.argmax(np.where(counts < high, ideal - counts, -np.inf))] += 1
    while counts.sum() > total and (counts > low).any():
        counts[np.argmax(np.where(counts > low, counts - ideal, -np.inf))] -= 1
    return counts
