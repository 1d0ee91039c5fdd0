"""The paper's hourly strategies: `lt-i`, `lt-u` and `lt-ua` (docs/sources.md, "Paper")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from sageserve_agents.heuristics.signals import measured
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner.hourly import HourlyOptions, HourlyPlanner
from sageserve_agents.planner.options import BY_ROOT, STAFFING
from sageserve_env.view import ClusterView, Ints

_QUARTER_HOUR = 2  # index into view.WINDOWS_S


@dataclass(frozen=True)
class LtIOptions(HourlyOptions):
    """Options of `LtI`.

    As in the paper a region's traffic is planned for the region.
    """

    staffing: str = option("margin", choices=STAFFING)
    beta: float = option(1.5, low=0, when=BY_ROOT)
    rho: float = option(0.55, above=0)
    pool_regions: bool = False
    niw_ceiling: float | None = option(None, low=0)


@dataclass(frozen=True)
class LtUOptions(LtIOptions):
    """Options of `LtU`.

    Attributes:
        out_above: Utilisation above which a planned scale-out is done.
        in_below: Utilisation below which a planned scale-in is done.
    """

    out_above: float = option(0.7, low=0)
    in_below: float = option(0.3, low=0)


@dataclass(frozen=True)
class LtUaOptions(LtUOptions):
    """Options of `LtUa`.

    Attributes:
        last_part_s: Part of the hour in which lt-ua compares observed with forecast load.
        beyond: Observed over forecast from which lt-ua scales out beyond the plan.
        below: Observed over forecast up to which it scales in below the plan.
    """

    last_part_s: float = option(1200.0, low=0)
    beyond: float = option(5.0, above=0)
    below: float = option(0.5, low=0)


_TUNABLE: dict[str, Range] = {"rho": Range(0.2, 1.0), "level": Range(0.5, 1.0)}
_DEFERRED: dict[str, Range] = {
    **_TUNABLE,
    "out_above": Range(0.15, 0.9),
    "in_below": Range(0.05, 0.6),
}


LtT = TypeVar("LtT", bound=LtIOptions)
LtUT = TypeVar("LtUT", bound=LtUOptions)


class LtI(HourlyPlanner[LtT]):
    """The planned count is applied immediately."""

    name = "lt-i"
    options_type = LtIOptions
    tunable: ClassVar[Tunable] = _TUNABLE
    service_knob = ServiceKnob("rho", stingy=2.0, generous=0.1, log=True)

    def desired(self, view: ClusterView) -> Ints:
        """Return the plan's counts, [E]."""
        counts = view.target if self.planned is None else self.planned
        planned: Ints = counts.sum(axis=1)
        return planned


class LtU(LtI[LtUT]):
    """Planned changes wait until the utilisation crosses the reactive thresholds.

    Then one instance per endpoint and decision is added or removed, up to the planned count, which
    keeps slow starts from cascading.
    """

    name = "lt-u"
    options_type = LtUOptions
    tunable: ClassVar[Tunable] = _DEFERRED

    def desired(self, view: ClusterView) -> Ints:
        """Return the standing counts moved towards the plan, [E]."""
        planned = super().desired(view)
        standing: Ints = view.target.sum(axis=1)
        o = self.options
        out = (planned > standing) & (view.utilisation > o.out_above)
        idle = measured(view, self.scenario) & (view.utilisation < o.in_below)
        into = (planned < standing) & idle
        moved: Ints = standing + out.astype(np.int64) - into.astype(np.int64)
        return moved


class LtUa(LtU[LtUaOptions]):
    """`LtU` that leaves the plan in the last part of the hour when the forecast was wrong.

    Where the load of a model in the last 15 minutes is at least ``beyond`` x the forecast its busy
    endpoints grow beyond the plan; at most ``below`` x, its idle ones shrink below it.
    """

    name = "lt-ua"
    options_type = LtUaOptions
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
        rate = view.prompt_rate[_QUARTER_HOUR][..., self.endpoints.interactive].sum(axis=(1, 2))
        ratio = np.where(self.expected > 0, rate / np.maximum(self.expected, 1e-9), 1.0)
        ratio = ratio[self.endpoints.model]
        standing: Ints = view.target.sum(axis=1)
        waiting = (view.pending + view.unmet).sum(axis=1) > 0
        beyond = (ratio >= o.beyond) & (view.utilisation > o.out_above) & ~waiting
        idle = measured(view, self.scenario) & (view.utilisation < o.in_below)
        below = (ratio <= o.below) & idle
        totals = np.where(beyond, np.maximum(totals, standing + 1), totals)
        corrected: Ints = np.where(below, np.minimum(totals, standing - 1), totals)
        return np.maximum(corrected, 0)
