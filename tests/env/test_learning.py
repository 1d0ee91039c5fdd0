"""Learning libraries run on the environments as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sageserve_env
from tests.env.common import TINY

torch = pytest.importorskip("torch")
sb3 = pytest.importorskip("stable_baselines3")
contrib = pytest.importorskip("sb3_contrib")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("error::UserWarning"),
    pytest.mark.filterwarnings("ignore:You are trying to run"),
]

STEPS = 2000


def small() -> dict[str, Any]:
    """Return arguments of every algorithm; a new dictionary, because SB3 adds to it."""
    return {"policy_kwargs": {"net_arch": [32]}, "device": "cpu", "seed": 0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep tiny networks from fighting over the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


ON_POLICY = {"n_steps": 500, "batch_size": 250, "n_epochs": 1}
OFF_POLICY = {"learning_starts": 100, "batch_size": 32, "train_freq": 10, "gradient_steps": 1}
ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (sb3.PPO, ON_POLICY),
    "A2C": (sb3.A2C, {"n_steps": 50}),
    "SAC": (sb3.SAC, OFF_POLICY),
    "TD3": (sb3.TD3, OFF_POLICY),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_stable_baselines_learns(name: str) -> None:
    algorithm, options = ALGORITHMS[name]
    model = algorithm("MlpPolicy", gym.make(TINY), **small(), **options).learn(STEPS)
    assert model.num_timesteps >= STEPS
    env = gym.make(TINY)
    action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)


def test_dictionaries_are_learned_from() -> None:
    env = gym.make(TINY, observation_mode="endpoints")
    model = sb3.PPO("MultiInputPolicy", env, **small(), **ON_POLICY)
    assert model.learn(500).num_timesteps >= 500


def test_recurrent_ppo_learns() -> None:
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy",
        gym.make(TINY),
        policy_kwargs={"net_arch": [16], "lstm_hidden_size": 16},
        device="cpu",
        seed=0,
        **ON_POLICY,
    )
    assert model.learn(STEPS).num_timesteps >= STEPS


@pytest.mark.parametrize(("kind", "n"), [("DummyVecEnv", 8), ("SubprocVecEnv", 3)])
def test_maskable_ppo_learns_with_several_environments(kind: str, n: int) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    vec = getattr(sb3.common.vec_env, kind)
    options = {"start_method": "spawn"} if kind == "SubprocVecEnv" else {}
    envs = make_vec_env(
        "sageserve_env:SageServe-Discrete-v1",  # the module, so that other processes find the id
        n_envs=n,
        seed=0,
        env_kwargs={"scenario": "trap-base", "horizon_s": 3600.0},
        vec_env_cls=vec,
        vec_env_kwargs=options,
    )
    try:
        model = contrib.MaskablePPO(
            "MlpPolicy", envs, n_steps=50, batch_size=50, n_epochs=2, **small()
        )
        assert model.learn(500).num_timesteps >= 500
    finally:
        envs.close()


def test_a_cleanrl_style_loop_runs_on_the_vector_environment() -> None:
    """Collect with the vector environment; the step after a truncated one is not a transition."""
    envs = gym.make_vec(TINY, num_envs=4, horizon_s=300.0)
    observation, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    before, kept, ends = np.zeros(4, bool), 0, 0
    for _ in range(20):
        following, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
        kept += int((~before).sum())
        ends += int(truncated.sum())
        assert not terminated.any() and (reward[before] == 0).all()
        before, observation = truncated, following
    assert ends == 12 and kept == 4 * 20 - 12
    assert envs.observation_space.contains(observation)
    envs.close()


def test_a_parallel_loop_of_independent_learners_runs() -> None:
    env = sageserve_env.parallel_env(scenario="trap-base", horizon_s=300.0)
    observations, _ = env.reset(seed=0)
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in observations}
        observations, rewards, _, _, _ = env.step(actions)
    assert set(rewards) == {"westus", "eastus"}
