"""A relaxation of a day: the least that a fluid of prompt tokens costs, with hindsight.

Instances are fractions that start and stop at once and free of charge, an instance serves theta
prompt tokens per second, and a share of the interactive work as large as the targets leave may stay
undone. Residents are served at home, all other work anywhere, batch work at any time within its
longest objective. Queues are not in it: requests come in lumps, so an instance may serve more than
theta for a while, and the figure is a relaxation of the plan rather than a bound of the simulator.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linprog

from sageserve_bench.analysis.targets import UNFINISHED_SHARE
from sageserve_bench.errors import UserError
from sageserve_env.workload import Workload, in_names_of

Floats = NDArray[np.float64]
PERIOD_S = 900.0
_HOUR_S = 3600.0


def fluid_bound_usd(workload: Workload, period_s: float = PERIOD_S) -> float:
    """Return the dollars of the cheapest fluid plan.

    Variables per period and model: instances by region and VM type, work left undone, batch tokens
    served. Work is counted in tokens of the period.

    Args:
        workload: Scenario and trace.
        period_s: Interactive work is served in the period in which it arrives.

    Raises:
        UserError: If the program has no solution.
    """
    s = workload.scenario
    theta = np.where(s.compatible, workload.theta(), 0.0)
    now, home, batch = _demand(workload, period_s)  # [T, M], [T, M, R], [T, M]
    t_, m_, r_, g_ = len(now), len(s.models), len(s.regions), len(s.gpus)
    usable = s.usable.reshape(m_, r_, -1, g_)[:, :, 0]
    x = np.arange(t_ * m_ * r_ * g_).reshape(t_, m_, r_, g_)
    late = x.size + np.arange(t_ * m_).reshape(t_, m_)
    served = late.ravel()[-1] + 1 + np.arange(t_ * m_).reshape(t_, m_)
    size = int(served.ravel()[-1]) + 1
    cost = np.zeros(size)
    cost[: x.size] = np.broadcast_to(s.price_usd_per_hour * period_s / _HOUR_S, x.shape).ravel()
    high = np.full(size, np.inf)
    high[: x.size] = np.broadcast_to(usable * s.inventory, x.shape).ravel()
    high[late] = now
    rows = _Rows(size)
    power = theta[:, None, :] * period_s * np.ones((1, r_, 1))  # [M, R, G]
    share = 1.0 - min(t.target for t in s.tiers if t.interactive)
    window = max(
        1,
        math.floor(
            max([t.objective_s for t in s.tiers if not t.interactive], default=period_s) / period_s
        ),
    )
    for m in range(m_):
        for t in range(t_):
            columns, values = x[t, m].ravel(), power[m].ravel()
            rows.at_least([*columns, late[t, m], served[t, m]], [*values, 1.0, -1.0], now[t, m])
            for r in range(r_):
                if s.min_instances and usable[m, r].any():
                    rows.at_least(x[t, m, r], np.ones(g_), float(s.min_instances))
                if home[t, m, r] > 0:
                    rows.at_least([*x[t, m, r], late[t, m]], [*power[m, r], 1.0], home[t, m, r])
            rows.at_least(columns, np.ones(len(columns)), float(s.min_per_model))
            rows.at_least(served[: t + 1, m], -np.ones(t + 1), -batch[: t + 1, m].sum())
            if t >= window:
                due = (1.0 - UNFINISHED_SHARE) * batch[: t - window + 1, m].sum()
                rows.at_least(served[: t + 1, m], np.ones(t + 1), due)
        rows.at_least(served[:, m], np.ones(t_), (1.0 - UNFINISHED_SHARE) * batch[:, m].sum())
    rows.at_least(late.ravel(), -np.ones(late.size), -share * now.sum())
    for t in range(t_):
        for r in range(r_):
            for g in range(g_):
                if s.inventory[r, g]:
                    rows.at_least(x[t, :, r, g], -np.ones(m_), -float(s.inventory[r, g]))
    found = linprog(
        cost,
        A_ub=rows.matrix(),  # type: ignore[call-overload]  # sparse matrices are taken
        b_ub=rows.limits(),
        bounds=np.c_[np.zeros(size), high],
        method="highs",
    )
    if found.status != 0:
        raise UserError(f"the bound has no solution: {found.message}")
    return float(found.fun)


class _Rows:
    """Rows ``sum values x >= low`` of a program, written as upper bounds."""

    def __init__(self, size: int) -> None:
        self._size, self._low = size, list[float]()
        self._at: list[tuple[NDArray[np.int64], Floats]] = []

    def at_least(self, columns: object, values: object, low: float) -> None:
        """Add a row."""
        self._at.append((np.asarray(columns, dtype=np.int64), np.asarray(values, dtype=float)))
        self._low.append(low)

    def matrix(self) -> sp.csr_array:
        """Return the left sides."""
        lengths = [len(columns) for columns, _ in self._at]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        columns = np.concatenate([columns for columns, _ in self._at])
        values = -np.concatenate([values for _, values in self._at])
        return sp.csr_array((values, (rows, columns)), shape=(len(lengths), self._size))

    def limits(self) -> Floats:
        """Return the right sides."""
        return -np.array(self._low)


def _demand(workload: Workload, period_s: float) -> tuple[Floats, Floats, Floats]:
    """Return interactive tokens, those of residents by region, and batch tokens, per period."""
    scenario = workload.scenario
    series = workload.trace.demand(period_s, scenario.horizon_s)
    tokens = in_names_of(scenario, series).prompt_tokens.astype(np.float64)  # [T, M, R, K]
    interactive = np.array([tier.interactive for tier in scenario.tiers])
    resident = np.array([region.resident for region in scenario.regions])
    by_origin = tokens[..., interactive].sum(axis=3)
    return by_origin.sum(axis=2), by_origin * resident, tokens[..., ~interactive].sum(axis=(2, 3))
