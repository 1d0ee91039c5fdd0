"""The integer program of the planner as a PuLP model.

Variables, per period: instances ``x[m, r, g]`` integer, forecast flow ``f[m, o, d] >= 0``, starts
``y[m, r, g] >= x - previous``, shortfall ``s[m, o, c]`` up to the demand.

Minimise price[r, g] x + start cost y + transfer and latency cost f + shortfall penalty s, subject
to

* balance: ``sum_d f[m, o, d] + sum_c s[m, o, c] = demand[m, o]``;
* capacity: ``sum_o f[m, o, r] <= rho sum_g theta[m, g] x[m, r, g]``;
* inventory: ``sum_m x[m, r, g] <= inventory[r, g]``;
* counts: ``low[m, r] <= sum_g x[m, r, g] <= high[m, r]``;
* locality: ``f[m, o, o] >= local_share[o] sum_d f[m, o, d]``.

A minimum that the inventory cannot hold is bought off at a price (``z``), so that a plan always
exists ("a plan exceeds the GPU budget and deadlocks" is a trap of docs/sources.md, "Traps").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pulp

from sageserve_agents.demand import HOUR_S
from sageserve_agents.planner.problem import PlanProblem
from sageserve_env.view import Floats

Variables = dict[tuple[int, ...], Any]


@dataclass
class Model:
    """A PuLP problem and its variables by index."""

    lp: Any
    x: Variables
    y: Variables
    f: Variables
    s: Variables
    z: Variables


def build(p: PlanProblem) -> Model:
    """Return the PuLP model of a problem."""
    model = Model(pulp.LpProblem("sageserve_plan", pulp.LpMinimize), {}, {}, {}, {}, {})
    _variables(p, model)
    model.lp.setObjective(_objective(p, model))
    _flows(p, model)
    _counts(p, model)
    return model


def destinations(p: PlanProblem) -> list[list[list[int]]]:
    """Return the regions that may serve each origin, nearest first, [M][R][...]."""
    regions = range(len(p.regions))
    keep = len(p.regions) if p.neighbours is None else max(1, p.neighbours)
    cost = p.flow_cost_usd.copy()
    cost[:, list(regions), list(regions)] = -1.0  # the region itself comes first
    order = np.argsort(cost, axis=2, kind="stable")[:, :, :keep]
    nearest: list[list[list[int]]] = order.tolist()
    bound = p.home_share >= 1.0
    return [[[o] if bound[o] else row[o] for o in regions] for row in nearest]


def _variables(p: PlanProblem, model: Model) -> None:
    t_, m_, r_, g_, c_ = p.shape
    usable = p.theta > 0
    top = np.minimum(p.inventory[None], p.high[:, :, None])  # [M, R, G]
    tops = np.broadcast_to(top, (t_, *top.shape))
    if p.ceiling is not None:
        tops = np.minimum(tops, p.ceiling)
    whole = range(t_)[p.whole]
    scarce = _minimum_may_not_fit(p)
    reach = destinations(p)
    demand = p.demand
    variable = model.lp.add_variable
    for t in range(t_):
        kind = pulp.LpInteger if t in whole else pulp.LpContinuous
        for m in range(m_):
            for r in range(r_):
                for g in range(g_):
                    if usable[m, g] and tops[t, m, r, g] > 0:
                        key = (t, m, r, g)
                        end = f"{t}_{m}_{r}_{g}"
                        model.x[key] = variable("x" + end, 0, int(tops[key]), kind)
                        if p.start_cost_usd[m, r, g] > 0:
                            model.y[key] = variable("y" + end, 0)
                if scarce:
                    model.z[t, m, r] = variable(f"z{t}_{m}_{r}", 0, int(p.low[m, r]))
                if demand[t, m, r].sum() <= 0:
                    continue
                for d in reach[m][r]:
                    model.f[t, m, r, d] = variable(f"f{t}_{m}_{r}_{d}", 0)
                for c in range(c_):
                    if demand[t, m, r, c] > 0:
                        top_s = float(demand[t, m, r, c])
                        model.s[t, m, r, c] = variable(f"s{t}_{m}_{r}_{c}", 0, top_s)


def _minimum_may_not_fit(p: PlanProblem) -> bool:
    """Return whether minima can clash with inventory, ceilings or VM types."""
    if p.ceiling is not None or len(p.gpus) > 1:
        return bool((p.low > 0).any())
    return bool((p.low.sum(axis=0) > p.inventory.sum(axis=1)).any())


def _objective(p: PlanProblem, model: Model) -> Any:
    hours = (p.period_s / HOUR_S).tolist()
    seconds = p.period_s.tolist()
    price = p.price_usd_per_hour.tolist()
    start, flow, short = p.start_cost_usd, p.flow_cost_usd, p.shortfall_usd()
    missing = p.missing_minimum_usd()
    terms = [(v, price[k[2]][k[3]] * hours[k[0]]) for k, v in model.x.items()]
    terms += [(v, float(start[k[1:]])) for k, v in model.y.items()]
    terms += [(v, float(flow[k[1:]]) * seconds[k[0]]) for k, v in model.f.items()]
    terms += [(v, float(short[k[1], k[3]]) * hours[k[0]]) for k, v in model.s.items()]
    terms += [(v, missing * hours[k[0]]) for k, v in model.z.items()]
    return pulp.LpAffineExpression(terms)


def _add(model: Model, terms: list[tuple[Any, float]], sense: int, rhs: float, name: str) -> None:
    if terms:
        row = pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, name, rhs)
        model.lp.addConstraint(row)


def _flows(p: PlanProblem, model: Model) -> None:
    """Add balance, locality and capacity."""
    leaving: dict[tuple[int, ...], list[tuple[Any, float]]] = {}
    arriving: dict[tuple[int, ...], list[tuple[Any, float]]] = {}
    for (t, m, o, d), v in model.f.items():
        leaving.setdefault((t, m, o), []).append((v, 1.0))
        arriving.setdefault((t, m, d), []).append((v, 1.0))
    shares = p.home_share.tolist()
    for (t, m, o), terms in leaving.items():
        end = f"{t}_{m}_{o}"
        share = shares[o]
        if 0 < share < 1:
            home = model.f[t, m, o, o]
            local = [(v, (1.0 if v is home else 0.0) - share) for v, _ in terms]
            _add(model, local, pulp.LpConstraintGE, 0.0, "local" + end)
        cut = [(v, 1.0) for c in range(p.shape[4]) if (v := model.s.get((t, m, o, c))) is not None]
        total = float(p.demand[t, m, o].sum())
        _add(model, terms + cut, pulp.LpConstraintEQ, total, "balance" + end)
    theta: Floats = p.rho * p.theta
    for (t, m, d), terms in arriving.items():
        have = [
            (v, -float(theta[m, g]))
            for g in range(p.shape[3])
            if (v := model.x.get((t, m, d, g))) is not None
        ]
        _add(model, terms + have, pulp.LpConstraintLE, 0.0, f"capacity{t}_{m}_{d}")


def _counts(p: PlanProblem, model: Model) -> None:
    """Add inventory, minima, maxima and starts."""
    t_, m_, r_, g_, _ = p.shape
    tops = np.minimum(p.inventory[None], p.high[:, :, None]).sum(axis=0)  # [R, G]
    for t in range(t_):
        for r in range(r_):
            for g in range(g_):
                if tops[r, g] > p.inventory[r, g]:
                    here = [model.x.get((t, m, r, g)) for m in range(m_)]
                    terms = [(v, 1.0) for v in here if v is not None]
                    limit = float(p.inventory[r, g])
                    _add(model, terms, pulp.LpConstraintLE, limit, f"inventory{t}_{r}_{g}")
            for m in range(m_):
                found = [model.x.get((t, m, r, g)) for g in range(g_)]
                kinds = [(v, 1.0) for v in found if v is not None]  # a variable may be falsy
                _limits(p, model, (t, m, r), kinds)
    for (t, m, r, g), y in model.y.items():
        x = model.x[t, m, r, g]
        end = f"{t}_{m}_{r}_{g}"
        before = model.x.get((t - 1, m, r, g)) if t else None
        if before is not None:
            _add(model, [(y, 1.0), (x, -1.0), (before, 1.0)], pulp.LpConstraintGE, 0.0, "y" + end)
        else:
            standing = float(p.current[m, r, g]) if t == 0 else 0.0
            _add(model, [(y, 1.0), (x, -1.0)], pulp.LpConstraintGE, -standing, "start" + end)


def _limits(
    p: PlanProblem, model: Model, key: tuple[int, int, int], kinds: list[tuple[Any, float]]
) -> None:
    t, m, r = key
    low, high = int(p.low[m, r]), int(p.high[m, r])
    relief = model.z.get(key)
    if len(kinds) == 1 and relief is None:
        kinds[0][0].lowBound = min(low, kinds[0][0].upBound)
        return
    end = f"{t}_{m}_{r}"
    if low > 0:
        spare = [(relief, 1.0)] if relief is not None else []
        _add(model, kinds + spare, pulp.LpConstraintGE, float(low), "low" + end)
    if len(kinds) > 1 and sum(v.upBound for v, _ in kinds) > high:
        _add(model, kinds, pulp.LpConstraintLE, float(high), "high" + end)
