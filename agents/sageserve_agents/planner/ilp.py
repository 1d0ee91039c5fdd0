"""`ilp`: the reference agent, an hourly integer plan that is refined between plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sageserve_agents.options import When, option
from sageserve_agents.parameters import Choice, Range, ServiceKnob, Tunable
from sageserve_agents.planner.hourly import HourlyOptions, HourlyPlanner
from sageserve_agents.planner.options import (
    FORECASTERS_TRIED,
    SMOOTHING_TRIED,
    UNCERTAIN,
    VALLEYS_TRIED,
)
from sageserve_agents.planner.refine import Refinement, refine
from sageserve_env.view import ClusterView, Ints

_REFINED: When = ("refine=yes", lambda o: o.refine)
_SAFE: When = ("staffing=sqrt or refine=yes", lambda o: o.staffing == "sqrt" or o.refine)


@dataclass(frozen=True)
class IlpOptions(HourlyOptions):
    """Options of `Ilp`.

    Attributes:
        refine: Whether targets are refined between plans.
        beyond: Observed over planned load of a model above which instances are added (paper,
            LT-UA: 5). Nearer to 1 it costs up to 1 % less and wastes four times as much in
            starts.
        below: Observed over forecast load below which instances are taken away in the last part
            of the hour (paper: 0.5).
        last_part_s: That last part (paper: 20 min).
        hold_above: A planned scale-in waits while the endpoint's utilisation is above this (paper,
            LT-U: in below 0.3; 1 or more never waits).
    """

    quantile: float | None = option(0.8, above=0, below=1, when=UNCERTAIN)
    beta: float = option(0.5, low=0, when=_SAFE)
    rho: float = option(1.1, above=0)
    refine: bool = True
    beyond: float = option(5.0, above=0, when=_REFINED)
    below: float = option(0.5, low=0, when=_REFINED)
    last_part_s: float = option(1200.0, low=0, when=_REFINED)
    hold_above: float = option(0.7, low=0, when=_REFINED)


class Ilp(HourlyPlanner[IlpOptions]):
    """Each hour an integer program sets how many instances every model has in every region.

    The plan for an hour is made one scale-out delay before it begins: what it adds starts then,
    what it removes leaves when the hour begins. Demand is the forecast's maximum over the hour,
    pooled over regions with cross-region flows, plus a buffer for non-interactive work and what
    its deadlines force. Between plans the observed load corrects the counts (`refine`).
    """

    name = "ilp"
    options_type = IlpOptions
    tunable: ClassVar[Tunable] = {
        "quantile": Range(0.5, 0.98),
        "beta": Range(0.0, 3.0),
        "rho": Range(0.6, 2.5),
        "level": Range(0.5, 1.0),
        "hold_above": Range(0.4, 1.2),
        "beyond": Range(1.1, 5.0, "log"),
        "period_s": Choice((900.0, 1800.0, 3600.0)),
        "forecaster": FORECASTERS_TRIED,
        "smooth_s": SMOOTHING_TRIED,
        "valleys": VALLEYS_TRIED,
        "niw_buffer": Range(0.0, 0.5),
    }
    service_knob = ServiceKnob("rho", stingy=3.0, generous=0.3, log=True)

    def desired(self, view: ClusterView) -> Ints:
        """Return the plan's counts, corrected by what is observed, [E]."""
        if self.planned is None:
            standing: Ints = view.target.sum(axis=1)
            return standing
        planned: Ints = self.planned.sum(axis=1)
        if not self.options.refine:
            return planned
        o = self.options
        rules = Refinement(o.beyond, o.below, o.last_part_s, o.hold_above, o.beta)
        return refine(
            view,
            self.endpoints,
            planned,
            self.expected,
            self.left_s(view),
            self.planned_theta(view),
            rules,
        )
