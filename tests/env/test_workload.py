"""What an episode is played on: the same for the environment and the benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from sageserve_bench.runs.workload import resolve
from sageserve_env.capacity import measure_theta
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.workload import TraceSpec, Workload, Workloads, in_names_of
from sageserve_traces import TRAFFIC, DemandSeries, RequestTrace, is_generated, list_traces


def of_frankfurt() -> Scenario:
    tiny = load_scenario("trap-base")
    first, *rest = tiny.regions
    return tiny.replace(regions=(replace(first, name="frankfurt"), *rest), name="mine")


def requests(
    count: int, prompt: int = 100, step_s: float = 1.0, scenario: Scenario | None = None
) -> RequestTrace:
    """Return one request each ``step_s``, of the scenario's first model and region."""
    cluster = scenario or load_scenario("trap-base")
    none = np.zeros(count, dtype=np.int16)
    return RequestTrace(
        arrival_s=step_s * np.arange(count),
        model=none,
        region=none,
        tier=none,
        prompt_tokens=np.full(count, prompt, dtype=np.int32),
        output_tokens=np.full(count, 10, dtype=np.int32),
        models=cluster.models,
        regions=cluster.region_names,
        tiers=cluster.tier_names,
        duration_s=step_s * count,
    )


def test_a_file_may_name_the_regions_of_ones_own_cluster(tmp_path: Path) -> None:
    scenario = of_frankfurt()
    path = tmp_path / "mine.csv"
    requests(300, scenario=scenario).to_csv(path)
    env = gym.make("SageServe-Hour-v1", scenario=scenario, trace=str(path)).unwrapped
    assert isinstance(env, SageServeEnv)
    env.reset(seed=0)
    over = False
    while not over:
        over = env.step(np.zeros(env.action_space.shape, np.float32))[3]
    assert env.episode_metrics()["requests"] == 300
    assert resolve(scenario, TraceSpec(str(path)), 0).trace_hash == env.workload.trace_hash


def test_a_short_trace_is_the_horizon_everywhere() -> None:
    env = SageServeEnv(scenario="trap-base", trace=requests(599))
    env.reset(seed=0)
    assert env.workload.horizon_s == env.view().horizon_s == env.scenario.horizon_s == 599.0
    assert resolve(load_scenario("trap-base"), requests(599), 0).horizon_s == 599.0


@pytest.mark.parametrize("name", ["trap-base", "o365-day", "o365-burst-day"])
def test_environment_and_benchmark_play_the_same_requests(name: str) -> None:
    env = SageServeEnv(scenario=name, horizon_s=600.0)
    env.reset(seed=2001)
    there = resolve(load_scenario(name).replace(horizon_s=600.0), TraceSpec(), 2001)
    assert env.workload.trace_hash == there.trace_hash
    assert np.array_equal(env.history().requests, there.history().requests)


def test_theta_knows_what_came_before_the_start_and_nothing_after() -> None:
    scenario = load_scenario("trap-base")
    one = requests(1200)
    longer = np.where(one.arrival_s >= 600.0, 4000, 100)
    other = replace(one, prompt_tokens=longer)
    assert np.array_equal(
        Workloads(scenario, one, start_s=600.0).theta(),
        Workloads(scenario, other, start_s=600.0).theta(),
    )
    reference = measure_theta(scenario)
    assert not np.array_equal(Workloads(scenario, one, start_s=600.0).theta(), reference)
    for trace in (one, other):  # nothing is known at the start of a file
        assert np.array_equal(Workloads(scenario, trace).theta(), reference)
    few = Workloads(scenario, one, start_s=150.0)
    assert np.array_equal(few.theta(), reference)


def test_what_lies_before_the_start_is_history() -> None:
    workload = Workloads(load_scenario("trap-base"), requests(1200, prompt=7), start_s=600.0).make(
        0
    )
    assert workload.horizon_s == 600.0
    past, told = workload.history(), workload.history(clairvoyant=True)
    assert (past.start_s, past.end_s, told.end_s) == (-600.0, 0.0, 600.0)
    assert past.requests.sum(axis=(1, 2, 3)).tolist() == [60.0] * 10
    assert told.prompt_tokens.sum() == 1200 * 7


def test_history_and_future_of_a_start_within_the_trace() -> None:
    scenario = load_scenario("trap-base").replace(horizon_s=300.0)
    even = Workload(scenario, requests(1200), 600.0)
    assert (even.history().start_s, even.history().end_s) == (-600.0, 0.0)
    told = even.history(clairvoyant=True)
    assert told.end_s == 300.0 and told.requests.sum() == 900
    odd = Workload(scenario, requests(1200), 90.5).history(clairvoyant=True)
    assert (odd.start_s, odd.end_s) == (-60.0, 300.0)
    assert odd.requests.sum(axis=(1, 2, 3)).tolist() == [60.0] * 6


def test_the_episode_begins_at_the_start_that_was_asked_for() -> None:
    env = SageServeEnv(scenario="trap-base", trace=requests(1200), start_s=900.0)
    env.reset(seed=0)
    over = False
    while not over:
        over = env.step(np.zeros(env.action_space.shape, np.float32))[3]
    assert env.episode_metrics()["requests"] == 300
    assert env.view().hour_of_day == pytest.approx(1200.0 / 3600.0)


@pytest.mark.parametrize(
    ("start_s", "message"),
    [(-1.0, "at least 0"), (float("nan"), "at least 0"), (1e6, "after its last")],
)
def test_a_start_that_cannot_be(start_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Workloads(load_scenario("trap-base"), requests(1200), start_s=start_s)


def test_models_that_get_the_same_name_are_added_up() -> None:
    scenario = load_scenario("trap-base").replace(workload={"rename_models": {"a": "llama-3.1-8b"}})
    target = scenario.models[0]
    scenario = load_scenario("trap-base").replace(workload={"rename_models": {"a": target}})
    shape = (1, 2, 1, 1)
    series = DemandSeries(
        0.0,
        60.0,
        np.arange(2.0).reshape(shape) + 1.0,
        np.ones(shape),
        np.ones(shape),
        ("a", target),
        (scenario.region_names[0],),
        (scenario.tier_names[0],),
    )
    assert in_names_of(scenario, series).requests[0, 0, 0, 0] == 3.0


def test_generated_traces_are_told_apart_by_the_catalogue() -> None:
    generated = {t.name for t in list_traces() if is_generated(t.name)}
    assert generated == {*TRAFFIC, "azure-2024-code-week", "sessions"}
    assert not is_generated("mine.csv")
