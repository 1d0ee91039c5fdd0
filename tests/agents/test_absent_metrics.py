"""A metric that does not exist yet, or not in time, is not read as idle."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_agents.heuristics.signals import measured
from sageserve_env.scenario import Scenario
from tests.agents.toy import ToyCluster, constant, empty_history, make_view, scenario_of

BY_METRICS = ["hpa", "kpa", "reactive", "reactive-lw", "siloed", "chiron", "pooled"]


def cluster_of(name: str, stale_s: float = 0.0) -> Scenario:
    pooling = make_agent(name).pooling
    return scenario_of("trap-base", pooling=pooling, faults={"stale_metrics_s": stale_s})


@pytest.mark.parametrize("name", BY_METRICS)
def test_the_fleet_stands_at_time_0(name: str) -> None:
    scenario = cluster_of(name)
    agent = make_agent(name)
    agent.reset(scenario, 0, empty_history(scenario))
    view = make_view(scenario)
    wanted = agent.act(view).instances.sum(axis=1)
    batch = np.array([e.pool == "batch" for e in scenario.endpoints])
    if name == "chiron":  # its batch pool follows the backlog, which is known
        models = len(scenario.models), len(scenario.regions), len(scenario.pools)
        totals = wanted.reshape(models)[..., :2].sum(axis=2)
        assert (totals == view.target.sum(axis=1).reshape(models)[..., :2].sum(axis=2)).all()
        assert (wanted[batch] == scenario.min_instances).all()
    else:
        assert (wanted == view.target.sum(axis=1)).all()


@pytest.mark.parametrize("name", [n for n in BY_METRICS if n != "chiron"])
def test_metrics_that_never_come_change_nothing(name: str) -> None:
    scenario = cluster_of(name, 1e9)
    agent = make_agent(name)
    agent.reset(scenario, 0, empty_history(scenario))
    for minute in range(120):
        view = make_view(scenario, time_s=60.0 * minute)
        assert (agent.act(view).instances == view.target).all()


def test_where_a_utilisation_is_measured() -> None:
    late = cluster_of("hpa", 300.0)
    assert not measured(make_view(late), late).any()
    assert not measured(make_view(late, time_s=299.0), late).any()
    assert measured(make_view(late, time_s=300.0), late).all()
    view = make_view(late, time_s=600.0)
    starting = np.zeros_like(view.active)
    assert not measured(make_view(late, time_s=600.0, active=starting), late).any()


def test_hpa_keeps_the_initial_count_for_its_stabilisation() -> None:
    """Kubernetes: the count in force is the first recommendation of the window of 300 s."""
    scenario = scenario_of("trap-base")
    agent = make_agent("hpa")
    agent.reset(scenario, 0, empty_history(scenario))
    world = ToyCluster(scenario, constant(scenario, 0.0))
    counts = []
    for _ in range(8):
        action = agent.act(world.view())
        counts.append(int(action.instances[0].sum()))
        world.step(action)
    initial = scenario.initial_instances
    assert counts[:5] == [initial] * 5
    assert counts[5] < initial


def test_hpa_with_many_looks_ends() -> None:
    scenario = scenario_of("trap-base")
    agent = make_agent("hpa:sync_s=1e-9;target=0.01")
    agent.reset(scenario, 0, empty_history(scenario))
    busy = np.ones(len(scenario.endpoints))
    view = make_view(scenario, time_s=60.0, utilisation=busy)
    assert (agent.act(view).instances.sum(axis=1) >= view.target.sum(axis=1)).all()


def test_kpa_begins_in_panic_and_keeps_what_it_has() -> None:
    """Knative: an endpoint of more than one starts in panic, for a stable window."""
    scenario = scenario_of("trap-base", initial_instances=4, min_instances=0)
    agent = make_agent("kpa:stable_s=180")
    agent.reset(scenario, 0, empty_history(scenario))
    counts = []
    for minute in range(5):
        view = make_view(scenario, time_s=60.0 * minute)
        counts.append(int(agent.act(view).instances[0].sum()))
    assert counts == [4, 4, 4, 2, 2]  # then at most by half of what is ready
