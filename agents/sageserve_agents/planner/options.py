"""Options shared by the agents that plan."""

from __future__ import annotations

from dataclasses import dataclass

from sageserve_agents.options import When, option
from sageserve_agents.parameters import Choice, Range
from sageserve_agents.planner.backend import SolverOptions
from sageserve_agents.planner.forecast import FORECASTERS, SMOOTH_S
from sageserve_agents.stack import StackOptions

STAFFING = ("margin", "sqrt")
VALLEYS_TRIED = Choice((False, True))
SMOOTHING_TRIED = Range(150.0, 2400.0, "log")
FORECASTERS_TRIED = Choice(("seasonal-naive", "ridge"))  # what a tuner may choose from


_BY_REGION: When = ("pool_regions=yes", lambda o: o.pool_regions)
UNCERTAIN: When = ("the forecaster is not perfect", lambda o: o.forecaster != "perfect")
BY_ROOT: When = ("staffing=sqrt", lambda o: o.staffing == "sqrt")


@dataclass(frozen=True)
class ForecastOptions(StackOptions):
    """What every agent takes that acts on a forecast.

    Attributes:
        forecaster: Name of the forecaster.
        quantile: Quantile of the forecast to plan on; None plans on the point forecast.
        bin_s: Bins of the forecast.
        smooth_s: ``seasonal-naive`` averages past days over this time to either side. Less follows
            what comes at the same minute every day, more evens out chance.
        beta: Safety of square-root staffing, against the chance of arrivals (docs/sources.md,
            "First simulations": 1.5 where the forecast has no quantile, whose error grows in
            proportion to the load).
        rho: Share of theta that is planned; above 1 where the staffing already has the safety
            (defaults: tuned on validation seeds 1000-1001 of ``o365-day`` to about 95 %).
        niw_buffer: Share of the last hour's NIW that is planned for (A: 10 %).
        valleys: Batch work is planned in the valleys of the forecast up to its deadline and hardly
            taken elsewhere; otherwise it is spread evenly.
        lead_s: A plan is made this long before it is needed; None takes the scale-out delay.
        niw_ceiling: As in `StackOptions`; above the paper's 0.6, at which an endpoint that is
            loaded as planned never takes any.
    """

    forecaster: str = option("seasonal-naive", choices=FORECASTERS)
    quantile: float | None = option(None, above=0, below=1, when=UNCERTAIN)
    bin_s: float = option(300.0, low=60, multiple_of=60)
    smooth_s: float = option(SMOOTH_S, low=0)
    beta: float = option(1.5, low=0)
    rho: float = option(1.05, above=0)
    niw_buffer: float = option(0.1, low=0)
    valleys: bool = False
    lead_s: float | None = option(None, low=0)
    niw_ceiling: float | None = option(0.8, low=0)


@dataclass(frozen=True)
class PlannerOptions(ForecastOptions):
    """What every agent takes that plans with the integer program.

    Attributes:
        staffing: ``sqrt`` (load + beta sqrt(load)) or ``margin`` (load / rho).
        pool_regions: Whether a region's traffic may be planned for another region.
        local_share: Least share of the demand that stays in its region.
        solver: ``highs`` or ``cbc``.
        time_limit_s: Time limit of the solver.
        gap: Relative gap at which the solver may stop.
    """

    staffing: str = option("sqrt", choices=STAFFING)
    pool_regions: bool = True
    local_share: float = option(0.0, low=0, high=1, when=_BY_REGION)
    solver: str = "highs"
    time_limit_s: float = 10.0
    gap: float = 1e-3

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        self.solver_options()  # has the limits of the solver's part

    def solver_options(self) -> SolverOptions:
        """Return the solver's part."""
        return SolverOptions(self.solver, self.time_limit_s, self.gap, by_model=True)
