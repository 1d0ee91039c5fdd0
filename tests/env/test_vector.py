"""The vector environment equals single ones, bit for bit."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

from sageserve_env import SageServeVectorEnv
from tests.env.common import IDS, TINY

pytestmark = pytest.mark.filterwarnings("error")


def same(a: Any, b: Any) -> bool:
    return bool(data_equivalence(a, b, exact=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_single_environments_for_a_thousand_steps(threads: int) -> None:
    seeds = [5, 77, 1003]
    many = gym.make_vec(TINY, num_envs=3, threads=threads)
    singles = [gym.make(TINY).unwrapped for _ in seeds]
    observation, _ = many.reset(seed=seeds)
    for i, env in enumerate(singles):
        assert same(observation[i], env.reset(seed=seeds[i])[0])
    many.action_space.seed(0)
    over = [False] * len(seeds)
    for _ in range(1000):
        actions = many.action_space.sample()
        observation, reward, _, truncated, _ = many.step(actions)
        for i, env in enumerate(singles):
            if over[i]:
                single: tuple[Any, ...] = (env.reset()[0], 0.0, False, False)
            else:
                single = env.step(actions[i])[:4]
            assert same(observation[i], single[0])
            assert reward[i] == single[1]
            over[i] = bool(truncated[i])
            assert over[i] == single[3]
    many.close()


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"action_mode": "discrete"},
        {"control": "routing"},
        {"observation_mode": "endpoints"},
        {"action_mode": "structured"},
    ],
)
def test_equals_gymnasiums_sync_vector_env_with_its_infos(keywords: dict[str, Any]) -> None:
    keywords = {**keywords, "horizon_s": 300.0}
    ours = gym.make_vec(TINY, num_envs=3, threads=2, **keywords)
    theirs = gym.make_vec(TINY, num_envs=3, vectorization_mode="sync", **keywords)
    assert ours.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert ours.observation_space == theirs.observation_space
    a, b = ours.reset(seed=3), theirs.reset(seed=3)
    assert same(a[0], b[0]) and same_infos(a[1], b[1])
    ours.action_space.seed(1)
    for _ in range(12):
        actions = ours.action_space.sample()
        a, b = ours.step(actions), theirs.step(actions)
        assert same_infos(a[4], b[4])
        assert same(a[:4], b[:4])
    ours.close()


def same_infos(a: Any, b: Any) -> bool:
    """Whether infos are equal, NaN being equal to itself."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_infos(a[k], b[k]) for k in a)
    if a.dtype == object:  # observations that episodes ended with
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("steps", [None, 2])
def test_every_autoreset_mode_equals_gymnasiums(mode: AutoresetMode, steps: int | None) -> None:
    keywords = {"horizon_s": 240.0, "action_mode": "discrete", "max_episode_steps": steps}
    keywords = {key: value for key, value in keywords.items() if value is not None}
    ours = gym.make_vec(TINY, num_envs=3, threads=2, autoreset_mode=mode, **keywords)
    theirs = gym.make_vec(
        TINY,
        num_envs=3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **keywords,
    )
    assert ours.metadata["autoreset_mode"] == mode
    assert same_infos(ours.reset(seed=3)[1], theirs.reset(seed=3)[1])
    ours.action_space.seed(1)
    for _ in range(12):
        actions = ours.action_space.sample()
        a, b = ours.step(actions), theirs.step(actions)
        assert same_infos(a[4], b[4])
        assert same(a[:4], b[:4])
        over = a[3]
        if mode == AutoresetMode.DISABLED and over.any():
            with pytest.raises(gym.error.ResetNeeded):
                ours.step(actions)
            a = ours.reset(seed=9, options={"reset_mask": over})
            b = theirs.reset(seed=9, options={"reset_mask": over})
            assert same_infos(a[1], b[1]) and same(a[0], b[0])
    ours.close()


def test_a_limit_of_steps_in_the_default_mode() -> None:
    many = gym.make_vec(TINY, num_envs=2, max_episode_steps=3)
    many.reset(seed=0)
    ends = []
    for _ in range(8):
        *_, truncated, _ = many.step(np.zeros(many.action_space.shape))
        ends.append(bool(truncated.all()))
    assert ends == [False, False, True, False, False, False, True, False]


def test_attributes_can_be_set() -> None:
    many = SageServeVectorEnv(2, scenario="trap-base")
    many.set_attr("clip_actions", True)
    assert many.get_attr("clip_actions") == (True, True)
    many.set_attr("render_mode", ["ansi", None])
    assert many.get_attr("render_mode") == ("ansi", None)
    with pytest.raises(ValueError, match="expected 2 values, got 3"):
        many.set_attr("clip_actions", [True] * 3)


