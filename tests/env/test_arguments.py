"""Arguments of ``gym.make`` and of ``reset``: what they do, and one clear error each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml

import sageserve_env
from sageserve_env import load_scenario
from sageserve_env.arguments import LARGEST_SEED
from sageserve_traces import RequestTrace, make_trace
from tests.env.common import TINY, make


def small_trace(duration_s: float = 300.0) -> RequestTrace:
    n = 50
    return RequestTrace(
        np.linspace(0, duration_s - 1, n),
        np.zeros(n, int),
        np.zeros(n, int),
        np.zeros(n, int),
        np.full(n, 500),
        np.full(n, 20),
        models=("llama-2-70b",),
        regions=("westus", "eastus"),
        duration_s=duration_s,
    )


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"scenario": "tyny"}, "did you mean 'tiny'"),
        ({"trace": "no-such-trace"}, "neither a file nor a named trace"),
        ({"trace": 3}, "trace: expected a name, a path or a TraceSource"),
        ({"decision_interval_s": -1}, "decision_interval_s"),
        ({"decision_interval_s": "fast"}, "expected float"),
        ({"horizon_s": float("nan")}, "NaN"),
        ({"horizon_s": 1.0}, "decision_interval_s <= horizon_s"),
        ({"start": "rndom"}, "did you mean 'random'"),
        ({"action_mode": "continous"}, "did you mean 'continuous'"),
        ({"control": "scale"}, "did you mean 'scaling'"),
        ({"observation_mode": "flt"}, "did you mean 'flat'"),
        ({"reward": "dollar"}, "did you mean 'dollars'"),
        ({"reward": 3}, "expected a name or a Reward"),
        ({"render_mode": "rgb"}, "render_mode: expected one of"),
        ({"scenario": 3}, "scenario: expected a name, a path or a Scenario, got 3"),
        ({"scenario": None}, "scenario: expected a name, a path or a Scenario, got None"),
        ({"scenario": ["trap-base"]}, "scenario: expected a name, a path or a Scenario"),
        ({"observation_mode": None}, "observation_mode: unknown value 'None'"),
        ({"observation_mode": 1}, "observation_mode: unknown value '1'"),
        ({"vector_reward": "yes"}, "vector_reward: expected True or False, got 'yes'"),
        ({"vector_reward": 3}, "vector_reward: expected True or False, got 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*The environment is being initialised with render_mode")
def test_bad_arguments_give_one_clear_error(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(TINY, **keywords)


def test_an_unknown_argument_is_a_type_error_as_python_words_it() -> None:
    for made in (make, sageserve_env.parallel_env, sageserve_env.SageServeVectorEnv):
        with pytest.raises(TypeError, match="unexpected keyword argument 'scenari'"):
            made(scenari="trap-base")
    with pytest.raises(TypeError, match=r"'frame_skip' \(valid: scenario, trace, "):
        make(frame_skip=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sed": 1}, "unknown key 'sed'"),
        ({"trace_seed": -1}, "trace_seed: expected"),
        (
            {"trace_seed": 2**70},
            "trace_seed: expected a whole number of at most 9223372036854775807",
        ),
        ([1], "options: expected a dict"),
        (3, "options: expected a dict"),
    ],
)
def test_bad_reset_options(options: Any, message: str) -> None:
    env = make()
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize("seed", [True, -1, 1.5, "a", [1], 2**63, np.uint64(2**63)])
def test_a_bad_seed_changes_nothing(seed: Any) -> None:
    env, twin = make(), make()
    env.reset(seed=4)
    twin.reset(seed=4)
    env.step(np.zeros(env.action_space.shape, np.float32))
    with pytest.raises(ValueError, match=r"reset: seed: expected a whole number (>= 0|of at)"):
        env.reset(seed=seed)
    assert env.simulator.time_s == 60.0
    assert env.np_random_seed == 4
    np.testing.assert_equal(env.reset(), twin.reset())


def test_the_largest_seed() -> None:
    env = make()
    assert env.reset(seed=LARGEST_SEED)[1]["trace_seed"] == LARGEST_SEED
    envs = sageserve_env.SageServeVectorEnv(2, scenario="tiny")
    envs.reset(seed=LARGEST_SEED - 1)
    with pytest.raises(ValueError, match="of at most"):  # that of the second environment
        envs.reset(seed=LARGEST_SEED)
    assert envs.np_random_seed == (LARGEST_SEED - 1, LARGEST_SEED)


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    env = make()
    first = env.reset(seed=np.int64(4))
    assert (first[0] == env.reset(seed=4)[0]).all() and first[1]["trace_seed"] == 4


def test_a_scenario_comes_by_name_file_or_object(tmp_path: Path) -> None:
    scenario = load_scenario("trap-base").replace(initial_instances=3)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": "trap-base", "initial_instances": 3}))
    by_file, by_object = make(scenario=str(path)), make(scenario=scenario)
    assert by_file.scenario.initial_instances == by_object.scenario.initial_instances == 3
    assert (by_file.reset(seed=0)[0] == by_object.reset(seed=0)[0]).all()


def test_a_trace_comes_by_file_or_object(tmp_path: Path) -> None:
    trace = small_trace()
    path = tmp_path / "mine.csv"
    trace.to_csv(path)
    outcomes = []
    for given in (str(path), path, trace):
        env = make(trace=given)
        env.reset(seed=0)
        assert env.workload.horizon_s == 300.0  # a short trace shortens the horizon
        truncated = False
        while not truncated:
            _, _, _, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
        outcomes.append(info["episode_metrics"])
    assert outcomes[0]["requests"] == outcomes[0]["completed"] == 50
    assert {k: v for k, v in outcomes[0].items() if v == v} == {
        k: v for k, v in outcomes[2].items() if v == v
    }


def test_interval_and_horizon_override_the_scenario() -> None:
    env = make(decision_interval_s=30.0, horizon_s=100.0)
    env.reset(seed=0)
    times = []
    truncated = False
    while not truncated:
        _, _, _, truncated, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        times.append(env.simulator.time_s)
    assert times == [30.0, 60.0, 90.0, 100.0]


def test_a_seed_fixes_the_trace_and_no_seed_draws_a_training_one() -> None:
    env = make()
    _, info = env.reset(seed=2003)
    assert info["trace_seed"] == 2003
    assert (
        env.workload.trace.content_hash
        == make_trace("o365", seed=2003, horizon_s=3600.0, scale=0.5).content_hash
    )
    drawn = [env.reset()[1]["trace_seed"] for _ in range(5)]
    assert len(set(drawn)) > 1 and max(drawn) < 1000
    env.reset(seed=2003)
    assert [env.reset()[1]["trace_seed"] for _ in range(5)] == drawn
    assert env.reset(options={"trace_seed": 1500})[1]["trace_seed"] == 1500


def test_a_random_start_is_seeded_and_moves_the_clock() -> None:
    env = make(start="random")
    offsets = set()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        offset_s = env.workload.offset_s
        assert env.reset(seed=seed)[0].tolist() == observation.tolist()
        assert env.workload.offset_s == offset_s
        assert offset_s % 60.0 == 0.0
        hours = (offset_s / 3600.0 + env.workload.trace.start_hour_utc) % 24.0
        assert env.view().hour_of_day == pytest.approx(hours)
        names = list(env.observation_names)
        assert observation[names.index("day_sin")] == pytest.approx(
            np.sin(2 * np.pi * hours / 24), abs=1e-5
        )
        offsets.add(offset_s)
    assert len(offsets) > 3


def test_a_random_start_leaves_room_for_the_horizon() -> None:
    env = make(trace=small_trace(3600.0), start="random", horizon_s=600.0)
    for seed in range(5):
        env.reset(seed=seed)
        assert env.workload.offset_s <= 3000.0
        assert env.workload.horizon_s == 600.0


def test_bursts_of_the_scenario_are_in_the_trace() -> None:
    env = make("SageServe-Paper-v1", scenario="o365-burst-day", horizon_s=300.0)
    env.reset(seed=0)
    arrived = []
    for _ in range(5):
        env.step(np.zeros(env.action_space.shape, np.float32))
        arrived.append(int(env.simulator.state.clock[0]["arrived"]))
    counts = np.diff([0, *arrived])
    assert counts[0] > 5 * counts[1:].mean()
