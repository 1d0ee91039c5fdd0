"""The lower bound of a trace: small programs worked out by hand, and the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.experiments.bounds import BoundRow, read_bounds, write_bounds
from lab.experiments.fluid import (
    Bound,
    Slack,
    demand_of,
    fluid_bound,
    solve_bound,
)
from sageserve_bench.errors import UserError
from sageserve_bench.runs.workload import resolve
from sageserve_env.scenario import load_scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.workload import TraceSpec

HOUR = 3600.0
NOTHING = np.zeros((4, 1))


def bound(
    now: list[float],
    batch: list[float] | None = None,
    *,
    least: float = 0.0,
    deadline_s: float = 24 * HOUR,
    slack: Slack | None = None,
) -> Bound:
    """Four hours of one model; an instance serves 3,600 tokens an hour and costs $2."""
    tokens = 3600.0 * np.array(now)[:, None]
    held = 3600.0 * np.array(batch)[:, None] if batch else NOTHING[: len(now)]
    return solve_bound(
        tokens,
        held,
        theta=np.array([[1.0]]),
        price=np.array([2.0]),
        inventory=np.array([100.0]),
        least=least,
        period_s=HOUR,
        deadline_s=deadline_s,
        slack=slack,
    )


def test_interactive_work_is_served_as_it_comes() -> None:
    found = bound([1.0, 4.0, 0.0, 2.5])
    assert found.vm_hours == pytest.approx(7.5)
    assert found.cost_usd == pytest.approx(15.0)
    assert found.work_vm_hours == pytest.approx(7.5)


def test_the_minimum_is_held() -> None:
    found = bound([1.0, 4.0, 0.0, 2.5], least=2.0)
    assert found.vm_hours == pytest.approx(2 + 4 + 2 + 2.5)
    assert found.floor_vm_hours == pytest.approx(8.0)


def test_batch_work_fills_the_valleys_within_its_deadline() -> None:
    """Three units at hour 1 fit beside the minimum of 2 in the hours without work."""
    assert bound([2.0, 4.0, 0.0, 0.5], [0, 3, 0, 0], least=2.0).vm_hours == pytest.approx(10.0)
    # Due within the hour they need VMs of their own; what comes later cannot be done before.
    now = bound([2.0, 4.0, 0.0, 0.5], [0, 3, 0, 0], least=2.0, deadline_s=HOUR)
    assert now.vm_hours == pytest.approx(2 + (4 + 1) + 2 + 2)  # one at hour 1, two at hour 2
    late = bound([0.0, 0.0, 0.0, 2.0], [0, 0, 0, 3], least=2.0)
    assert late.vm_hours == pytest.approx(6 + 5)


def test_slack_moves_a_share_of_the_peak() -> None:
    """A tenth of 20 units may wait: the peak of 12 falls to 10 where the minimum has room."""
    strict = bound([4.0, 12.0, 0.0, 4.0], least=4.0)
    assert strict.vm_hours == pytest.approx(4 + 12 + 4 + 4)
    slack = Slack(late=0.1, late_per_model=0.1, unfinished=0.0)
    assert bound([4.0, 12.0, 0.0, 4.0], least=4.0, slack=slack).vm_hours == pytest.approx(22.0)
    tight = Slack(late=0.1, late_per_model=0.05, unfinished=0.0)
    assert bound([4.0, 12.0, 0.0, 4.0], least=4.0, slack=tight).vm_hours == pytest.approx(23.0)
    left = Slack(late=0.0, late_per_model=0.0, unfinished=0.5)
    assert bound([0.0, 0.0], [0.0, 8.0], slack=left).vm_hours == pytest.approx(4.0)


def test_the_cheapest_type_that_is_left() -> None:
    """Type 1 serves twice as much for three times the price: only where type 0 runs out."""
    found = solve_bound(
        3600.0 * np.array([[2.0], [6.0]]),
        NOTHING[:2],
        theta=np.array([[1.0, 2.0]]),
        price=np.array([1.0, 3.0]),
        inventory=np.array([4.0, 5.0]),
        least=0.0,
        period_s=HOUR,
        deadline_s=HOUR,
    )
    assert found.cost_usd == pytest.approx(2.0 + 4.0 + 3.0)
    assert found.vm_hours == pytest.approx(2.0 + 4.0 + 1.0)


def test_too_much_work_has_no_bound() -> None:
    with pytest.raises(UserError, match="no solution"):
        bound([101.0, 0.0])


def test_a_real_trace() -> None:
    """The demand is what the simulator sees, and shorter periods give no lower bound."""
    scenario = load_scenario("trap-base")
    workload = resolve(scenario, TraceSpec(), 1000)
    now, batch = demand_of(workload, 300.0)
    assert now.shape == batch.shape == (12, 1)
    simulator = Simulator(scenario, np.full((1, 1), 1000.0))
    simulator.reset(workload.trace)
    simulator.advance(scenario.horizon_s)
    seen = simulator.state.count["prompt_tokens"].sum()
    assert (now + batch).sum() == pytest.approx(seen)
    coarse, fine = (fluid_bound(workload, period_s=p) for p in (300.0, 60.0))
    loose = fluid_bound(workload, slack=Slack())
    floor = scenario.min_instances * len(scenario.regions) * 1.0
    assert coarse.floor_vm_hours == pytest.approx(floor)
    assert max(floor, coarse.work_vm_hours) <= coarse.vm_hours + 1e-6
    assert loose.vm_hours <= coarse.vm_hours + 1e-6 <= fine.vm_hours + 2e-6


def test_the_file(tmp_path: Path) -> None:
    rows = [BoundRow("o365-day", 2000, "strict", 880.25, 1.5, 700.0, 576.0)]
    write_bounds(tmp_path / "bounds.csv", rows)
    assert read_bounds(tmp_path / "bounds.csv") == rows
    (tmp_path / "bad.csv").write_text("scenario,seed\na,b\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_bounds(tmp_path / "bad.csv")
