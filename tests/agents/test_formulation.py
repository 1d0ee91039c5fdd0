"""The integer program: worked by hand, and against enumeration of every count."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from sageserve_agents.planner.backend import SolverOptions
from sageserve_agents.planner.bench import instance
from sageserve_agents.planner.explain import explain
from sageserve_agents.planner.problem import PlanProblem, cost_parts
from sageserve_agents.planner.solver import solve
from tests.agents.problems import problem, random_problem

EXACT = SolverOptions(gap=1e-9)


def test_by_hand_at_home() -> None:
    """2 instances in a, 1 in b: 150 + 90 tokens/s; pooling needs 3 as well, so all stay at home."""
    plan = solve(problem(), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [2, 1]
    assert plan.flow[0, 0] == pytest.approx(np.array([[150.0, 0.0], [0.0, 90.0]]))
    assert plan.cost_usd() == pytest.approx({"vms": 30, "starts": 3, "flows": 0, "shortfall": 0})
    assert plan.objective_usd == pytest.approx(33.0)
    assert plan.optimal
    assert not plan.short


def test_by_hand_across_regions() -> None:
    """130 + 60: at home 2 + 1, together 2 in all; one of the two is moved to b or taken in a."""
    demand = np.array([[[[130.0, 0.0], [60.0, 0.0]]]])
    plan = solve(problem(demand=demand), EXACT)
    assert plan.instances.sum() == 2
    # Cheapest flow: one in each, 30 of a go to b: 30 x 3600 x 1e-6 USD.
    assert plan.instances[0, 0, :, 0].tolist() == [1, 1]
    assert plan.flow[0, 0] == pytest.approx(np.array([[100.0, 30.0], [0.0, 60.0]]))
    assert plan.cost_usd()["flows"] == pytest.approx(0.108)
    alone = solve(problem(demand=demand, local_share=1.0), EXACT)
    assert alone.instances[0, 0, :, 0].tolist() == [2, 1]


def test_standing_instances_start_for_nothing_and_leave_for_nothing() -> None:
    plan = solve(problem(current=np.array([[[4], [1]]])), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [2, 1]
    assert plan.cost_usd()["starts"] == 0.0


def test_margin_and_limits() -> None:
    assert solve(problem(rho=0.5), EXACT).instances.sum() == 5
    low = solve(problem(low=np.array([[3, 2]])), EXACT)
    assert low.instances[0, 0, :, 0].tolist() == [3, 2]
    high = solve(problem(high=np.array([[1, 5]])), EXACT)
    assert high.instances[0, 0, :, 0].tolist() == [1, 2]
    assert high.flow[0, 0, 0, 1] == pytest.approx(50.0)


def test_too_much_demand_serves_the_most_valuable_part() -> None:
    demand = np.array([[[[150.0, 80.0], [90.0, 100.0]]]])
    plan = solve(problem(demand=demand, inventory=np.array([[2], [1]])), EXACT)
    assert plan.short
    assert plan.instances[0, 0, :, 0].tolist() == [2, 1]
    assert plan.shortfall[0, 0, :, 0].sum() == pytest.approx(0.0)  # IW-F is worth more
    assert plan.shortfall[0, 0, :, 1].sum() == pytest.approx(120.0)
    text = explain(plan)
    assert "SHORT" in text
    assert "m NIW: 120 of 180 tokens/s (67 %)" in text
    assert "inventory of a g-x8: all 2 VMs" in text


def test_the_more_valuable_model_gets_the_vms() -> None:
    both = problem(
        models=("dear", "cheap"),
        demand=np.full((1, 2, 2, 2), 100.0) * np.array([1.0, 0.0]),
        theta=np.array([[100.0], [100.0]]),
        current=np.zeros((2, 2, 1), dtype=np.int64),
        low=np.zeros((2, 2), dtype=np.int64),
        high=np.full((2, 2), 5),
        start_cost_usd=np.ones((2, 2, 1)),
        flow_cost_usd=np.zeros((2, 2, 2)),
        value_usd=np.array([[2.0, 2.0], [1.0, 1.0]]),
        inventory=np.array([[1], [1]]),
    )
    plan = solve(both, EXACT)
    assert plan.instances[0, :, :, 0].tolist() == [[1, 1], [0, 0]]
    assert "cheap IW-F: 200 of 200" in explain(plan)


def test_minima_beyond_the_inventory_still_give_a_plan() -> None:
    """A plan that exceeds the GPU budget must not deadlock."""
    plan = solve(problem(low=np.array([[4, 4]]), inventory=np.array([[2], [2]])), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [2, 2]


def test_a_cheaper_type_is_taken_first() -> None:
    two = problem(
        gpus=("slow-x8", "fast-x8"),
        theta=np.array([[100.0, 250.0]]),
        price_usd_per_hour=np.array([10.0, 20.0]),
        inventory=np.array([[5, 1], [5, 1]]),
        current=np.zeros((1, 2, 2), dtype=np.int64),
        high=np.array([[6, 6]]),
        start_cost_usd=np.zeros((1, 2, 2)),
    )
    plan = solve(two, EXACT)
    assert plan.cost_usd()["vms"] == pytest.approx(20.0)  # one fast one serves all 240
    assert plan.instances[0, 0, :, 1].sum() == 1


def test_several_periods_respect_what_is_under_way() -> None:
    """Demand steps up in the second period; the first cannot have more than what stands."""
    demand = np.array([[[[50.0, 0], [50.0, 0]]], [[[200.0, 0], [50.0, 0]]]])
    ceiling = np.array([[[[1], [1]]], [[[5], [5]]]])
    plan = solve(
        problem(
            demand=demand,
            period_s=np.array([1800.0, 1800.0]),
            current=np.array([[[1], [1]]]),
            ceiling=ceiling,
        ),
        EXACT,
    )
    assert plan.instances[0].sum() <= 2
    assert plan.instances[1].sum() == 3
    assert plan.cost_usd()["vms"] == pytest.approx(10 * (plan.instances[0].sum() + 3) / 2)


def enumerate_best(p: PlanProblem) -> float:
    """Return the least objective over every count of instances, flows by linear programming."""
    _, m, r, g, c = p.shape
    top = np.minimum(p.inventory[None], p.high[:, :, None]) * (p.theta[:, None, :] > 0)
    missing_usd = p.missing_minimum_usd()
    best = np.inf
    short = p.shortfall_usd()
    for flat in itertools.product(*(range(int(t) + 1) for t in top.ravel())):
        x = np.array(flat, dtype=np.int64).reshape(m, r, g)
        if (x.sum(axis=0) > p.inventory).any() or (x.sum(axis=2) > p.high).any():
            continue
        missing = np.maximum(p.low - x.sum(axis=2), 0).sum()
        nothing = np.zeros((1, m, r, r)), np.zeros((1, m, r, c))
        fixed = sum(cost_parts(p, x[None], *nothing).values()) + missing_usd * missing
        if fixed >= best:
            continue
        total = fixed
        for i in range(m):  # flows of the models do not interact once counts are fixed
            cost = [p.flow_cost_usd[i, o, d] * 3600.0 for o in range(r) for d in range(r)]
            cost += [short[i, k] for _ in range(r) for k in range(c)]
            upper = [None] * (r * r) + [p.demand[0, i, o, k] for o in range(r) for k in range(c)]
            eq, ub, ub_rhs = np.zeros((r, len(cost))), [], []
            for o in range(r):
                eq[o, o * r : (o + 1) * r] = 1.0
                eq[o, r * r + o * c : r * r + (o + 1) * c] = 1.0
                local = np.zeros(len(cost))
                local[o * r : (o + 1) * r] = p.local_share
                local[o * r + o] -= 1.0
                ub.append(local)
                ub_rhs.append(0.0)
            for d in range(r):
                row = np.zeros(len(cost))
                row[d : r * r : r] = 1.0
                ub.append(row)
                ub_rhs.append(p.rho * float(x[i, d] @ p.theta[i]))
            found = linprog(
                cost,
                A_ub=np.array(ub),
                b_ub=ub_rhs,
                A_eq=eq,
                b_eq=p.demand[0, i].sum(axis=1),
                bounds=[(0, u) for u in upper],
            )
            assert found.status == 0
            total += found.fun
        best = min(best, total)
    return best


@pytest.mark.parametrize("seed", range(25))
def test_enumeration_confirms_the_optimum(seed: int) -> None:
    p = random_problem(np.random.default_rng(seed))
    plan = solve(p, EXACT)
    best = enumerate_best(p)
    assert plan.objective_usd == pytest.approx(best, rel=1e-6, abs=1e-5)
    assert (plan.instances.sum(axis=1) <= p.inventory).all()
    assert (plan.flow.sum(axis=2) <= plan.capacity() + 1e-5).all()
    by_model = solve(p, dataclasses.replace(EXACT, by_model=True))
    assert by_model.objective_usd == pytest.approx(best, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_both_solvers_agree(solver: str) -> None:
    p = instance(3, 3, 2, seed=4)
    plan = solve(p, SolverOptions(solver=solver, gap=1e-6, time_limit_s=30))
    assert plan.solver == solver
    assert plan.objective_usd == pytest.approx(solve(p, EXACT).objective_usd, rel=1e-5)


def test_explain_names_what_binds() -> None:
    text = explain(solve(problem(low=np.array([[3, 1]])), EXACT))
    assert "minimum count in a, b" in text
    assert "All demand is served." in text
    assert "optimal" in text
    assert "Cost: vms $40.00" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"demand": np.zeros((1, 1, 2, 3))}, "demand: expected shape"),
        ({"theta": np.array([[-1.0]])}, "theta: expected finite values"),
        ({"theta": np.array([[np.nan]])}, "theta: expected finite values"),
        ({"rho": 0.0}, "rho must be positive"),
        ({"local_share": 1.1}, "local_share"),
        ({"low": np.array([[6, 0]])}, "low must not exceed high"),
    ],
)
def test_bad_problems_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        problem(**change)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_free_vms_serve_everything(solver: str) -> None:
    """A price of 0 makes neither demand nor its transfer worthless."""
    free = problem(price_usd_per_hour=np.zeros(1), flow_cost_usd=np.full((1, 2, 2), 1e-3))
    plan = solve(free, dataclasses.replace(EXACT, solver=solver))
    assert not plan.short
    assert plan.capacity().sum() >= 240.0
    none = dataclasses.replace(free, start_cost_usd=np.zeros((1, 2, 1)))
    assert not solve(none, dataclasses.replace(EXACT, solver=solver)).short


def test_a_plan_costs_the_same_whole_and_model_by_model() -> None:
    """Also where a minimum cannot be held, whose price is that of the whole program."""
    two = problem(
        models=("large", "small"),
        demand=np.array([[[[50.0, 0.0], [40.0, 0.0]], [[500.0, 0.0], [400.0, 0.0]]]]),
        theta=np.array([[100.0], [2000.0]]),
        current=np.zeros((2, 2, 1), dtype=np.int64),
        low=np.full((2, 2), 2),
        high=np.full((2, 2), 5),
        start_cost_usd=np.ones((2, 2, 1)),
        flow_cost_usd=np.zeros((2, 2, 2)),
        value_usd=np.array([[2.0, 1.0], [40.0, 20.0]]),
        ceiling=np.array([[[[1], [5]], [[1], [5]]]]),
    )
    whole = solve(two, EXACT)
    parts = solve(two, dataclasses.replace(EXACT, by_model=True))
    assert parts.instances.tolist() == whole.instances.tolist()
    assert parts.objective_usd == pytest.approx(whole.objective_usd)
    missing = two.missing_minimum_usd()
    assert whole.objective_usd == pytest.approx(2 * missing + sum(whole.cost_usd().values()))
