"""One PuLP model through one solver, HiGHS or CBC, every outcome checked.

PuLP reports "Optimal" after a time-out, so the solution status, the gap, the integrality of the
counts and the capacity are checked here.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pulp

from sageserve_agents.options import Options, option
from sageserve_agents.planner.formulation import Model
from sageserve_agents.planner.problem import Plan, PlanProblem
from sageserve_env.view import Ints

SOLVERS = ("highs", "cbc")
_INTEGRAL = 1e-4


class PlannerError(RuntimeError):
    """No plan could be made; the last one stands."""


class SolverError(PlannerError):
    """A solver is missing or broken; another one may do."""


@dataclass(frozen=True)
class SolverOptions(Options):
    """How a plan is solved.

    Attributes:
        solver: ``highs`` (falls back to ``cbc`` where it cannot be used) or ``cbc``.
        time_limit_s: Limit of the solver.
        gap: Relative gap at which the solver may stop.
        threads: Threads of the solver; 1 keeps runs reproducible and leaves cores to episodes.
        by_model: Plan model by model where that is exact, which it is unless the models compete for
            VMs; small programs that differ little between regions are solved much faster so.
        node_limit: Limit of branch-and-bound nodes (HiGHS), which unlike a time limit stops at the
            same plan on every machine (A).
    """

    solver: str = option("highs", choices=SOLVERS)
    time_limit_s: float = option(10.0, low=0)
    gap: float = option(1e-3, low=0)
    threads: int = option(1, low=1)
    by_model: bool = False
    node_limit: int = option(200, low=1)


def _highs_class() -> type[Any]:
    """Return PuLP's HiGHS with the model passed in one call, and a warm start."""
    import highspy

    class BulkHighs(pulp.HiGHS):  # type: ignore[misc]
        """PuLP's interface adds columns and rows one by one; this hands over arrays."""

        start: dict[int, float] | None = None

        def buildSolverModel(self, lp: Any) -> None:
            columns = lp.variables()
            for i, v in enumerate(columns):
                v.index = i
            rows = lp.constraints()
            for i, row in enumerate(rows):
                row.index = i
            sign = -1.0 if lp.sense == pulp.LpMaximize else 1.0
            inf = highspy.kHighsInf
            h = highspy.HighsLp()
            h.num_col_, h.num_row_ = len(columns), len(rows)
            h.col_cost_ = np.array([sign * lp.objective.get(v, 0.0) for v in columns])
            lows = [-inf if v.lowBound is None else v.lowBound for v in columns]
            tops = [inf if v.upBound is None else v.upBound for v in columns]
            h.col_lower_, h.col_upper_ = np.array(lows), np.array(tops)
            rhs = np.array([-row.constant for row in rows])
            sense = np.array([row.sense for row in rows])
            h.row_lower_ = np.where(sense >= 0, rhs, -inf)
            h.row_upper_ = np.where(sense <= 0, rhs, inf)
            sizes = np.fromiter((len(row) for row in rows), np.int32, len(rows))
            total = int(sizes.sum())
            index = np.fromiter((v.index for row in rows for v in row), np.int32, total)
            value = np.fromiter((a for row in rows for a in row.values()), np.float64, total)
            h.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
            h.a_matrix_.start_ = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
            h.a_matrix_.index_, h.a_matrix_.value_ = index, value
            if self.mip:
                whole, free = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
                h.integrality_ = [whole if v.cat == pulp.LpInteger else free for v in columns]
            lp.solverModel.passModel(h)
            self._warm_start(lp, columns)

        def _warm_start(self, lp: Any, columns: list[Any]) -> None:
            known = [(v.index, v.varValue) for v in columns if v.varValue is not None]
            if known:
                index, value = zip(*known, strict=True)
                lp.solverModel.setSolution(
                    len(known), np.array(index, np.int32), np.array(value, np.float64)
                )

        def findSolutionValues(self, lp: Any) -> tuple[int, int]:
            highs = lp.solverModel
            solution = highs.getSolution()
            if solution.value_valid:
                for variable, value in zip(lp.variables(), solution.col_value, strict=True):
                    variable.varValue = value
            return _pulp_status(highs.getModelStatus(), solution.value_valid)

    return BulkHighs


def _pulp_status(status: Any, found: bool) -> tuple[int, int]:
    """Return PuLP's status and solution status; PuLP's own table lacks the node limit."""
    import highspy

    states = highspy.HighsModelStatus
    if status == states.kOptimal:
        return pulp.LpStatusOptimal, pulp.LpSolutionOptimal
    if status in (states.kInfeasible, states.kUnboundedOrInfeasible):
        return pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible
    stopped = (states.kTimeLimit, states.kSolutionLimit, states.kIterationLimit, states.kInterrupt)
    if found and status in stopped:
        return pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible
    return pulp.LpStatusNotSolved, pulp.LpSolutionNoSolutionFound


