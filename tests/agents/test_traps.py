"""The traps of docs/sources.md, "Traps", for every rule agent on the fluid toy cluster."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sageserve_agents import agent_class, make_agent
from sageserve_agents.endpoints import Endpoints
from sageserve_agents.heuristics.thresholds import ThresholdRule
from sageserve_agents.registry import BUILT_IN
from tests.agents.shipped import make_or_skip
from tests.agents.toy import (
    THETA,
    ToyCluster,
    constant,
    empty_history,
    history_from,
    make_view,
    scenario_of,
)

RULES = [n for n in BUILT_IN if n not in {"static", "oracle"}]
REACTIVE = ["reactive", "reactive-lw", "siloed", "hpa", "kpa", "ray-serve", "chiron", "pooled"]


def run(name: str, tokens_per_s: float, minutes: int, **changes: object) -> np.ndarray:
    scenario = scenario_of("trap-base", pooling=agent_class(name).pooling, **changes)
    agent = make_or_skip(name)
    rate = constant(scenario, tokens_per_s)
    agent.reset(scenario, 0, empty_history(scenario))
    return ToyCluster(scenario, rate).run(agent, minutes)


@pytest.mark.parametrize("name", RULES)
def test_an_idle_cluster_shrinks_to_the_minimum(name: str) -> None:
    targets = run(name, 0.0, 60, initial_instances=3)
    assert (targets[-1] == 1).all()


@pytest.mark.parametrize("name", RULES)
def test_zero_instances_when_allowed_and_wake_from_zero(name: str) -> None:
    scenario = scenario_of("trap-base", pooling=agent_class(name).pooling, min_instances=0)
    agent = make_or_skip(name)
    agent.reset(scenario, 0, empty_history(scenario))
    quiet, busy = constant(scenario, 0.0), constant(scenario, 2_000.0)
    cluster = ToyCluster(scenario, lambda t: quiet(t) if t < 5400 else busy(t))
    targets = cluster.run(agent, 90)
    assert targets[-1].sum() == 0
    targets = cluster.run(agent, 30)
    assert targets[-1].sum() >= 1
    assert cluster.active.sum() >= 1


@pytest.mark.parametrize("name", REACTIVE)
def test_pending_instances_are_counted(name: str) -> None:
    """A step in load with slow starts must not cascade 2-4-8-16."""
    pools = agent_class(name).pooling
    scenario = scenario_of("trap-base", pooling=pools, max_instances=60).replace(
        regions=[{"name": "westus", "vms": {"a100-80gb-x8": 60}}]
    )
    agent = make_agent(name)
    agent.reset(scenario, 0, empty_history(scenario))
    pools_with_work = 1 if pools == "unified" else len(scenario.pools)
    load = 1.95 * pools_with_work  # 1.95 instances per pool, where 2 stand: nothing queues
    cluster = ToyCluster(scenario, constant(scenario, load * THETA), delay_s=600.0)
    targets = cluster.run(agent, 10)
    assert targets.max() <= 5  # 1.95 over the lowest target, 0.5; chiron: two pools over 0.6


@pytest.mark.parametrize("name", ["reactive", "reactive-lw", "siloed"])
def test_one_scale_out_at_a_time(name: str) -> None:
    scenario = scenario_of("trap-base", pooling=agent_class(name).pooling)
    agent = make_agent(name)
    agent.reset(scenario, 0, empty_history(scenario))
    view = make_view(scenario)
    busy = dataclasses.replace(view, utilisation=np.full(len(scenario.endpoints), 0.9))
    first = agent.act(busy).instances
    assert (first == busy.target + 1).all()
    starting = dataclasses.replace(busy, target=first, pending=first - busy.active, time_s=60.0)
    assert (agent.act(starting).instances == first).all()
    short = dataclasses.replace(busy, target=first, unmet=first - busy.active, time_s=120.0)
    assert (agent.act(short).instances == first).all()
    up = dataclasses.replace(busy, target=first, active=first, time_s=180.0)
    assert (agent.act(up).instances == first + 1).all()


@pytest.mark.parametrize("name", ["reactive", "reactive-lw"])
@pytest.mark.parametrize("load", [0.65, 0.9, 1.2, 1.35, 1.9])
def test_no_oscillation_after_consolidation(name: str, load: float) -> None:
    targets = run(name, load * THETA, 180)
    settled = targets[90:]
    changes = np.abs(np.diff(settled, axis=0)).sum(axis=0)
    assert (changes <= 1).all(), settled[:, 0]


def test_threshold_rule_by_hand() -> None:
    scenario = scenario_of("trap-base")
    view = make_view(scenario)
    rule, known = ThresholdRule(2, 0.7, 0.3, 15.0), np.ones(2, dtype=bool)
    unknown = dataclasses.replace(view, utilisation=np.array([0.9, 0.0]))
    assert rule.step(unknown, ~known).tolist() == [0, 0]
    busy = dataclasses.replace(view, utilisation=np.array([0.71, 0.7]))
    assert rule.step(busy, known).tolist() == [1, 0]
    idle = dataclasses.replace(view, time_s=60.0, utilisation=np.array([0.29, 0.3]))
    assert rule.step(idle, known).tolist() == [-1, 0]
    rule = ThresholdRule(2, 0.7, 0.6, 900.0)
    # 2 x 0.4 on one instance would be 0.8: no scale-in; 2 x 0.3 is 0.6: scale-in.
    near = dataclasses.replace(view, time_s=60.0, utilisation=np.array([0.4, 0.3]))
    assert rule.step(near, known).tolist() == [0, -1]
    again = dataclasses.replace(view, time_s=300.0, utilisation=np.array([0.9, 0.1]))
    assert rule.step(again, known).tolist() == [1, 0]  # the second cools down
    last = dataclasses.replace(
        view, active=np.array([[1], [1]]), target=np.array([[1], [1]]), time_s=2000.0
    )
    last = dataclasses.replace(last, utilisation=np.array([0.1, 0.0]))
    assert rule.step(last, known).tolist() == [0, -1]  # the last one leaves only when idle


def test_static_is_sized_by_its_history_and_never_changes() -> None:
    scenario = scenario_of("o365-day")
    history = history_from(scenario, constant(scenario, 5.0 * THETA), 1)
    agent = make_agent("static:target_load=0.5")
    agent.reset(scenario, 0, history)
    targets = ToyCluster(scenario, constant(scenario, 0.0)).run(agent, 5)
    assert (targets == 10).all()
    agent = make_agent("static")
    agent.reset(scenario, 0, empty_history(scenario))
    assert (agent.act(make_view(scenario)).instances == 20).all()
    agent = make_agent("static:instances=4")
    agent.reset(scenario, 0, history)
    assert (agent.act(make_view(scenario)).instances == 4).all()


def test_static_shrinks_in_proportion_to_the_inventory() -> None:
    scenario = scenario_of("o365-day")
    history = history_from(scenario, constant(scenario, 30.0 * THETA), 1)
    agent = make_agent("static:target_load=0.5")
    agent.reset(scenario, 0, history)
    assert (agent.act(make_view(scenario)).instances == 20).all()


def test_an_agent_refuses_pools_it_does_not_know() -> None:
    scenario = scenario_of("trap-base")
    with pytest.raises(ValueError, match="needs pooling 'siloed', got 'unified'"):
        make_agent("siloed").reset(scenario, 0, empty_history(scenario))


def test_niw_goes_to_the_pools_that_take_it() -> None:
    for name, open_pools in (("siloed", {"batch"}), ("chiron", {"batch", "mixed"})):
        scenario = scenario_of("trap-base", pooling=agent_class(name).pooling)
        agent = make_agent(name)
        agent.reset(scenario, 0, empty_history(scenario))
        release = agent.act(make_view(scenario)).niw_release
        assert release is not None
        opened = {e.pool for e, limit in zip(scenario.endpoints, release, strict=True) if limit > 0}
        assert opened == open_pools


def test_chiron_sizes_the_batch_pool_by_its_deadline() -> None:
    scenario = scenario_of("trap-base", pooling="chiron", max_instances=6)
    agent = make_agent("chiron")
    agent.reset(scenario, 0, empty_history(scenario))
    view = make_view(scenario)
    hours = 10.0  # 2 regions x 3 instances for 8 h, 2 h before the deadline
    backlog = np.array([2 * 3 * THETA * (hours - 2.0) * 3600.0])
    due = dataclasses.replace(
        view, niw_backlog_tokens=backlog, niw_deadline_s=np.array([hours * 3600.0])
    )
    counts = agent.act(due).instances.sum(axis=1).reshape(2, 3)
    assert counts[:, 2].tolist() == [3, 3]


def test_instances_go_to_the_cheapest_type_with_room() -> None:
    scenario = scenario_of("trap-base").replace(
        models=["llama-3.1-8b"],
        gpus=["a100-80gb-x8", "h100-80gb-x8"],
        regions=[
            {"name": "westus", "vms": {"a100-80gb-x8": 3, "h100-80gb-x8": 4}},
            {"name": "eastus", "vms": {"a100-80gb-x8": 6, "h100-80gb-x8": 0}},
        ],
    )
    endpoints = Endpoints.of(scenario)
    theta = np.array([[10_000.0, 20_000.0]])  # $32.77 for 10k against $98 for 20k: A100 is cheaper
    view = make_view(scenario, theta=theta)
    assert endpoints.spread(view, np.array([5, 5])).tolist() == [[3, 2], [5, 0]]
    full = dataclasses.replace(view, target=np.array([[3, 2], [5, 0]]))
    assert endpoints.spread(full, np.array([4, 3])).tolist() == [[3, 1], [3, 0]]
    # More than there is: the limit of the endpoint; what is not free is asked for all the same.
    assert endpoints.spread(view, np.array([99, 99])).sum(axis=1).tolist() == [7, 6]
