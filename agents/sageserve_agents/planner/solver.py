"""Making a plan: the whole integer program, or relaxation and rounding where it is large.

`solve` either returns a feasible plan whose gap is known or raises `PlannerError`. HiGHS is used
through PuLP; where it is missing or fails CBC takes its place.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from sageserve_agents.planner.backend import (
    SOLVERS,
    PlannerError,
    SolverError,
    SolverOptions,
    offer,
    run,
)
from sageserve_agents.planner.formulation import build
from sageserve_agents.planner.problem import Plan, PlanProblem
from sageserve_agents.planner.rounding import relax_and_round
from sageserve_env.view import Ints

# Above this number of integer variables the relaxation is solved and rounded first; branch and
# bound follows only if the gap is not met (A: below it HiGHS is done in well under a second).
LARGE = 1500


def solve(
    problem: PlanProblem, options: SolverOptions | None = None, warm: Ints | None = None
) -> Plan:
    """Return a plan for a problem.

    Args:
        problem: What to plan.
        options: How to solve.
        warm: Instances [T, M, R, G] of an earlier plan, offered to the solver as a start.

    Raises:
        PlannerError: If no solver can be used, none finds a feasible plan within the limits, or
            what it returns cannot be used.
    """
    options = options or SolverOptions()
    if options.by_model and len(problem.models) > 1:
        plan = _by_model(problem, options, warm)
        if plan is not None:
            return plan
    began = time.perf_counter()
    model = build(problem)
    build_s = time.perf_counter() - began
    if warm is not None:
        offer(model, warm)
    errors = []
    if options.solver == "highs" and len(model.x) > LARGE:
        try:
            plan = relax_and_round(problem, model, options, build_s)
            if plan.optimal:
                return plan
            offer(model, plan.instances)
        except PlannerError as error:
            errors.append(str(error))
    for name in dict.fromkeys((options.solver, "cbc")):
        try:
            return run(problem, model, name, options, build_s)
        except SolverError as error:
            errors.append(str(error))
    raise PlannerError("; ".join(errors))


def _by_model(problem: PlanProblem, options: SolverOptions, warm: Ints | None) -> Plan | None:
    """Return the plans of the models put together, or None if they need more VMs than there are.

    Without the inventory rows the program falls into one per model. If their optima respect the
    inventories together, they are the optimum of the whole.
    """
    parts = []
    for m in range(len(problem.models)):
        start = None if warm is None else warm[:, m : m + 1]
        part = solve(problem.only(m), replace(options, by_model=False), start)
        if part.short:
            return None
        parts.append(part)
    instances = np.concatenate([p.instances for p in parts], axis=1)
    if (instances.sum(axis=1) > problem.inventory).any():
        return None
    objective, bound = (sum(getattr(p, k) for p in parts) for k in ("objective_usd", "bound_usd"))
    return Plan(
        problem,
        instances,
        np.concatenate([p.flow for p in parts], axis=1),
        np.concatenate([p.shortfall for p in parts], axis=1),
        objective,
        bound,
        max(0.0, objective - bound) / max(abs(objective), 1e-9),
        all(p.optimal for p in parts),
        parts[0].solver,
        sum(p.build_s for p in parts),
        sum(p.solve_s for p in parts),
        parted=True,
    )


__all__ = ["LARGE", "SOLVERS", "PlannerError", "SolverOptions", "solve"]
