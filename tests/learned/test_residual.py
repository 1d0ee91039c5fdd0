"""The rule under the residual agents, without a network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_env.env import SageServeEnv
from tests.agents.toy import THETA, ToyCluster, constant, history_from, scenario_of

LOAD = 12.0  # instances of each model, over three regions


def instances_after(*parts: tuple[int, float], feedback: float) -> int:
    """Return the instances of a model after minutes of steady traffic with attainments."""
    scenario = scenario_of(initial_instances=5)
    rate = constant(scenario, LOAD * THETA / 3)
    agent = make_agent(f"residual-es:checkpoint=rule;rho=1;feedback={feedback}")
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    cluster = ToyCluster(scenario, rate)
    for minutes, attainment in parts:
        for _ in range(minutes):
            view = cluster.view()
            seen = dataclasses.replace(view, slo_attainment=np.full(len(view.target), attainment))
            cluster.step(agent.act(seen))
    counts = set(cluster.target.reshape(len(scenario.models), -1).sum(axis=1).tolist())
    assert len(counts) == 1
    return int(counts.pop())


def test_misses_beyond_what_the_target_allows_add_headroom_for_as_long_as_they_last() -> None:
    plain = instances_after((400, 0.5), feedback=0.0)
    assert plain == 16  # 12 of load and sqrt(12), rounded up
    assert instances_after((400, 0.95), feedback=6.0) == plain  # just what is allowed
    assert instances_after((400, 1.0), feedback=6.0) < plain
    assert instances_after((400, 0.9), feedback=6.0) == 19  # sqrt(12) exp(0.6) = 6.3
    some = [instances_after((200, 0.95), (n, 0.8), feedback=6.0) for n in (1, 30, 400)]
    assert plain <= some[0] < some[1] < some[2]
    assert instances_after((200, 0.95), (30, 0.8), (600, 0.95), feedback=6.0) <= plain + 1


def test_feedback_is_limited() -> None:
    assert instances_after((400, 0.0), feedback=100.0) == 28  # sqrt(12) exp(1.5) = 15.5


def test_instances_of_a_lost_region_are_started_elsewhere() -> None:
    scenario = scenario_of(initial_instances=5)
    rate = constant(scenario, LOAD * THETA / 3)
    agent = make_agent("residual-es:checkpoint=rule;rho=1;feedback=0")
    agent.reset(scenario, 0, history_from(scenario, rate, 2))
    cluster = ToyCluster(scenario, rate)
    cluster.run(agent, 60)
    view = cluster.view()
    lost = np.array([e.region == scenario.region_names[0] for e in scenario.endpoints])
    up, idle = view.active.copy(), view.idle_vms.copy()
    up[lost], idle[0] = 0, 0
    unmet = np.where(lost[:, None], view.target, 0)
    view = dataclasses.replace(view, active=up, unmet=unmet, idle_vms=idle)
    wanted = agent.act(view).instances.sum(axis=1)
    assert (wanted[lost] == scenario.min_instances).all()
    assert wanted[~lost].sum() > view.target[~lost].sum()
    totals = wanted.reshape(len(scenario.models), -1).sum(axis=1)
    assert (totals == 16).all()


def test_a_cluster_without_interactive_traffic_has_no_feedback() -> None:
    tiers = [dataclasses.asdict(t) for t in scenario_of("trap-base").tiers if not t.interactive]
    env = SageServeEnv(scenario=scenario_of("trap-base", tiers=tiers))
    env.reset(seed=0)
    agent = make_agent("residual-es")
    agent.reset(env.scenario, 0, env.history())
    action = agent.act(env.view())
    assert (action.instances.sum(axis=1) >= env.scenario.min_instances).all()


def test_feedback_is_checked() -> None:
    with pytest.raises(ValueError, match=r"feedback must be in \[0, 100\]"):
        make_agent("residual-es:feedback=-1")