def test_numpy_to_torch_on_vectors() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("array_api_compat", reason="comes with gymnasium[array-api]")
    from gymnasium.wrappers.vector import NumpyToTorch

    many = NumpyToTorch(gym.make_vec(TINY, num_envs=2, action_mode="discrete", horizon_s=120.0))
    _, infos = many.reset(seed=0)
    actions = torch.zeros((2, 4), dtype=torch.int64) + torch.tensor([2, 2, 0, 0])
    for _ in range(3):
        observation, _, _, _, infos = many.step(actions)
        assert infos["episode_metrics"].shape[0] == 2
    assert observation.dtype == torch.float32


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_in_its_own_and_in_sync_mode(env_id: str) -> None:
    for mode in ("vector_entry_point", "sync"):
        many = gym.make_vec(
            env_id, num_envs=2, vectorization_mode=mode, decision_interval_s=60.0, horizon_s=180.0
        )
        observation, _ = many.reset(seed=0)
        assert many.observation_space.contains(observation)
        many.action_space.seed(0)
        for _ in range(4):
            observation, *_ = many.step(many.action_space.sample())
        assert many.observation_space.contains(observation)
        many.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("env_id", [TINY, "SageServe-Discrete-v1"])
def test_async_vector_env_with_spawn(env_id: str) -> None:
    many = gym.make_vec(
        env_id,
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"context": "spawn"},
        decision_interval_s=60.0,
        horizon_s=180.0,
    )
    own = gym.make_vec(env_id, num_envs=2, decision_interval_s=60.0, horizon_s=180.0)
    try:
        assert same(many.reset(seed=0)[0], own.reset(seed=0)[0])
        own.action_space.seed(0)
        for _ in range(4):
            actions = own.action_space.sample()
            assert same(many.step(actions)[:4], own.step(actions)[:4])
    finally:
        many.close()
        own.close()


def test_bad_actions_reach_no_environment() -> None:
    many = gym.make_vec(TINY, num_envs=2)
    many.reset(seed=0)
    good = np.zeros(many.action_space.shape, np.float32)
    bad = good.copy()
    bad[1, 0] = np.nan
    for actions in (bad, good[:1], bad.tolist(), good > 0, None):
        with pytest.raises(ValueError, match="actions: expected an element of"):
            many.step(actions)
    assert many.call("simulator")[0].time_s == 0.0


def test_bad_arguments() -> None:
    for keywords in (
        {"num_envs": 0},
        {"num_envs": True},
        {"num_envs": 2, "threads": 0},
        {"num_envs": 2, "max_episode_steps": 0},
        {"num_envs": 2, "autoreset_mode": "same"},
    ):
        with pytest.raises(ValueError, match="expected"):
            SageServeVectorEnv(**keywords)
    many = SageServeVectorEnv(2, scenario="trap-base")
    with pytest.raises(ValueError, match="expected 2 seeds"):
        many.reset(seed=[1])
    with pytest.raises(ValueError, match="reset_mask"):
        many.reset(options={"reset_mask": np.ones(3, bool)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": True}, "seed: expected a whole number"),
        ({"seed": "ab"}, "seed: expected a whole number"),
        ({"seed": [0, "a"]}, "seed: expected a whole number"),
        ({"seed": [0, -1]}, "seed: expected a whole number"),
        ({"options": {"reset_mask": np.array([1, 0])}}, "reset_mask: expected a bool array"),
        ({"options": {"reset_mask": [True, False]}}, "reset_mask: expected a bool array"),
        ({"options": {"sed": 1}}, "unknown key 'sed'"),
        ({"options": {"trace_seed": "x"}}, "trace_seed: expected"),
        ({"options": 3}, "options: expected a dict"),
    ],
)
def test_a_bad_reset_resets_nothing(arguments: dict[str, Any], message: str) -> None:
    many = SageServeVectorEnv(2, scenario="trap-base")
    many.reset(seed=0)
    many.step(np.zeros(many.action_space.shape, np.float32))
    with pytest.raises(ValueError, match=message):
        many.reset(**arguments)
    assert [env.simulator.time_s for env in many.envs] == [60.0, 60.0]
    many.close()


def test_seeds_may_be_integers_of_numpy() -> None:
    many = SageServeVectorEnv(2, scenario="trap-base")
    first = many.reset(seed=4)[0]
    for seed in (np.int64(4), np.array([4, 5]), (4, np.int32(5))):
        assert same(many.reset(seed=seed)[0], first)
    many.close()


def test_some_environments_can_be_reset() -> None:
    many = SageServeVectorEnv(2, scenario="trap-base")
    first, _ = many.reset(seed=0)
    many.step(np.zeros(many.action_space.shape, np.float32))
    again, _ = many.reset(seed=0, options={"reset_mask": np.array([True, False])})
    assert (again[0] == first[0]).all()
    assert [env.simulator.time_s for env in many.envs] == [0.0, 60.0]


def test_vector_rewards_and_masks() -> None:
    many = SageServeVectorEnv(2, scenario="trap-base", action_mode="discrete", reward="vector")
    many.reset(seed=0)
    many.action_space.seed(0)
    _, reward, _, _, infos = many.step(many.action_space.sample())
    assert reward.shape == (2, 6)
    assert (many.action_masks() == infos["action_mask"]).all()


def test_pickling() -> None:
    many = SageServeVectorEnv(2, threads=2, scenario="trap-base")
    many.reset(seed=0)
    actions = np.full(many.action_space.shape, 0.2, np.float32)
    many.step(actions)
    twin = pickle.loads(pickle.dumps(many))
    assert same(many.step(actions), twin.step(actions))
    many.close()
    twin.close()
