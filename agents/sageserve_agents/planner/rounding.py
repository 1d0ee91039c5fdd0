"""Large plans: solve the relaxation, dive to whole counts, and let the gap be the proof.

Branch and bound on thousands of integers needs minutes to find a good plan. Diving needs seconds:
the relaxation is solved by the interior-point method, then in each round the counts that are
nearest to the next whole number are raised to it as lower bounds, and the relaxation is solved
again from where it was, so that flows and the other counts adapt exactly. Counts are only ever
bounded from below and within the inventories, so no round can become infeasible. Then instances
are taken away again, one per model and round, and given back to the models that miss them: with
whole counts the models do not touch each other, so one solve tries a hundred removals. The value of
the first relaxation is the bound that proves the gap.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pulp

from sageserve_agents.planner.backend import PlannerError, SolverOptions, make_solver, read
from sageserve_agents.planner.formulation import Model
from sageserve_agents.planner.problem import Plan, PlanProblem
from sageserve_env.view import Floats, Ints

_ROUNDS = 500  # (A) far above the 40 that 15,000 integers take
# Fractions of at least this are raised in any round, besides the largest of each model (A; on the
# large instance of `bench.py` 0.5 ends at a gap of 1.0 % before trimming, 0.85 at 0.9 %).
_NEAR = 0.6
_WHOLE = 1e-5
_TRIMS = 12  # (A) rounds of removals
_AIM = 0.9  # (A) trimming stops at this share of the gap


def relax_and_round(
    problem: PlanProblem, model: Model, options: SolverOptions, build_s: float = 0.0
) -> Plan:
    """Return a whole plan with its gap to the relaxation; ``optimal`` if the gap is met.

    Args:
        problem: What to plan.
        model: Its PuLP model, which keeps the values found.
        options: Time limit (of the whole) and gap.
        build_s: Time that building took, for the report.

    Raises:
        PlannerError: If HiGHS cannot be used or a relaxation is not solved in time.
    """
    began = time.perf_counter()
    try:
        relaxation = Relaxation(model, options)
        bound = relaxation.solve(interior=True)
        _dive(problem, relaxation, began + options.time_limit_s)
        _trim(problem, relaxation, bound / (1.0 - _AIM * options.gap))
        relaxation.keep()
    except PlannerError:
        raise
    except Exception as error:  # whatever a solver does must not stop an episode
        raise PlannerError(f"rounding: {type(error).__name__}: {error}") from error
    finally:
        model.lp.solverModel = None
    model.lp.assignStatus(pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible)
    seconds = (build_s, time.perf_counter() - began)
    return read(problem, model, "highs", options, seconds, bound)


class Relaxation:
    """The linear relaxation of a model, solved again and again with rising lower bounds."""

    def __init__(self, model: Model, options: SolverOptions) -> None:
        self.model = model
        self.solver = make_solver("highs", options)
        self.solver.mip = False
        self.solver.createAndConfigureSolver(model.lp)
        self.solver.buildSolverModel(model.lp)
        self.highs = model.lp.solverModel
        variables = list(model.x.values())
        self.keys: Ints = np.array(list(model.x), dtype=np.int64).reshape(-1, 4)
        self.index = np.array([v.index for v in variables], dtype=np.int32)
        self.low: Floats = np.array([float(v.lowBound) for v in variables])
        self.high: Floats = np.array([float(v.upBound) for v in variables])

    def solve(self, interior: bool = False) -> float:
        """Solve and return the objective.

        Raises:
            PlannerError: If it is not solved to optimality.
        """
        self.highs.setOptionValue("solver", "ipm" if interior else "choose")
        self.highs.run()
        value = float(self.highs.getInfo().objective_function_value)
        status = self.highs.getModelStatus().name
        if status != "kOptimal" or not math.isfinite(value):
            raise PlannerError(f"relaxation: {status}")
        return value

    def fix(self, counts: Floats) -> float:
        """Fix all counts and solve; return the objective."""
        self.highs.changeColsBounds(len(counts), self.index, counts, counts)
        return self.solve()

    def keep(self) -> None:
        """Store the values of all variables in the model."""
        self.solver.findSolutionValues(self.model.lp)

    def instances(self) -> Floats:
        """Return the values of the counts, in the order of ``keys``."""
        return np.asarray(self.highs.getSolution().col_value, dtype=np.float64)[self.index]

    def raise_to(self, low: Floats) -> None:
        """Set new lower bounds of the counts."""
        self.low = low
        self.highs.changeColsBounds(len(low), self.index, low, self.high)


def _dive(problem: PlanProblem, relaxation: Relaxation, until: float) -> None:
    """Raise fractional counts round by round until all are whole."""
    t_, m_, r_, g_, _ = problem.shape
    t, m, r, g = relaxation.keys.T
    row = t * m_ + m
    whole = np.isin(t, range(t_)[problem.whole])
    for _ in range(_ROUNDS):
        x = relaxation.instances()
        floor = np.floor(x + _WHOLE)
        part = np.where((x - floor > _WHOLE) & whole, x - floor, 0.0)
        if not part.any():
            return
        if time.perf_counter() > until:
            raise PlannerError("rounding: time limit")
        best = np.zeros(t_ * m_)
        np.maximum.at(best, row, part)
        wanted = (part > 0) & ((part >= _NEAR) | (part >= best[row] - 1e-9))
        low = relaxation.low.copy()
        used = np.zeros((t_, r_, g_))
        np.add.at(used, (t, r, g), low)
        per_pair = np.zeros((t_, m_, r_))
        np.add.at(per_pair, (t, m, r), low)
        for i in np.flatnonzero(wanted)[np.argsort(-part[wanted], kind="stable")]:
            more = floor[i] + 1.0 - low[i]
            here = used[t[i], r[i], g[i]] + more <= problem.inventory[r[i], g[i]]
            allowed = per_pair[t[i], m[i], r[i]] + more <= problem.high[m[i], r[i]]
            if here and allowed and floor[i] + 1.0 <= relaxation.high[i]:
                used[t[i], r[i], g[i]] += more
                per_pair[t[i], m[i], r[i]] += more
                low[i] = floor[i] + 1.0
        if (low == relaxation.low).all():
            raise PlannerError("rounding: no count can be raised")
        relaxation.raise_to(low)
        relaxation.solve()
    raise PlannerError("rounding: too many rounds")


def _trim(problem: PlanProblem, relaxation: Relaxation, enough_usd: float) -> None:
    """Take away instances that are not missed; the relaxation ends solved for the final counts."""
    if len(problem.period_s) != 1:
        return
    keys, flows = relaxation.keys, relaxation.model.f
    m, r, g = keys[:, 1], keys[:, 2], keys[:, 3]
    rate = problem.rho * problem.theta[m, g]
    price = problem.price_usd_per_hour[r, g]
    into = np.array([(k[1], k[3]) for k in flows], dtype=np.int64).reshape(-1, 2)
    index = np.array([v.index for v in flows.values()], dtype=np.int64)
    cuts = list(relaxation.model.s)
    cut_index = np.array([relaxation.model.s[k].index for k in cuts], dtype=np.int64)
    cut_model = np.array([k[1] for k in cuts], dtype=np.int64)
    models, regions = problem.shape[1:3]
    counts = np.rint(relaxation.instances())
    objective = relaxation.fix(counts)
    tried = np.zeros(len(counts), dtype=bool)

    def short() -> Floats:
        values = np.asarray(relaxation.highs.getSolution().col_value)
        total: Floats = np.bincount(cut_model, values[cut_index], models).astype(np.float64)
        return total

    missed = short()
    for _ in range(_TRIMS):
        if objective <= enough_usd:
            return
        values = np.asarray(relaxation.highs.getSolution().col_value)
        spare = np.zeros((models, regions))
        np.add.at(spare, (m, r), counts * rate)
        np.subtract.at(spare, (into[:, 0], into[:, 1]), values[index])
        pairs = np.zeros((models, regions))
        np.add.at(pairs, (m, r), counts)
        able = (counts > 0) & ~tried & (pairs[m, r] > problem.low[m, r])
        able &= rate <= spare.sum(axis=1)[m]
        if not able.any():
            return
        worth = np.where(able, price * (1.0 + spare[m, r] / rate.max()), -1.0)
        chosen = [int(np.argmax(np.where(m == i, worth, -1.0))) for i in np.unique(m[able])]
        tried[chosen] = True
        trial = counts.copy()
        trial[chosen] -= 1.0
        relaxation.fix(trial)
        worse = short() > missed + 1e-6 * problem.theta.max()
        trial[[i for i in chosen if worse[m[i]]]] += 1.0
        objective, counts = relaxation.fix(trial), trial
