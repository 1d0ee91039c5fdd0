"""No agent but the clairvoyant ones acts on what has not happened yet."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_agents import agent_class, make_agent
from sageserve_agents.demand import DemandTracker
from sageserve_agents.registry import BUILT_IN
from sageserve_env.view import Floats
from sageserve_traces.trace import DemandSeries
from tests.agents.leak import assert_no_leak, first_difference
from tests.agents.toy import ToyCluster, daily, history_from, scenario_of

SPLIT, STEPS = 95, 150
# Learned agents need a checkpoint; test_leak_simulator.py has those that are shipped.
LEARNED = [n for n, where in BUILT_IN.items() if ".learned." in where]
HONEST = [n for n in BUILT_IN if n not in LEARNED and not agent_class(n).clairvoyant]


def worlds(scenario, factor: float) -> tuple[ToyCluster, ToyCluster]:  # noqa: ANN001
    base = daily(scenario, 40_000.0)

    def changed(time_s: float) -> Floats:
        return base(time_s) * (factor if time_s >= SPLIT * 60.0 else 1.0)

    return ToyCluster(scenario, base), ToyCluster(scenario, changed)


@pytest.mark.parametrize("name", [*HONEST, "ilp:forecaster=ridge", "ilp:forecaster=arima"])
@pytest.mark.parametrize("days", [0, 2])
def test_the_future_changes_no_action(name: str, days: int) -> None:
    pooling = agent_class(name.partition(":")[0]).pooling
    scenario = scenario_of("trap-base", pooling=pooling, horizon_s=STEPS * 60.0)
    history = history_from(scenario, daily(scenario, 40_000.0), days) if days else None
    if history is None:
        history = history_from(scenario, daily(scenario, 40_000.0), 1).window(0.0, 1.0)
    assert_no_leak(lambda: make_agent(name), scenario, history, worlds(scenario, 3.0), SPLIT, STEPS)


def test_the_helper_finds_a_leak() -> None:
    """The oracle is told the future, so its runs must differ before the worlds do."""
    scenario = scenario_of("trap-base", horizon_s=STEPS * 60.0)
    runs = []
    for world in worlds(scenario, 3.0):
        past = history_from(scenario, daily(scenario, 40_000.0), 1)
        tokens = np.array([world.rate(60.0 * t) * 60.0 for t in range(STEPS)])
        tokens = tokens.reshape(-1, 5, *tokens.shape[1:]).sum(axis=1)
        full = past.append(tokens / 1000.0, tokens, 0.1 * tokens)
        agent = make_agent("oracle")
        agent.reset(scenario, 0, full)
        actions = []
        for _ in range(STEPS):
            actions.append(agent.act(world.view()))
            world.step(actions[-1])
        runs.append(actions)
    step = first_difference(*runs)
    assert step is not None
    assert step < SPLIT


def test_only_complete_bins_before_now_are_used() -> None:
    scenario = scenario_of("trap-base")
    world = ToyCluster(scenario, daily(scenario, 40_000.0))
    future = history_from(scenario, daily(scenario, 40_000.0), 1)
    shifted = DemandSeries(
        -43_200.0,
        future.bin_s,
        future.requests,
        future.prompt_tokens,
        future.output_tokens,
        future.models,
        future.regions,
        future.tiers,
    )
    tracker = DemandTracker(shifted, 300.0)
    assert tracker.end_s == 0.0  # what lies after time 0 is cut off
    agent = make_agent("static")
    agent.reset(scenario, 0, shifted)
    for minute in range(12):
        tracker.update(world.view())
        assert tracker.end_s == 300.0 * (minute // 5)
        world.step(agent.act(world.view()))
