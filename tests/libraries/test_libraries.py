"""A few steps with each library that people train with; ``make libraries`` installs them.

A library that is not there is skipped; ``make test`` checks those that it has installed.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sageserve_env

TINY = "SageServe-Hour-v1"
#: Three decisions an episode.
SHORT: dict[str, Any] = {"horizon_s": 180.0}

pytestmark = pytest.mark.filterwarnings("ignore")


def library(name: str) -> Any:
    """Return a library, or skip the test with the reason."""
    return pytest.importorskip(name, reason=f"{name} is not installed: make libraries")


def test_torchrl() -> None:
    library("torchrl")
    from torchrl.envs import GymEnv

    env = GymEnv(TINY, **SHORT).auto_register_info_dict()
    steps = env.rollout(3)
    assert steps.shape == (3,)
    assert (steps["next", "reward"] < 0).all()
    assert steps["next", "episode_metrics"].shape[0] == 3
    assert (steps["next", "cost"] >= 0).all()


def test_torchrl_over_vectors() -> None:
    library("torchrl")
    from torchrl.envs import GymWrapper

    many = GymWrapper(gym.make_vec(TINY, num_envs=2, autoreset_mode="SameStep", **SHORT))
    steps = many.rollout(5, break_when_any_done=False)
    assert steps.shape == (2, 5)
    assert steps["next", "truncated"].any()


def test_numpy_to_torch() -> None:
    torch = library("torch")
    library("array_api_compat")
    from gymnasium.wrappers.vector import NumpyToTorch

    many = NumpyToTorch(gym.make_vec(TINY, num_envs=2, action_mode="discrete", **SHORT))
    many.reset(seed=0)
    actions = torch.tensor([[2, 2, 0, 0], [3, 1, 1, 2]])
    for _ in range(4):
        observation, *_, infos = many.step(actions)
        assert infos["episode_metrics"].shape[0] == 2
    assert observation.dtype == torch.float32


def test_skrl() -> None:
    library("skrl")
    torch = library("torch")
    from skrl.envs.wrappers.torch import wrap_env

    env = wrap_env(gym.make_vec(TINY, num_envs=2, clip_actions=True, **SHORT))
    env.reset()
    size = env.action_space.shape[-1]
    for _ in range(4):
        observation, reward, *_ = env.step(torch.full((2, size), -1.99))
    assert observation.shape[0] == 2 and reward.shape == (2, 1)
    env.close()


def test_tianshou() -> None:
    library("tianshou")
    from tianshou.data import Batch, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv

    many = DummyVectorEnv([lambda: gym.make(TINY, **SHORT)] * 2)
    buffer = VectorReplayBuffer(20, 2)
    many.seed([0, 1])
    observation, _ = many.reset()
    for _ in range(3):
        actions = np.stack([space.sample() for space in many.action_space])
        following, reward, terminated, truncated, infos = many.step(actions)
        buffer.add(
            Batch(
                obs=observation,
                act=actions,
                rew=reward,
                terminated=terminated,
                truncated=truncated,
                obs_next=following,
                info=infos,
            )
        )
        observation = following
    assert len(buffer) == 6 and truncated.all()


def test_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    import minari

    env = minari.DataCollector(gym.make(TINY, **SHORT), record_infos=True)
    for seed in range(2):
        env.reset(seed=seed)
        truncated = False
        while not truncated:
            _, _, _, truncated, _ = env.step(env.action_space.sample())
    data = env.create_dataset(dataset_id="sageserve/tiny-v0", algorithm_name="random")
    assert data.total_episodes == 2 and data.total_steps == 6
    episode = next(data.iterate_episodes())
    assert episode.infos["cost"].shape == (4,)  # at the reset and at three steps


def test_decisions_of_agents_are_a_minari_dataset(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library("minari")
    library("torch")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    words = ["imitate.py", "--days", "1", "--epochs", "1", "--test-days", "1", "--teachers", "kpa"]
    words += ["--minari", "sageserve/kpa-v0", "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    runpy.run_path(str(repository / "examples" / "imitate.py"), run_name="__main__")
    import minari

    data = minari.load_dataset("sageserve/kpa-v0")
    assert data.total_episodes == 1 and data.total_steps == 720
    episode = next(data.iterate_episodes())
    assert episode.actions["instances"].shape == (720, 2, 1)


def test_supersuit() -> None:
    supersuit = library("supersuit")
    library("pettingzoo")
    env = sageserve_env.parallel_env(scenario="trap-base", **SHORT)
    many = supersuit.pettingzoo_env_to_vec_env_v1(env)
    many = supersuit.concat_vec_envs_v1(many, 2, num_cpus=0, base_class="gymnasium")
    many.reset(seed=0)
    for _ in range(4):
        actions = np.stack([env.action_space("westus").sample() for _ in range(4)])
        observation, reward, *_ = many.step(actions)
    assert observation.shape[0] == 4 and reward.shape == (4,)


def test_mo_gymnasium() -> None:
    mo_gymnasium = library("mo_gymnasium")
    env = mo_gymnasium.make(TINY, reward="vector", **SHORT)
    assert env.unwrapped.reward_space.shape == (env.unwrapped.reward_dim,)
    env = mo_gymnasium.wrappers.LinearReward(env, weight=np.ones(env.unwrapped.reward_dim))
    env.reset(seed=0)
    _, reward, *_, info = env.step(env.action_space.sample())
    assert reward == pytest.approx(info["vector_reward"].sum())


def test_rllib() -> None:
    library("ray.rllib.algorithms.ppo")
    library("torch")
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    def make(config: dict[str, Any]) -> Any:
        import sageserve_env  # noqa: F401 - registers the ids in a worker

        return gym.make(TINY, **config).unwrapped

    ray.init(num_cpus=1, include_dashboard=False, ignore_reinit_error=True, log_to_driver=False)
    register_env("sageserve-tiny", make)
    config = (
        PPOConfig()
        .environment("sageserve-tiny", env_config={"control": "scaling", "clip_actions": True})
        .env_runners(num_env_runners=0, rollout_fragment_length=8)
        .training(train_batch_size_per_learner=8, minibatch_size=8, num_epochs=1)
    )
    algorithm = config.build_algo()
    try:
        result = algorithm.train()
        assert result["training_iteration"] == 1
    finally:
        algorithm.stop()
        ray.shutdown()


def test_a_loop_in_the_style_of_cleanrl() -> None:
    """The wrappers and the rollout of CleanRL's PPO for continuous actions, without learning."""

    def make() -> gym.Env[Any, Any]:
        env: Any = gym.make(TINY, **SHORT)
        env = gym.wrappers.FlattenObservation(env)
        env = gym.wrappers.RecordEpisodeStatistics(env)
        env = gym.wrappers.ClipAction(env)
        env = gym.wrappers.NormalizeObservation(env)
        env = gym.wrappers.NormalizeReward(env, gamma=0.99)
        return env

    many: Any = gym.vector.SyncVectorEnv([make, make], autoreset_mode="SameStep")
    observation, _ = many.reset(seed=1)
    rng = np.random.default_rng(0)
    lengths: list[int] = []
    requests = list(many.envs[0].unwrapped.metric_names).index("requests")
    size = many.single_action_space.shape
    assert size is not None
    for _ in range(7):
        action = rng.normal(0.0, 2.0, (2, *size))
        observation, reward, _, truncated, infos = many.step(action)
        assert np.isfinite(observation).all() and np.isfinite(reward).all()
        if truncated.any():
            final = infos["final_info"]
            lengths += final["episode"]["l"][truncated].tolist()
            assert (final["episode_metrics"][truncated, requests] > 0).all()
    assert lengths == [3, 3, 3, 3]
