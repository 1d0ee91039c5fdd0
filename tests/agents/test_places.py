"""Places and starts in the program and in counts, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_agents.endpoints import Endpoints
from sageserve_agents.planner import planning
from sageserve_agents.planner import requirements as need
from sageserve_agents.planner.solver import SolverOptions, solve
from sageserve_agents.rule import wake
from sageserve_env.scenario import RegionConfig, Scenario
from tests.agents.problems import problem
from tests.agents.toy import THETA, ToyCluster, constant, history_from, make_view, scenario_of

EXACT = SolverOptions(gap=0.0)
# 100 tokens a second come from each region and an instance serves 100: $10 at a, $20 at b.
PRICES = {
    "price_usd_per_hour": np.array([[10.0], [20.0]]),
    "demand": np.array([[[[100.0, 0.0], [100.0, 0.0]]]]),
    "start_cost_usd": np.zeros((1, 2, 1)),
}


def test_the_cheaper_region_serves_both_where_moving_costs_less() -> None:
    # Moving 100 tokens a second for an hour costs 360,000 x 1e-6 = $0.36, an instance saves $10.
    plan = solve(problem(**PRICES), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [2, 0]
    assert plan.cost_usd()["vms"] == pytest.approx(20.0)
    assert plan.flow[0, 0, 1].tolist() == [100.0, 0.0]
    # At 1e-4 it costs $36: everything stays.
    far = problem(**PRICES, flow_cost_usd=np.array([[[0.0, 1e-4], [1e-4, 0.0]]]))
    assert solve(far, EXACT).instances[0, 0, :, 0].tolist() == [1, 1]


def test_residents_are_served_at_home_even_if_it_is_dearer() -> None:
    # 40 of b's 100 must stay: an instance there, which then has room for all of b. The other way
    # round costs one at a that serves its own.
    plan = solve(problem(**PRICES, local_share=np.array([0.0, 0.4])), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [1, 1]
    assert plan.flow[0, 0, 1, 1] >= 40.0
    # With 250 from b the rest goes to the cheaper region: 350 = 300 at a and 50..100 at b.
    more = {**PRICES, "demand": np.array([[[[100.0, 0.0], [250.0, 0.0]]]])}
    plan = solve(problem(**more, local_share=np.array([0.0, 0.4])), EXACT)
    assert plan.instances[0, 0, :, 0].tolist() == [3, 1]
    assert plan.flow[0, 0, 1].tolist() == pytest.approx([150.0, 100.0])


def places(**changes: object) -> Scenario:
    """Return `tiny` with a dear second region in which 40 % must be served."""
    scenario = scenario_of("trap-base")
    first, second = scenario.regions
    regions = (
        first,
        RegionConfig(second.name, second.vms, price_factor=2.0, resident=0.4),
    )
    return scenario.replace(regions=regions, min_instances=0, **changes)


def test_the_planner_asks_with_prices_and_residents_of_the_scenario() -> None:
    scenario = places(lifecycle={"boot_s": 200.0, "load_gb_per_s": 1.0, "jitter": 0.0})
    agent = make_agent("ilp")
    assert isinstance(agent, planning.PlanningAgent)
    agent.reset(scenario, 0, history_from(scenario, constant(scenario, THETA), 1))
    view = make_view(scenario)
    asked = agent.problem(view, np.zeros((1, 1, 2, 3)), np.array([3600.0]))
    base = scenario.gpu_specs[0].price_usd_per_hour
    assert asked.price_usd_per_hour.tolist() == [[base], [2.0 * base]]
    assert asked.home_share.tolist() == [0.0, 0.4]
    start_s = 200.0 + scenario.model_specs[0].weights_bytes / 1e9
    assert agent.lead_s == pytest.approx(start_s)
    cost = need.start_cost_usd(agent.endpoints, view)
    assert cost[0, :, 0] == pytest.approx(np.array([base, 2.0 * base]) * start_s / 3600.0)


@pytest.mark.parametrize("boot_s", [120.0, 900.0])
def test_what_takes_longer_to_start_is_ordered_earlier(boot_s: float) -> None:
    """Demand doubles after an hour; starts take ``boot_s`` (weights load at once)."""
    lifecycle = {"boot_s": boot_s, "load_gb_per_s": 1e9, "jitter": 0.0, "spot_same_model_s": boot_s}
    scenario = scenario_of("trap-base", initial_instances=2, lifecycle=lifecycle, horizon_s=7200.0)

    def rate(time_s: float) -> np.ndarray:
        return constant(scenario, (3.5 if time_s % 86_400.0 >= 3600.0 else 0.5) * THETA)(time_s)

    agent = make_agent("oracle:beta=0;rho=1;niw_buffer=0")
    days = history_from(scenario, rate, 1, bin_s=60.0)
    future = history_from(scenario, rate, 2, bin_s=60.0)
    agent.reset(scenario, 0, _shifted(future, len(days)))
    targets = ToyCluster(scenario, rate).run(agent, 61).sum(axis=1)
    ordered = int(np.argmax(targets > targets[0]))
    assert 60 - boot_s / 60 - 10 <= ordered <= 60 - boot_s / 60


def _shifted(series: object, bins: int) -> object:
    """Return a series whose last ``bins`` lie after time 0."""
    import dataclasses

    return dataclasses.replace(series, start_s=series.start_s + bins * series.bin_s)  # type: ignore


def test_an_empty_region_wakes_for_residents_only() -> None:
    scenario = places(initial_instances=0)
    endpoints = Endpoints.of(scenario)
    rate = np.ones((3, 1, 2, 3))
    view = make_view(scenario, request_rate=rate)
    assert wake(view, endpoints, np.array([2, 0])).tolist() == [2, 1]
    assert wake(view, endpoints, np.array([0, 2])).tolist() == [0, 2]
    assert wake(make_view(scenario), endpoints, np.array([2, 0])).tolist() == [2, 0]


def test_capacity_is_filled_with_the_vm_types_that_are_free() -> None:
    scenario = scenario_of("hetero-day", initial_instances=0, min_instances=0)
    endpoints = Endpoints.of(scenario)
    price = endpoints.price[0]
    cheap, dear = int(np.argmin(price)), int(np.argmax(price))
    theta = np.where(scenario.compatible, 1000.0, 1.0)
    theta[:, dear] = np.where(scenario.compatible[:, dear], 500.0, 1.0)
    both = int(np.flatnonzero(scenario.compatible[:, [cheap, dear]].all(axis=1))[0])
    idle = np.zeros_like(scenario.inventory)
    idle[:, cheap], idle[:, dear] = 2, 9
    view = make_view(scenario, theta=theta, idle_vms=idle)
    wanted = np.zeros(len(endpoints.model), dtype=np.int64)
    e = int(np.flatnonzero(endpoints.model == both)[0])
    wanted[e] = 3  # 3,000 tokens a second: two of the cheap type and two of half its speed
    counts = endpoints.fill(view, wanted)[e]
    assert (counts[cheap], counts[dear]) == (2, 2)
    assert counts.sum() == 4