_HIGHS: type[Any] | None = None


def make_solver(name: str, options: SolverOptions) -> Any:
    """Return a PuLP solver."""
    global _HIGHS
    if name == "highs":
        if _HIGHS is None:
            _HIGHS = _highs_class()
        return _HIGHS(
            msg=False,
            timeLimit=options.time_limit_s,
            gapRel=options.gap,
            threads=options.threads,
            mip_max_nodes=options.node_limit,
            mip_heuristic_run_feasibility_jump=False,  # a third of the time of a small plan
        )
    return pulp.PULP_CBC_CMD(
        msg=False, timeLimit=options.time_limit_s, gapRel=options.gap, threads=options.threads
    )


def run(
    problem: PlanProblem,
    model: Model,
    name: str,
    options: SolverOptions,
    build_s: float = 0.0,
) -> Plan:
    """Solve a model with one solver and return the checked plan.

    Raises:
        SolverError: If the solver is missing or fails.
        PlannerError: If it finds no feasible plan in time, or one that is not whole or exceeds the
            capacity.
    """
    began = time.perf_counter()
    try:
        model.lp.solve(make_solver(name, options))
    except Exception as error:  # whatever a solver does must not stop an episode
        raise SolverError(f"{name}: {type(error).__name__}: {error}") from error
    return read(problem, model, name, options, (build_s, time.perf_counter() - began))


def offer(model: Model, warm: Ints) -> None:
    """Give a solver that takes it a start: instances [T, M, R, G] of an earlier plan."""
    for key, x in model.x.items():
        value = float(warm[key])
        x.setInitialValue(min(max(value, x.lowBound), x.upBound))


def read(
    problem: PlanProblem,
    model: Model,
    name: str,
    options: SolverOptions,
    seconds: tuple[float, float],
    known_bound: float | None = None,
) -> Plan:
    """Return the plan that a solved model holds; see `run` for what is raised.

    ``known_bound`` is a bound proven elsewhere, where the solver's own is not of the whole program.
    """
    lp = model.lp
    feasible = (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    if lp.status != pulp.LpStatusOptimal or lp.sol_status not in feasible:
        raise PlannerError(
            f"{name}: {pulp.LpStatus[lp.status]}, {pulp.LpSolution[lp.sol_status]} "
            f"within {options.time_limit_s:g} s"
        )
    t, m, r, g, c = problem.shape
    x, flow, short = np.zeros((t, m, r, g)), np.zeros((t, m, r, r)), np.zeros((t, m, r, c))
    for array, variables in ((x, model.x), (flow, model.f), (short, model.s)):
        for key, variable in variables.items():
            value = variable.varValue
            if value is None or not math.isfinite(value):
                raise PlannerError(f"{name}: no value for {variable.name}")
            array[key] = max(value, 0.0)
    whole = x[problem.whole]
    if np.abs(whole - np.rint(whole)).max(initial=0.0) > _INTEGRAL:
        raise PlannerError(f"{name}: counts of instances are not whole")
    counts = np.ceil(x - _INTEGRAL).astype(np.int64)
    _check_capacity(problem, x, flow, name)
    objective = float(pulp.value(lp.objective) or 0.0)
    if known_bound is not None:
        bound, gap = known_bound, max(0.0, objective - known_bound) / max(abs(objective), 1e-9)
        optimal = gap <= options.gap + 1e-6
        return Plan(problem, counts, flow, short, objective, bound, gap, optimal, name, *seconds)
    bound, gap = _gap(lp, name, objective)
    optimal = lp.sol_status == pulp.LpSolutionOptimal and not gap > options.gap + 1e-6
    if name == "cbc" and lp.sol_status == pulp.LpSolutionOptimal:
        optimal = seconds[1] < options.time_limit_s
    return Plan(problem, counts, flow, short, objective, bound, gap, optimal, name, *seconds)


def _check_capacity(problem: PlanProblem, x: Any, flow: Any, name: str) -> None:
    """Raise PlannerError if flows exceed the capacity by more than rounding explains."""
    capacity = problem.rho * (x * problem.theta[None, :, None, :]).sum(axis=3)
    excess = flow.sum(axis=2) - capacity
    if excess.max(initial=0.0) > 1e-3 * max(float(problem.theta.max(initial=0.0)), 1.0):
        raise PlannerError(f"{name}: the solution exceeds the capacity")


def _gap(lp: Any, name: str, objective: float) -> tuple[float, float]:
    """Return the proven bound and the gap; NaN where the solver does not tell."""
    if name != "highs":
        return math.nan, math.nan
    info = lp.solverModel.getInfo()
    bound = float(info.mip_dual_bound)
    if not lp.isMIP() or not math.isfinite(bound):
        return (objective, 0.0) if not lp.isMIP() else (math.nan, math.inf)
    return bound, max(0.0, objective - bound) / max(abs(objective), 1e-9)
