"""The agents that plan: when, for what, and what happens when planning fails."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_agents.endpoints import Endpoints
from sageserve_agents.planner import forecasting, planning
from sageserve_agents.planner import requirements as need
from sageserve_agents.planner.backend import PlannerError
from sageserve_agents.planner.refine import Refinement, refine
from sageserve_agents.planner.schedule import HourlySchedule
from sageserve_agents.planner.staffing import apportion
from sageserve_agents.planner.valleys import filled, level_of
from sageserve_agents.stack import batch_ceiling
from sageserve_env.view import Floats
from tests.agents.toy import (
    THETA,
    ToyCluster,
    constant,
    daily,
    empty_history,
    history_from,
    make_view,
    scenario_of,
)

PLANNERS = ["ilp", "mpc", "staffing", "lt-i", "lt-u", "lt-ua"]


def test_schedule_by_hand() -> None:
    schedule = HourlySchedule(3600.0, 660.0)
    assert schedule.due(0.0) == (0.0, 3600.0)
    assert schedule.due(60.0) is None
    assert schedule.due(60.0, again=True) == (60.0, 3600.0)
    assert schedule.due(2880.0) is None
    assert schedule.due(2940.0) == (3600.0, 7200.0)
    assert schedule.switch_s == 3600.0
    assert not schedule.starts_now(3540.0)
    assert schedule.starts_now(3600.0)
    assert schedule.due(3600.0) is None
    assert schedule.due(6540.0) == (7200.0, 10_800.0)


def test_what_a_plan_adds_starts_before_the_hour_and_what_it_removes_leaves_with_it() -> None:
    scenario = scenario_of("trap-base", initial_instances=1, max_instances=6, horizon_s=4 * 3600.0)

    def rate(time_s: float) -> Floats:
        hour = int(time_s % 86_400.0 // 3600.0)
        return constant(scenario, (3.5 if hour == 1 else 0.5) * THETA)(time_s)

    history = history_from(scenario, rate, 2)
    agent = make_agent("ilp:refine=false;staffing=margin;rho=1;niw_buffer=0")
    agent.reset(scenario, 0, history)
    # The forecast smooths the step of the profile over 20 minutes.
    agent.make_forecaster = lambda view: forecasting.make_forecaster(  # type: ignore[attr-defined]
        "seasonal-naive", smooth_s=0.0, fade_s=1.0
    )
    targets = ToyCluster(scenario, rate).run(agent, 200).sum(axis=1)
    assert set(targets[:49]) == {2}  # the minimum holds two instances for one of load
    assert set(targets[49:120]) == {7}  # from 660 s before the second hour to its end
    assert set(targets[120:169]) == {2}


def test_without_history_the_seen_is_planned_on() -> None:
    scenario = scenario_of("trap-base")
    agent = make_agent("ilp")
    agent.reset(scenario, 0, empty_history(scenario))
    cluster = ToyCluster(scenario, constant(scenario, 2.0 * THETA))
    targets = cluster.run(agent, 40)
    assert (targets[:5] == 2).all()  # nothing is known: the initial fleet stands
    assert targets[-1].sum() >= 6  # 4 instances of load and 1.5 sqrt(4)


def test_the_last_bit_of_a_forecast_does_not_reach_the_program() -> None:
    scenario = scenario_of("trap-base")
    rate = daily(scenario, 3.0 * THETA)
    view = ToyCluster(scenario, rate).view()
    rates = []
    for last_bit in (False, True):
        agent = make_agent("mpc")
        assert isinstance(agent, planning.PlanningAgent)
        agent.reset(scenario, 0, history_from(scenario, rate, 2))
        agent.forecaster = agent.make_forecaster(view)
        said = agent.forecaster.predict

        def predict(bins: int, quantile: float | None = None, said: Any = said) -> Floats:
            tokens: Floats = said(bins, quantile)
            return np.nextafter(tokens, np.inf)

        if last_bit:
            agent.forecaster.predict = predict  # type: ignore[method-assign]
        rates.append(agent.forecast(view, 3600.0))
    assert rates[0].max() > 0
    assert rates[0].tolist() == rates[1].tolist()


@pytest.mark.parametrize("name", PLANNERS)
def test_a_day_on_the_toy_cluster(name: str) -> None:
    scenario = scenario_of("o365-day")
    rate = daily(scenario, 4.0 * THETA)
    agent: Any = make_agent(name)
    agent.reset(scenario, 0, history_from(scenario, rate, 8))
    cluster = ToyCluster(scenario, rate)
    # Every quarter of the first eight hours and the evening peak is enough to see it follow.
    targets = cluster.run(agent, 420).sum(axis=1)
    assert agent.planner_failures == 0
    assert targets[-1] < targets[0] or name in {"lt-u", "lt-ua"}
    assert cluster.backlog.max() == 0.0


@pytest.mark.parametrize("name", ["ilp", "mpc", "lt-i"])
def test_failures_are_counted_and_the_last_plan_stands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = scenario_of("trap-base")
    rate = constant(scenario, 1.5 * THETA)
    agent: Any = make_agent(name)
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    cluster = ToyCluster(scenario, rate)
    planned = cluster.run(agent, 5)[-1]
    assert agent.planner_failures == 0

    def fails(*_: object) -> None:
        raise PlannerError("highs: time limit")

    monkeypatch.setattr(planning, "solve", fails)
    targets = cluster.run(agent, 120)
    assert agent.planner_failures >= 1
    assert agent.failure == "highs: time limit"
    assert (targets[-1] >= planned).all()
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    assert agent.planner_failures == 0
    first = ToyCluster(scenario, rate).run(agent, 3)
    assert (first >= 2).all()  # no plan at all: the initial fleet stands
    assert agent.explain() == "no plan was made yet"


def test_more_demand_than_inventory_is_planned_and_explained() -> None:
    scenario = scenario_of("trap-base")
    rate = constant(scenario, 30.0 * THETA)
    agent: Any = make_agent("ilp")
    agent.reset(scenario, 0, history_from(scenario, rate, 1))
    targets = ToyCluster(scenario, rate).run(agent, 2)
    assert targets[-1].tolist() == [6, 6]
    assert agent.planner_failures == 0
    assert "SHORT" in agent.explain()


def test_niw_buffer_and_deadlines_by_hand() -> None:
    scenario = scenario_of("trap-base", horizon_s=86_400.0)
    endpoints = Endpoints.of(scenario)
    rate = constant(scenario, 100.0, tier=2)
    history = history_from(scenario, rate, 1)
    agent: Any = make_agent("ilp")
    agent.reset(scenario, 0, history)
    view = make_view(
        scenario,
        horizon_s=86_400.0,
        niw_backlog_tokens=np.array([3600.0 * 50.0]),
        niw_deadline_s=np.array([10_800.0]),
    )
    demand = need.niw_demand(endpoints, view, agent.tracker, 0.1)
    # 10 % of 100 in each region; 180,000 tokens in one hour (3 h less the reserve of 2 h): 50/s.
    assert demand[0, :, 2] == pytest.approx([10.0 + 25.0, 10.0 + 25.0])
    assert not demand[..., :2].any()


def test_the_end_of_the_episode_is_the_last_deadline_of_batch_work() -> None:
    scenario = scenario_of("trap-base", horizon_s=86_400.0)
    endpoints = Endpoints.of(scenario)
    agent: Any = make_agent("ilp")
    agent.reset(scenario, 0, history_from(scenario, constant(scenario, 100.0, tier=2), 1))

    def seen(time_s: float) -> Any:
        return make_view(
            scenario,
            time_s=time_s,
            horizon_s=86_400.0,
            niw_backlog_tokens=np.array([3600.0 * 50.0]),
            niw_deadline_s=np.array([86_400.0]),
        )

    # Three hours before the end one hour is left before the reserve, as before a deadline.
    demand = need.niw_demand(endpoints, seen(75_600.0), agent.tracker, 0.1)
    assert demand[0, :, 2] == pytest.approx([10.0 + 25.0, 10.0 + 25.0])
    # The ceiling is calm until two hours before the end, and then rises evenly to 1.5.
    ceilings = [
        batch_ceiling(endpoints, seen(t), 0.7)[0] for t in (0.0, 79_200.0, 82_800.0, 86_400.0)
    ]
    assert ceilings == pytest.approx([0.7, 0.7, 1.1, 1.5])


def test_batch_work_fills_the_valleys_up_to_a_level() -> None:
    load = np.array([5.0, 1.0, 3.0, 9.0])
    assert level_of(load, 0.0) == 1.0
    assert level_of(load, 2.0) == 3.0  # 2 on the second
    assert level_of(load, 4.0) == 4.0  # 3 and 1
    assert level_of(load, 14.0) == pytest.approx(23.0 / 3.0)
    assert level_of(load, 22.0) == 10.0  # all of them
    levels, planned = filled(load[:, None], np.array([400.0]), np.array([350.0]), 100.0)
    assert levels == [4.0]  # the fourth bin is past the deadline
    assert planned[:, 0].tolist() == [0.0, 3.0, 1.0, 0.0]
    assert not filled(load[:, None], np.zeros(1), np.array([350.0]), 100.0)[1].any()


def test_a_planner_waits_for_valleys() -> None:
    scenario = scenario_of("trap-base", horizon_s=86_400.0)
    agent: Any = make_agent("ilp", valleys=True)
    agent.reset(scenario, 0, history_from(scenario, constant(scenario, 100.0), 1))
    view = make_view(
        scenario,
        horizon_s=86_400.0,
        niw_backlog_tokens=np.array([3600.0 * 50.0]),
        niw_deadline_s=np.array([10_800.0]),
    )
    demand = agent.batch_demand(view, [(0.0, 3600.0), (14_400.0, 18_000.0)])
    assert demand[0, 0, :, 2].sum() == pytest.approx(50.0)  # the load is flat: as if spread evenly
    assert demand[1, 0, :, 2].sum() == 0.0  # past the deadline
    quiet, busy = view, dataclasses.replace(view, prompt_rate=view.prompt_rate + 1e6)
    assert agent.niw_release(quiet)[0] == pytest.approx(0.8)
    assert agent.niw_release(busy)[0] == pytest.approx(0.4)


def test_square_root_staffing_by_hand() -> None:
    demand = np.array([[[300.0, 100.0], [0.0, 0.0]]])  # loads 4 and 0 at theta 100
    pooled = need.staffed(demand, np.array([100.0]), 1.5, pooled=True)
    assert pooled.sum() == pytest.approx(400.0 + 1.5 * 2.0 * 100.0)
    two = np.array([[[200.0], [200.0]]])
    apart = need.staffed(two, np.array([100.0]), 1.0, pooled=False)
    assert apart.sum() == pytest.approx(400.0 + 2 * np.sqrt(2) * 100.0)


def test_apportion_moves_as_little_as_possible() -> None:
    low, high = np.array([1, 1, 1]), np.array([9, 9, 9])
    share = np.array([2.0, 1.0, 1.0])
    assert apportion(8, share, low, high, np.array([4, 2, 2])).tolist() == [4, 2, 2]
    assert apportion(9, share, low, high, np.array([4, 2, 2])).sum() == 9
    assert apportion(4, share, low, high, np.array([4, 2, 2])).tolist() == [2, 1, 1]
    assert apportion(99, share, low, high, np.array([4, 2, 2])).tolist() == [9, 9, 9]
    assert apportion(0, share, low, high, np.array([4, 2, 2])).tolist() == [1, 1, 1]


RULES = Refinement(beyond=1.0, below=0.5, last_part_s=1200.0, hold_above=0.7, beta=1.0)


def observed(load: float, **changes: Any) -> Any:
    """A view of the tiny cluster with a load in instances over the last 5 and 15 minutes."""
    scenario = scenario_of("trap-base")
    view = make_view(scenario, time_s=3000.0)
    rate = view.prompt_rate.copy()
    rate[1:, 0, 0, 0] = load * THETA
    return scenario, dataclasses.replace(view, prompt_rate=rate, **changes)


def test_refine_adds_what_the_observed_load_needs() -> None:
    scenario, view = observed(4.0)
    endpoints = Endpoints.of(scenario)
    totals = refine(view, endpoints, np.array([2, 2]), None, 0.0, np.full(1, THETA), RULES)
    assert totals.sum() == 6  # 4 + sqrt(4)
    spot = view.spot_vms.copy()
    spot[0, 1, 0] = 1
    quick = dataclasses.replace(view, spot_vms=spot, target=np.array([[2], [3]]))
    totals = refine(quick, endpoints, np.array([2, 3]), None, 0.0, np.full(1, THETA), RULES)
    assert totals.tolist() == [2, 4]  # where an instance is up in a minute
    enough = refine(view, endpoints, np.array([3, 3]), None, 0.0, np.full(1, THETA), RULES)
    assert enough.tolist() == [3, 3]


def test_refine_holds_busy_endpoints_and_shrinks_calm_ones() -> None:
    scenario, view = observed(1.0, utilisation=np.array([0.8, 0.1]))
    endpoints = Endpoints.of(scenario)
    totals = refine(view, endpoints, np.array([1, 1]), None, 0.0, np.full(1, THETA), RULES)
    assert totals.tolist() == [2, 1]
    calm = dataclasses.replace(view, utilisation=np.zeros(2))
    expected = np.array([4.0 * THETA])
    late = refine(calm, endpoints, np.array([4, 4]), expected, 600.0, np.full(1, THETA), RULES)
    assert late.sum() == 2  # 1 + sqrt(1)
    early = refine(calm, endpoints, np.array([4, 4]), expected, 3000.0, np.full(1, THETA), RULES)
    assert early.tolist() == [4, 4]


def test_lt_u_waits_for_the_thresholds() -> None:
    scenario = scenario_of("trap-base")
    rate = constant(scenario, 1.5 * THETA)
    agent: Any = make_agent("lt-u:rho=0.5;niw_buffer=0")
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    view = make_view(scenario, utilisation=np.array([0.69, 0.71]))
    assert agent.act(view).instances[:, 0].tolist() == [2, 3]
    assert agent.planned[:, 0].tolist() == [3, 3]
    idle = dataclasses.replace(
        view,
        time_s=60.0,
        target=np.array([[5], [5]]),
        utilisation=np.array([0.29, 0.31]),
        demand_requests=np.zeros((1, 1, 2, 3)),
        demand_prompt_tokens=np.zeros((1, 1, 2, 3)),
        demand_output_tokens=np.zeros((1, 1, 2, 3)),
    )
    assert agent.act(idle).instances[:, 0].tolist() == [4, 5]


def test_lt_ua_leaves_the_plan_late_in_the_hour() -> None:
    scenario = scenario_of("trap-base")
    rate = constant(scenario, 1.0 * THETA)
    agent: Any = make_agent("lt-ua:rho=0.5;niw_buffer=0;beyond=3")
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    agent.act(make_view(scenario))
    bins = np.zeros((60, 1, 2, 3))
    surge = make_view(scenario).prompt_rate.copy()
    surge[2, 0, :, 0] = 5 * THETA
    view = make_view(
        scenario,
        time_s=2700.0,
        utilisation=np.array([0.9, 0.1]),
        prompt_rate=surge,
        demand_requests=bins,
        demand_prompt_tokens=bins,
        demand_output_tokens=bins,
    )
    assert agent.act(view).instances[:, 0].tolist() == [3, 2]
    early = dataclasses.replace(view, time_s=1200.0)
    assert agent.act(early).instances[:, 0].tolist() == [2, 2]


def test_the_oracle_scales_before_the_surge() -> None:
    scenario = scenario_of("trap-base", horizon_s=4 * 3600.0)
    calm, surge = constant(scenario, 0.5 * THETA), constant(scenario, 3.0 * THETA)

    def rate(time_s: float) -> Floats:
        return surge(time_s) if 3600.0 <= time_s < 5400.0 else calm(time_s)

    past = history_from(scenario, calm, 1)
    tokens = np.array([rate(300.0 * t) for t in range(48)]) * 300.0
    agent: Any = make_agent("oracle:staffing=margin;niw_buffer=0")
    agent.reset(scenario, 0, past.append(tokens / 1000.0, tokens, tokens))
    cluster = ToyCluster(scenario, rate)
    targets = cluster.run(agent, 120).sum(axis=1)
    assert agent.planner_failures == 0
    assert targets[:45].max() == 2
    assert targets[60] == 6
    assert targets[-1] == 2


def test_mpc_keeps_what_a_short_dip_would_have_to_start_again() -> None:
    scenario = scenario_of("trap-base", horizon_s=2 * 3600.0)
    busy, dip = constant(scenario, 2.0 * THETA), constant(scenario, 0.5 * THETA)

    def rate(time_s: float) -> Floats:
        return dip(time_s) if 3600.0 <= time_s < 3900.0 else busy(time_s)

    past = history_from(scenario, busy, 1)
    tokens = np.array([rate(300.0 * t) for t in range(24)]) * 300.0
    agent: Any = make_agent("oracle:staffing=margin;niw_buffer=0")
    agent.reset(scenario, 0, past.append(tokens / 1000.0, tokens, tokens))
    targets = ToyCluster(scenario, rate).run(agent, 80).sum(axis=1)
    assert set(targets) == {4}


def test_agents_with_perfect_forecasts_are_clairvoyant() -> None:
    assert make_agent("ilp:forecaster=perfect").clairvoyant
    assert not make_agent("ilp").clairvoyant
