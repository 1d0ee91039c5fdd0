"""`mpc` and `oracle`: the program over several periods, solved again every five minutes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.options import When, option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner.options import (
    FORECASTERS_TRIED,
    SMOOTHING_TRIED,
    UNCERTAIN,
    VALLEYS_TRIED,
    PlannerOptions,
)
from sageserve_agents.planner.planning import PlanningAgent
from sageserve_agents.planner.refine import Refinement, refine
from sageserve_env.view import ClusterView, Floats, Ints

# Bins of the periods after the first, which lasts until the slowest start made now is up: fine
# where a start is decided, coarse later (A).
_LATER = (1, 2, 3, 4)


_REFINED: When = ("beyond is above 0", lambda o: o.beyond > 0)
_SAFE: When = (
    "staffing=sqrt or beyond is above 0",
    lambda o: o.staffing == "sqrt" or o.beyond > 0,
)


@dataclass(frozen=True)
class MpcOptions(PlannerOptions):
    """Options of `Mpc`.

    Attributes:
        period_s: Time between two plans.
        integer_periods: Periods with whole counts after the first, which lasts until a start made
            now is up; others are relaxed, as they are decided again before they come.
        beyond: Observed over planned load above which instances are added between plans; 0 never.
        hold_above: A planned scale-in waits while the utilisation is above this.
    """

    quantile: float | None = option(0.8, above=0, below=1, when=UNCERTAIN)
    beta: float = option(0.3, low=0, when=_SAFE)
    rho: float = option(0.92, above=0)
    gap: float = 0.02
    period_s: float = option(300.0, above=0)
    integer_periods: int = option(1, low=1, high=len(_LATER))
    beyond: float = option(1.5, low=0)
    hold_above: float = option(0.7, low=0, when=_REFINED)


class Mpc(PlanningAgent[MpcOptions]):
    """Plans the next hour in periods of growing length and does what the first ones need.

    Starts take time in the program as in the cluster: until the scale-out delay has passed no
    period can have more than what stands and what spot VMs with the model can give at once. A
    start costs the VM time until it is up, so a short dip is not worth a scale-in.
    """

    name = "mpc"
    options_type = MpcOptions
    tunable: ClassVar[Tunable] = {
        "quantile": Range(0.5, 0.98),
        "beta": Range(0.0, 3.0),
        "rho": Range(0.6, 2.5),
        "beyond": Range(1.0, 3.0),
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

    def step(self, view: ClusterView) -> None:
        """Plan every period."""
        if view.time_s < self._next_s - 1e-6 or not self.informed_or_clairvoyant:
            return
        o = self.options
        self._next_s = view.time_s + o.period_s
        first = max(1, round(self.lead_s / o.bin_s))
        widths = np.array((first, *_LATER), dtype=np.int64)
        rates = self.forecast(view, view.time_s + float(widths.sum()) * o.bin_s)
        starts = np.concatenate([[0], np.cumsum(widths)])
        demand = np.stack([rates[a:b].max(axis=0) for a, b in pairwise(starts)])
        edges = view.time_s + starts * o.bin_s
        demand = demand + self.batch_demand(view, list(pairwise(edges.tolist())))
        periods: Floats = widths.astype(np.float64) * o.bin_s
        begin_s = (starts[:-1] + 0.5)[:, None, None, None] * o.bin_s  # half a bin of grace
        leads_s = self.leads_s[:, None, :]
        ceiling, standing, fast = self._ceiling(view, begin_s < leads_s)
        # Before a start is up hardly anything is decided; whole counts matter from then on.
        whole = (1, 1 + o.integer_periods)
        problem = self.problem(view, self.staff(view, demand), periods, ceiling, whole)
        plan = self.solve(problem)
        if plan is None:
            return
        # What a spot VM can give within the period may wait; what takes longer starts now.
        soon = plan.instances[0]
        due = (
            begin_s - 0.3 * o.bin_s < leads_s + o.period_s
        )  # a start at the next plan would be too late
        later = np.where(due, plan.instances, 0).max(axis=0)
        slow = np.where(later > standing + fast, later, soon)
        self.planned = np.maximum(soon, slow).reshape(view.target.shape)

    @property
    def informed_or_clairvoyant(self) -> bool:
        """Whether there is anything to plan on."""
        return self.informed or self.clairvoyant

    def _ceiling(self, view: ClusterView, early: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
        """Return most instances [T, M, R, G], what stands and what is fast to have [M, R, G].

        Args:
            view: What is seen.
            early: Before a start made now is up, bool [T, M, 1, G].
        """
        models, regions, _ = self.endpoints.shape
        most = np.broadcast_to(view.inventory, (models, *view.inventory.shape))
        standing = np.minimum(view.active + view.pending, view.target)
        standing = standing.reshape(models, regions, -1)
        fast = np.minimum(view.spot_vms, most - standing).clip(min=0)
        ceiling = np.where(early, np.minimum(standing + fast, most), most)
        return ceiling, standing, fast

    def desired(self, view: ClusterView) -> Ints:
        """Return the plan's counts, raised where more is observed than planned, [E]."""
        counts = view.target if self.planned is None else self.planned
        planned: Ints = counts.sum(axis=1)
        o = self.options
        if self.planned is None or o.beyond <= 0:
            return planned
        rules = Refinement(o.beyond, 0.0, 0.0, o.hold_above, o.beta)
        return refine(view, self.endpoints, planned, None, 0.0, self.planned_theta(view), rules)


@dataclass(frozen=True)
class OracleOptions(MpcOptions):
    """Options of `Oracle`: as `MpcOptions`, on the realised future."""

    forecaster: str = option("perfect", choices=("perfect",))
    quantile: float | None = option(None, when=UNCERTAIN)
    beta: float = option(1.0, low=0, when=_SAFE)
    rho: float = option(1.15, above=0)
    beyond: float = option(0.0, low=0)
    hold_above: float = option(10.0, low=0, when=_REFINED)


class Oracle(Mpc):
    """`Mpc` with the perfect forecast: the lower anchor of every comparison. Clairvoyant."""

    name = "oracle"
    clairvoyant = True
    options_type = OracleOptions
    tunable: ClassVar[Tunable] = {
        "beta": Range(0.0, 3.0),
        "rho": Range(0.6, 2.5),
        "niw_buffer": Range(0.0, 1.0),
    }
