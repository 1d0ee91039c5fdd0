"""Options shared by the agents that plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_agents.parameters import check_choice
from sageserve_agents.planner.backend import SOLVERS, SolverOptions
from sageserve_agents.planner.forecast import FORECASTERS
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.view import Floats

STAFFING = ("margin", "sqrt")


@dataclass(frozen=True)
class PlannerOptions:
    """What every planning agent takes.

    Attributes:
        forecaster: Name of the forecaster.
        quantile: Quantile of the forecast to plan on; None plans on the point forecast.
        bin_s: Bins of the forecast.
        staffing: ``sqrt`` (load + beta sqrt(load)) or ``margin`` (load / rho).
        beta: Safety of square-root staffing (DOMAIN.md section 9: 1.5).
        rho: Share of theta that is planned; above 1 where the staffing already has the safety
            (defaults: tuned on validation seeds 1000-1001 of ``o365-day`` to about 95 %).
        trust: Factors on theta by model in the scenario's order, as ``0.95/1.05/1.2/1``; empty
            for 1. How far a model may be loaded differs from what the probe of one instance says
            by how its misses weigh against its VMs.
        pool_regions: Whether a region's traffic may be planned for another region.
        local_share: Least share of the demand that stays in its region.
        niw_buffer: Share of the last hour's NIW that is planned for (DESIGN.md section 6: 10 %).
        lead_s: A plan is made this long before it is needed; None takes the scale-out delay.
        solver: ``highs`` or ``cbc``.
        time_limit_s: Time limit of the solver.
        gap: Relative gap at which the solver may stop.
        router: Router of the requests.
        discipline: Order of waiting requests; None for the scenario's. ``triage`` lets short
            prompts pass long ones (DOMAIN.md section 9, lesson 6) and what is late stand back: 3 to
            5 % cheaper than ``edf`` at equal service.
        niw_ceiling: Utilisation below which endpoints take non-interactive work that is not
            urgent; None for the scenario's. Above the paper's 0.6, at which an endpoint that is
            loaded as planned never takes any (tuned on validation seeds 1000-1001 of
            ``o365-day``).
    """

    forecaster: str = "seasonal-naive"
    quantile: float | None = None
    bin_s: float = 300.0
    staffing: str = "sqrt"
    beta: float = 1.5
    rho: float = 1.05
    trust: str = ""
    pool_regions: bool = True
    local_share: float = 0.0
    niw_buffer: float = 0.1
    lead_s: float | None = None
    solver: str = "highs"
    time_limit_s: float = 10.0
    gap: float = 1e-3
    router: str = "least_wait"
    discipline: str | None = "triage"
    niw_ceiling: float | None = 0.8

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice(self.forecaster, FORECASTERS, "forecaster")
        check_choice(self.staffing, STAFFING, "staffing")
        check_choice(self.solver, SOLVERS, "solver")
        check_choice(self.router, ROUTERS, "router")
        if self.discipline is not None:
            check_choice(self.discipline, DISCIPLINES, "discipline")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {self.quantile}")
        if not self.rho > 0:
            raise ValueError(f"rho must be positive, got {self.rho}")
        if self.beta < 0:
            raise ValueError(f"beta must be at least 0, got {self.beta}")
        if not 0 <= self.local_share <= 1:
            raise ValueError(f"local_share must be in [0, 1], got {self.local_share}")
        self.trust_by_model(1)
        if self.bin_s < 60 or self.bin_s % 60:
            raise ValueError(f"bin_s must be a multiple of 60, got {self.bin_s}")

    def trust_by_model(self, models: int) -> Floats:
        """Return ``trust`` as numbers, [M].

        Raises:
            ValueError: If it is not one positive number, or one for each of several models.
        """
        try:
            values = np.array([float(v) for v in self.trust.split("/")] if self.trust else [1.0])
        except ValueError:
            values = np.zeros(1)
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"trust must be numbers above 0, as in 0.9/1.1, got {self.trust!r}")
        if len(values) == 1:
            values = np.full(models, values[0])
        if models > 1 and len(values) != models:
            raise ValueError(f"trust names {len(values)} models, the scenario has {models}")
        return values

    def solver_options(self) -> SolverOptions:
        """Return the solver's part."""
        return SolverOptions(self.solver, self.time_limit_s, self.gap, by_model=True)
