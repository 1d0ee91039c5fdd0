"""Making a plan: the whole integer program, or relaxation and rounding where it is large.

`solve` either returns a feasible plan whose gap is known or raises `PlannerError`. HiGHS is used
through PuLP; where it is missing or fails CBC takes its place.
"""

from __future__ import annotations

import time

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


__all__ = ["LARGE", "SOLVERS", "PlannerError", "SolverOptions", "solve"]
