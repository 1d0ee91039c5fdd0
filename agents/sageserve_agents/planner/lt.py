"""The paper's strategies on the hourly plan: `lt-i`, `lt-u` and `lt-ua` (DOMAIN.md section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner.hourly import HourlyOptions, HourlyPlanner
from sageserve_env.view import ClusterView, Ints

_QUARTER_HOUR = 2  # index into view.WINDOWS_S


@dataclass(frozen=True)
class LtOptions(HourlyOptions):
    """Options of the paper's strategies.

    As in the paper a region's traffic is planned for the region and the threshold router is used.

    Attributes:
        out_above: Utilisation above which a planned scale-out is done (lt-u, lt-ua).
        in_below: Utilisation below which a planned scale-in is done.
        last_part_s: Part of the hour in which lt-ua compares observed with forecast load.
        beyond: Observed over forecast from which lt-ua scales out beyond the plan.
        below: Observed over forecast up to which it scales in below the plan.
    """

    staffing: str = "margin"
    rho: float = 0.55
    pool_regions: bool = False
    router: str = "threshold"
    discipline: str | None = None
    out_above: float = 0.7
    in_below: float = 0.3
    last_part_s: float = 1200.0
    beyond: float = 5.0
    below: float = 0.5


_TUNABLE: dict[str, Range] = {"rho": Range(0.2, 1.0), "level": Range(0.5, 1.0)}
_DEFERRED: dict[str, Range] = {
    **_TUNABLE,
    "out_above": Range(0.15, 0.9),
    "in_below": Range(0.05, 0.6),
}


class LtI(HourlyPlanner[LtOptions]):
    """The planned count is applied immediately."""

    name = "lt-i"
    router = "threshold"
    options_type = LtOptions
    tunable: ClassVar[Tunable] = _TUNABLE
    service_knob = ServiceKnob("rho", stingy=2.0, generous=0.1, log=True)

    def desired(self, view: ClusterView) -> Ints:
        """Return the plan's counts, [E]."""
        counts = view.target if self.planned is None else self.planned
        planned: Ints = counts.sum(axis=1)
        return planned


class LtU(LtI):
    """Planned changes wait until the utilisation crosses the reactive thresholds.

    Then one instance per endpoint and decision is added or removed, up to the planned count, which
    keeps slow starts from cascading.
    """

    name = "lt-u"
    tunable: ClassVar[Tunable] = _DEFERRED

    def desired(self, view: ClusterView) -> Ints:
        """Return the standing counts moved towards the plan, [E]."""
        planned = super().desired(view)
        standing: Ints = view.target.sum(axis=1)
        o = self.options
        out = (planned > standing) & (view.utilisation > o.out_above)
        into = (planned < standing) & (view.utilisation < o.in_below)
        moved: Ints = standing + out.astype(np.int64) - into.astype(np.int64)
        return moved


class LtUa(LtU):
    """`LtU` that leaves the plan in the last part of the hour when the forecast was wrong.

    Where the load of a model in the last 15 minutes is at least ``beyond`` x the forecast its busy
    endpoints grow beyond the plan; at most ``below`` x, its idle ones shrink below it.
    """

    name = "lt-ua"
    tunable: ClassVar[Tunable] = {
        **_DEFERRED,
        "beyond": Range(1.2, 10.0, "log"),
        "below": Range(0.2, 0.9),
    }

    def desired(self, view: ClusterView) -> Ints:
        """Return the counts of `LtU`, corrected at the end of the hour, [E]."""
        totals = super().desired(view)
        if self.expected is None or self.left_s(view) > self.options.last_part_s:
            return totals
        o = self.options
        rate = view.prompt_rate[_QUARTER_HOUR][..., self.layout.interactive].sum(axis=(1, 2))
        ratio = np.where(self.expected > 0, rate / np.maximum(self.expected, 1e-9), 1.0)
        ratio = ratio[self.layout.model]
        standing: Ints = view.target.sum(axis=1)
        waiting = (view.pending + view.unmet).sum(axis=1) > 0
        beyond = (ratio >= o.beyond) & (view.utilisation > o.out_above) & ~waiting
        below = (ratio <= o.below) & (view.utilisation < o.in_below)
        totals = np.where(beyond, np.maximum(totals, standing + 1), totals)
        corrected: Ints = np.where(below, np.minimum(totals, standing - 1), totals)
        return np.maximum(corrected, 0)
