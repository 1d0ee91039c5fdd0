"""Solvers that fail, time out or are missing; large plans; warm starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pulp
import pytest

from sageserve_agents.planner import backend, solver
from sageserve_agents.planner.backend import PlannerError, SolverError, SolverOptions
from sageserve_agents.planner.bench import instance, small_instance
from sageserve_agents.planner.explain import explain
from sageserve_agents.planner.formulation import build
from sageserve_agents.planner.rounding import Relaxation, relax_and_round
from sageserve_agents.planner.solver import solve
from tests.agents.problems import problem


def test_a_missing_solver_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    real = backend.make_solver

    def broken(name: str, options: SolverOptions) -> Any:
        if name == "highs":
            raise ImportError("no highspy")
        return real(name, options)

    monkeypatch.setattr(backend, "make_solver", broken)
    plan = solve(problem())
    assert plan.solver == "cbc"
    assert plan.instances.sum() == 3


def test_no_solver_at_all_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, options: SolverOptions) -> Any:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(backend, "make_solver", broken)
    with pytest.raises(PlannerError, match=r"highs: ImportError: no highs; cbc: ImportError"):
        solve(problem())


def test_a_time_out_without_a_plan_is_an_error() -> None:
    with pytest.raises(PlannerError, match="within 0 s"):
        solve(instance(12, 8, 3), SolverOptions(time_limit_s=0.0))


def test_a_stop_before_the_gap_is_not_called_optimal() -> None:
    """PuLP says Optimal after a time-out; status and gap say what is known."""
    p = instance(6, 6, 2, seed=3)
    plan = solve(p, SolverOptions(gap=0.0, node_limit=1, time_limit_s=20))
    assert pulp.LpStatusOptimal == 1
    assert not plan.optimal
    assert plan.gap > 0
    assert plan.bound_usd < plan.objective_usd
    assert "not proven optimal" in explain(plan)
    assert (plan.instances.sum(axis=1) <= p.inventory).all()


def test_results_that_make_no_sense_are_refused() -> None:
    p = problem()
    model = build(p)
    backend.run(p, model, "highs", SolverOptions())
    for x in model.x.values():
        x.varValue = 0.5
    with pytest.raises(PlannerError, match="not whole"):
        backend.read(p, model, "highs", SolverOptions(), (0.0, 0.0))
    for x in model.x.values():
        x.varValue = 0.0
    with pytest.raises(PlannerError, match="exceeds the capacity"):
        backend.read(p, model, "highs", SolverOptions(), (0.0, 0.0))
    for x in model.x.values():
        x.varValue = None
    with pytest.raises(PlannerError, match="no value"):
        backend.read(p, model, "highs", SolverOptions(), (0.0, 0.0))
    assert issubclass(SolverError, PlannerError)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_feasible_and_near_the_optimum(seed: int) -> None:
    p = instance(4, 5, 2, seed=seed, neighbours=4)
    best = solve(p, SolverOptions(gap=0.01, time_limit_s=20))
    rounded = relax_and_round(p, build(p), SolverOptions(gap=0.0))
    relaxed_usd = Relaxation(build(p), SolverOptions()).solve(interior=False)
    assert rounded.bound_usd == pytest.approx(relaxed_usd, rel=1e-6)
    assert rounded.bound_usd <= best.objective_usd * (1 + 1e-9)
    assert rounded.objective_usd >= best.bound_usd * (1 - 1e-6)
    assert rounded.objective_usd <= 1.1 * best.objective_usd
    assert not rounded.short
    assert (rounded.instances.sum(axis=1) <= p.inventory).all()
    assert (rounded.instances[0].sum(axis=2) >= p.low).all()
    assert (rounded.flow.sum(axis=2) <= rounded.capacity() + 1e-3).all()
    assert rounded.flow.sum() == pytest.approx(p.demand.sum())
    assert sum(rounded.cost_usd().values()) == pytest.approx(rounded.objective_usd, rel=1e-6)


def test_large_plans_take_the_rounding_path(monkeypatch: pytest.MonkeyPatch) -> None:
    p = instance(3, 4, 2, neighbours=3)
    monkeypatch.setattr(solver, "LARGE", 10)
    plan = solve(p, SolverOptions(gap=0.2))
    assert plan.optimal
    assert plan.gap <= 0.2
    exact = solve(p, SolverOptions(gap=5e-3, time_limit_s=20))  # gap not met: branch and bound
    assert exact.objective_usd <= plan.objective_usd * (1 + 1e-6)


def test_scarce_vms_survive_rounding() -> None:
    p = instance(6, 8, 2, neighbours=4)
    scarce = dataclasses.replace(p, inventory=np.maximum(p.inventory // 3, 6))
    rounded = relax_and_round(scarce, build(scarce), SolverOptions(gap=0.0))
    assert rounded.short
    assert (rounded.instances.sum(axis=1) <= scarce.inventory).all()


def test_a_warm_start_changes_nothing_but_time() -> None:
    p = small_instance()
    cold = solve(p, SolverOptions(gap=1e-6))
    warm = solve(p, SolverOptions(gap=1e-6), cold.instances)
    assert warm.objective_usd == pytest.approx(cold.objective_usd, rel=1e-6)


def test_the_same_problem_gives_the_same_plan() -> None:
    p = instance(5, 4, 2, seed=9)
    first, second = solve(p), solve(p)
    assert (first.instances == second.instances).all()
    assert (first.flow == second.flow).all()
