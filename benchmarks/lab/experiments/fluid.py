"""A lower bound on the fleet: the relaxed linear program over a whole trace, with hindsight.

The program knows every request, may use fractions of VMs, starts and stops them at once and free
of charge, and serves a model's traffic in any region. It is a bound of the *fluid* model: an
instance serves theta prompt tokens per second (`measure_theta`, a long saturated run) and work is a
liquid. The queueing system of the simulator is not bound by it: requests come in lumps, and an
instance that is overloaded for a minute catches up within the objective of a long prompt. Against
that stand two relaxations of the same program: with ``Slack`` a share of the interactive work may
be served at any later time, which is more than any service target allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pulp

from sageserve_agents.planner.backend import SolverOptions, make_solver
from sageserve_bench.analysis.targets import UNFINISHED_SHARE, WORST_MODEL_TARGET
from sageserve_bench.errors import UserError
from sageserve_env.simulator.feed import Feed
from sageserve_env.workload import Workload

FloatArray = npt.NDArray[np.float64]
_TIME_LIMIT_S = 300.0  # (A) a week of 5-minute periods takes a few seconds
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Slack:
    """What the service targets leave open, as shares of prompt tokens.

    The targets count requests; that these carry their share of the tokens is our assumption (A).

    Attributes:
        late: Share of the interactive work, over all models, that may be served later.
        late_per_model: The same of a single model.
        unfinished: Share of the non-interactive work that may be left at the end.
    """

    late: float = 0.05
    late_per_model: float = 1.0 - WORST_MODEL_TARGET
    unfinished: float = UNFINISHED_SHARE


@dataclass(frozen=True)
class Bound:
    """The least that the fluid model needs.

    Attributes:
        vm_hours: VM-hours of the cheapest fleet.
        cost_usd: Its price.
        work_vm_hours: All work over theta: what a fleet without minimum counts needs at least.
        floor_vm_hours: What the minimum counts hold at least.
    """

    vm_hours: float
    cost_usd: float
    work_vm_hours: float
    floor_vm_hours: float


def demand_of(workload: Workload, period_s: float) -> tuple[FloatArray, FloatArray]:
    """Return prompt tokens per period as the simulator sees them, prompts cut to the context.

    Args:
        workload: Scenario and trace.
        period_s: Length of a period.

    Returns:
        Interactive and non-interactive prompt tokens, ``[T, M]`` each.
    """
    scenario = workload.scenario
    periods = int(np.ceil(scenario.horizon_s / period_s - 1e-9))
    models = len(scenario.models)
    interactive = np.array([tier.interactive for tier in scenario.tiers])
    sums = np.zeros((2, periods * models))
    feed = Feed(workload.trace, scenario, workload.offset_s)
    while (chunk := next(feed, None)) is not None:
        arrival, model, _, tier, prompt, *_ = chunk
        inside = arrival < scenario.horizon_s
        cell = (arrival[inside] // period_s).astype(np.int64) * models + model[inside]
        tokens = prompt[inside].astype(np.float64)
        now = interactive[tier[inside]]
        for row, mask in enumerate((now, ~now)):
            sums[row] += np.bincount(cell[mask], tokens[mask], minlength=periods * models)
        if not inside.all():
            break
    return sums[0].reshape(periods, models), sums[1].reshape(periods, models)


def fluid_bound(
    workload: Workload, *, period_s: float = 300.0, slack: Slack | None = None
) -> Bound:
    """Return the lower bound of a trace.

    Args:
        workload: Scenario and trace; the least counts are those of the scenario.
        period_s: Interactive work has to be served within the period it arrives in.
        slack: What may be served late or left; None for nothing.

    Raises:
        UserError: If the fleet cannot serve the traffic, or there is no solution in time.
    """
    scenario = workload.scenario
    theta = workload.theta()
    waits_s = [tier.objective_s for tier in scenario.tiers if not tier.interactive]
    now, batch = demand_of(workload, period_s)
    return solve_bound(
        now,
        batch,
        theta=np.where(scenario.compatible, theta, 0.0),
        price=np.array([gpu.price_usd_per_hour for gpu in scenario.gpu_specs]),
        inventory=scenario.inventory.sum(axis=0).astype(np.float64),
        least=float(scenario.min_instances * len(scenario.regions) * len(scenario.pools)),
        period_s=period_s,
        deadline_s=min(waits_s, default=scenario.horizon_s),
        slack=slack,
    )


def solve_bound(
    now: FloatArray,
    batch: FloatArray,
    *,
    theta: FloatArray,
    price: FloatArray,
    inventory: FloatArray,
    least: float,
    period_s: float,
    deadline_s: float,
    slack: Slack | None = None,
) -> Bound:
    """Solve the program.

    Variables per period t and model m: instances x[t, m, g] >= 0 of each VM type, batch tokens
    served n[t, m], batch tokens held b[t, m] at the end of the period, and with slack the
    interactive tokens l[t, m] that join the held ones. Minimise ``sum price x`` subject to

    - ``sum_g theta x period >= now - l + n``;
    - ``b[t] = b[t-1] + batch + l - n``, and at the end no more than what may be left;
    - held tokens are those of the last ``deadline_s`` or late ones: ``b[t] <= arrived + late``;
    - ``sum_g x >= least`` for every model, ``sum_m x <= inventory`` for every type.

    Args:
        now: Interactive tokens, ``[T, M]``.
        batch: Non-interactive tokens, ``[T, M]``.
        theta: Tokens per second of an instance, ``[M, G]``; 0 where the model does not run.
        price: Dollars per VM-hour, ``[G]``.
        inventory: VMs of each type, ``[G]``.
        least: Least instances of a model over all regions.
        period_s: Length of a period in seconds.
        deadline_s: Time in which batch work has to be done.
        slack: What may be served late or left; None for nothing.

    Raises:
        UserError: If there is no solution.
    """
    periods, models = now.shape
    types = len(price)
    hours = period_s / _HOUR_S
    lp = pulp.LpProblem("fluid_bound", pulp.LpMinimize)
    best = np.maximum(theta.max(axis=1), 1e-9)
    x, n, b, late, so_far = {}, {}, {}, {}, {}
    for t in range(periods):
        for m in range(models):
            # Work is counted in periods of an instance, which keeps the numbers small.
            n[t, m] = lp.add_variable(f"n_{t}_{m}", 0)
            b[t, m] = lp.add_variable(f"b_{t}_{m}", 0)
            for g in range(types):
                x[t, m, g] = lp.add_variable(f"x_{t}_{m}_{g}", 0)
            if slack is not None:
                late[t, m] = lp.add_variable(f"l_{t}_{m}", 0, float(now[t, m] / best[m] / period_s))
                so_far[t, m] = lp.add_variable(f"s_{t}_{m}", 0)
    lp += pulp.lpSum(hours * float(price[g]) * x[t, m, g] for t, m, g in x)
    unit = best * period_s
    fresh = max(1, round(deadline_s / period_s))
    for m in range(models):
        work, held = now[:, m] / unit[m], batch[:, m] / unit[m]
        arrived = np.cumsum(held)
        for t in range(periods):
            moved = late.get((t, m), 0.0)
            capacity = pulp.lpSum(float(theta[m, g] / best[m]) * x[t, m, g] for g in range(types))
            lp += capacity - n[t, m] + moved >= float(work[t])
            before = b[t - 1, m] if t else 0.0
            lp += b[t, m] - before + n[t, m] - moved == float(held[t])
            lp += pulp.lpSum(x[t, m, g] for g in range(types)) >= least
            if slack is not None:
                earlier = so_far[t - 1, m] if t else 0.0
                lp += so_far[t, m] - earlier - late[t, m] == 0
            if t >= fresh:
                lp += b[t, m] - so_far.get((t, m), 0.0) <= float(arrived[t] - arrived[t - fresh])
        if slack is None:
            lp += b[periods - 1, m] <= 0
        else:
            lp += b[periods - 1, m] <= slack.unfinished * float(arrived[-1])
            lp += so_far[periods - 1, m] <= slack.late_per_model * float(work.sum())
    if slack is not None:
        every = pulp.lpSum(float(best[m]) * so_far[periods - 1, m] for m in range(models))
        lp += every <= slack.late * float(now.sum()) / period_s
    for t in range(periods):
        for g in range(types):
            lp += pulp.lpSum(x[t, m, g] for m in range(models)) <= float(inventory[g])
    lp.solve(make_solver("highs", SolverOptions(time_limit_s=_TIME_LIMIT_S)))
    if lp.sol_status != pulp.LpSolutionOptimal:
        raise UserError(f"the bound has no solution: {pulp.LpStatus[lp.status]}")
    vm_hours = hours * sum(float(v.varValue or 0.0) for v in x.values())
    work_hours = float(((now + batch).sum(axis=0) / best).sum()) / _HOUR_S
    return Bound(
        vm_hours,
        float(pulp.value(lp.objective)),
        work_hours,
        least * models * periods * hours,
    )
