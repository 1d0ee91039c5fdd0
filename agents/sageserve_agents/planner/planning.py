"""The common part of agents that plan with the integer program: problem and plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from sageserve_agents.planner import requirements as need
from sageserve_agents.planner.explain import explain
from sageserve_agents.planner.forecasting import ForecastingAgent
from sageserve_agents.planner.options import PlannerOptions
from sageserve_agents.planner.problem import Plan, PlanProblem
from sageserve_agents.planner.solver import PlannerError, solve
from sageserve_env.view import ClusterView, Floats, Ints

_TOGETHER = 12  # (A) plans until it is tried again whether models compete for VMs

PlannerT = TypeVar("PlannerT", bound=PlannerOptions)


class PlanningAgent(ForecastingAgent[PlannerT]):
    """An agent that makes plans and acts on the last one that worked.

    Attributes:
        plan: The last plan that was solved; None before the first.
        failure: Why the last failed plan failed.
    """

    def start(self) -> None:
        """Forget the last episode."""
        super().start()
        self.plan: Plan | None = None
        self._together = 0  # plans for which models are taken to compete for VMs
        self.failure = ""

    def staff(self, view: ClusterView, demand: Floats) -> Floats:
        """Return demand [..., M, R, K] with the safety of the chosen staffing."""
        if self.options.staffing == "margin":
            return demand
        theta = self.planned_theta(view)
        return need.staffed(demand, theta, self.options.beta, self.options.pool_regions)

    def problem(
        self,
        view: ClusterView,
        demand: Floats,
        period_s: Floats,
        ceiling: Ints | None = None,
        whole: tuple[int, int | None] = (0, None),
    ) -> PlanProblem:
        """Return the problem for a demand [T, M, R, K] in prompt tokens per second.

        Counts are whole in the periods from the first of ``whole`` up to the second.
        """
        scenario, endpoints = self.scenario, self.endpoints
        m, r, _ = endpoints.shape
        g = len(scenario.gpus)
        tokens = need.tokens_per_request(self.tracker)
        standing = np.minimum(view.active + view.pending, view.target)
        return PlanProblem(
            models=scenario.models,
            regions=scenario.region_names,
            gpus=scenario.gpus,
            classes=scenario.tier_names,
            demand=demand,
            theta=np.where(endpoints.compatible, view.theta * self.relied[:, None], 0.0),
            price_usd_per_hour=endpoints.price,
            inventory=view.inventory,
            current=standing.reshape(m, r, g),
            low=endpoints.low.reshape(m, r),
            high=endpoints.high.reshape(m, r),
            start_cost_usd=need.start_cost_usd(endpoints, view),
            flow_cost_usd=need.flow_cost_usd(endpoints, tokens),
            value_usd=need.value_usd(endpoints, tokens),
            period_s=period_s,
            rho=self.options.rho,
            local_share=np.maximum(
                self.options.local_share if self.options.pool_regions else 1.0, endpoints.resident
            ),
            ceiling=ceiling,
            integer_periods=whole[1],
            first_whole=whole[0],
        )

    def solve(self, problem: PlanProblem, warm: Ints | None = None) -> Plan | None:
        """Return a plan, or None when it fails: the last plan stands and the failure is counted."""
        self.plans_tried += 1
        options = replace(self.options.solver_options(), by_model=self._together == 0)
        try:
            plan = solve(problem, options, warm)
        except PlannerError as error:
            self.planner_failures += 1
            self.failure = str(error)
            return None
        if plan.parted or self._together:
            self._together = max(self._together - 1, 0)
        else:
            self._together = _TOGETHER
        self.plan = plan
        return plan

    def explain(self) -> str:
        """Return the last plan in words."""
        return "no plan was made yet" if self.plan is None else explain(self.plan)
