"""Every id against the checks of the libraries that use it, with warnings as errors."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.utils.performance import benchmark_step

import sageserve_env
from sageserve_env.named import Named
from sageserve_env.rewards import Change, Dollars
from tests.env.common import IDS, TINY, make, play

pytestmark = pytest.mark.filterwarnings("error")

#: Arguments by id: traffic of sessions is made as a whole, and an hour of it is enough here.
SHORT: dict[str, dict[str, Any]] = {"SageServe-Sessions-v1": {"horizon_s": 3600.0}}


def short(env_id: str) -> Any:
    """Return an environment that is quick to reset."""
    return make(env_id, **SHORT.get(env_id, {}))


def test_the_table_of_ids_is_registered_once() -> None:
    assert set(IDS) <= set(gym.registry)
    before = dict(gym.registry)
    sageserve_env.register_envs()
    importlib.reload(sageserve_env)
    assert gym.registry == before
    for env_id in IDS:
        assert isinstance(gym.spec(env_id).entry_point, str)
        assert isinstance(gym.spec(env_id).vector_entry_point, str)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, sageserve_env; "
        "print([m for m in ('numba', 'matplotlib', 'pandas', 'pettingzoo', 'torch') "
        "if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_id_can_name_its_module() -> None:
    env = gym.make(f"sageserve_env:{TINY}")
    assert env.unwrapped.scenario.name == "trap-base"


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_check_env(env_id: str) -> None:
    check_env(short(env_id), skip_render_check=env_id != TINY)


@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines_check_env(env_id: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(short(env_id), warn=True, skip_render_check=True)


@pytest.mark.parametrize("keywords", [{"observation_mode": "endpoints"}, {"start": "random"}])
def test_other_forms_pass_the_checks(keywords: dict[str, Any]) -> None:
    check_env(make(TINY, **keywords), skip_render_check=True)
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():  # SB3 takes every array of three axes for an image
        warnings.simplefilter("ignore")
        checker.check_env(make(TINY, **keywords), skip_render_check=True)


def test_structured_actions_pass_check_env() -> None:
    check_env(make(TINY, action_mode="structured"), skip_render_check=True)


@pytest.mark.parametrize("env_id", IDS)
def test_pickling_in_the_middle_of_an_episode(env_id: str) -> None:
    env = gym.make(env_id, **SHORT.get(env_id, {}))
    env.reset(seed=3)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(3)]
    env.step(actions[0])
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert twin.spec == env.spec
        branch = copy.deepcopy(env)
        for action in actions[1:]:
            assert data_equivalence(branch.step(action), twin.step(action), exact=True)
        again = branch.reset(seed=5)
        assert data_equivalence(again, twin.reset(seed=5), exact=True)
        assert data_equivalence(branch.reset(), twin.reset(), exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_round_trip(env_id: str) -> None:
    env = gym.make(env_id, horizon_s=600.0)
    assert env.spec is not None
    spec = EnvSpec.from_json(env.spec.to_json())
    assert json.loads(spec.to_json()) == json.loads(env.spec.to_json())
    twin = gym.make(spec)
    assert twin.unwrapped.scenario == env.unwrapped.scenario
    assert data_equivalence(env.reset(seed=1), twin.reset(seed=1), exact=True)


def test_a_specification_with_paths_and_arrays_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: trap-base\ninitial_instances: 3\n")
    policy = {"niw_release": np.array([0.25, 0.5]), "discipline": "edf"}
    for env in (
        gym.make(TINY, scenario=path, policy=policy, control="scaling"),
        gym.make_vec(TINY, num_envs=2, scenario=path, policy=policy, control="scaling"),
    ):
        assert env.spec is not None
        spec = EnvSpec.from_json(env.spec.to_json())
        assert spec.kwargs["scenario"] == str(path)
        assert spec.kwargs["policy"] == {"niw_release": [0.25, 0.5], "discipline": "edf"}
    single = gym.make(EnvSpec.from_json(gym.make(TINY, scenario=path).spec.to_json()))
    assert single.unwrapped.scenario.initial_instances == 3


@pytest.mark.parametrize(
    "keywords",
    [{}, {"action_mode": "discrete"}, {"action_mode": "structured"}, {"reward": "vector"}],
)
def test_info_has_the_same_numeric_keys_at_reset_and_step(keywords: dict[str, Any]) -> None:
    env = make(TINY, horizon_s=180.0, **keywords)
    _, info = env.reset(seed=5)
    first = {key: (type(value), value.dtype, value.shape) for key, value in info.items()}
    assert all(isinstance(value, (np.ndarray, np.generic)) for value in info.values())
    env.action_space.seed(0)
    for _ in range(3):
        *_, truncated, info = env.step(env.action_space.sample())
        assert {k: (type(v), v.dtype, v.shape) for k, v in info.items()} == first
        assert info["trace_seed"] == 5
    assert truncated
    assert dict(info["episode_metrics"]) == env.episode_metrics()
    assert {k: (type(v), v.dtype, v.shape) for k, v in env.reset()[1].items()} == first


def test_numbers_with_names() -> None:
    array = Named(("a", "b"), [1.0, 2.0])
    assert array["b"] == 2.0 and array[0] == 1.0 and "a" in array and "c" not in array
    assert dict(array) == {"a": 1.0, "b": 2.0} == {**array} == dict(array.items())
    assert array.get("c") is None
    with pytest.raises(KeyError):
        array["c"]
    array["a"] += 2.0
    for twin in (array.copy(), pickle.loads(pickle.dumps(array)), copy.deepcopy(array)):
        assert twin.names == ("a", "b") and twin["a"] == 3.0
    many = Named(("a", "b"), np.arange(6.0).reshape(3, 2))
    assert many["b"].tolist() == [1.0, 3.0, 5.0]


def test_a_reward_whose_terms_differ_from_its_names_is_an_error() -> None:
    class Wrong(Dollars):
        def terms(self, change: Change) -> dict[str, float]:
            return {"vms": 0.0}

    env = make(TINY, reward=Wrong())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"terms\(\) gave vms, its names are vm, transfer"):
        env.step(np.zeros(env.action_space.shape, np.float32))


@pytest.mark.parametrize("env_id", IDS)
def test_two_runs_of_a_seed_agree_to_the_last_bit(env_id: str) -> None:
    first = play(short(env_id), 11, 3)
    assert first == play(short(env_id), 11, 3)
    assert first != play(short(env_id), 12, 3)


def test_another_process_agrees_to_the_last_bit() -> None:
    code = "from tests.env.common import make, play; print(play(make(), 7, 20))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == play(make(), 7, 20)


def test_the_horizon_truncates_and_gives_the_metrics() -> None:
    env = make(TINY, horizon_s=150.0)
    env.reset(seed=0)
    ends = []
    for _ in range(3):
        _, _, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
        known = info["episode_metrics"]["cost_usd"] > 0
        ends.append((terminated, truncated, known))
    assert ends == [(False, False, False), (False, False, False), (False, True, True)]
    assert env.simulator.time_s == 150.0
    metrics = info["episode_metrics"]
    assert metrics["requests"] == metrics["completed"] + metrics["unfinished"] > 0
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(env.action_space.shape, np.float32))


def test_gymnasiums_benchmark_runs() -> None:
    assert benchmark_step(make(TINY), target_duration=1, seed=0) > 0
