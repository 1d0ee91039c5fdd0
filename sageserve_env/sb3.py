"""`SageServeVectorEnv` as the vector environment of Stable-Baselines3, whose package it needs.

    from sageserve_env.sb3 import make_sb3
    envs = make_sb3("SageServe-Tiny-v1", num_envs=8, seed=0)

SB3 wants an environment that has ended to be reset within the same step; the last observation is
then in ``infos[i]["terminal_observation"]``. Environments that end are therefore reset at once,
with a training seed from the adapter's own generator, so that a run does not depend on threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sageserve_env._config import unknown_key_message
from sageserve_env.registration import IDS
from sageserve_env.vector_env import SageServeVectorEnv
from sageserve_env.workload import TRAIN_SEEDS
from sageserve_env.wrappers import Multiplier


class Sb3VecEnv(VecEnv):
    """The adapter.

    Args:
        env: What is stepped.
        seed: Of the training seeds that episodes draw.
        repeat: Environment steps per action; the discrete changes are made in the first.
        multiplier: Charges misses beyond the target; None leaves the reward as it is.
        low: First training seed to draw.
        high: End of the training seeds to draw.

    Attributes:
        simulator_s: Seconds spent in `step` of the environments so far.
        finished: Metrics of the episodes that have ended.
    """

    def __init__(
        self,
        env: SageServeVectorEnv,
        seed: int,
        repeat: int = 1,
        multiplier: Multiplier | None = None,
        low: int = 0,
        high: int = TRAIN_SEEDS,
    ) -> None:
        self.env = env
        self.rng = np.random.default_rng(seed)
        self.repeat = repeat
        self.multiplier = multiplier
        self.low, self.high = low, high
        self.simulator_s = 0.0
        self.finished: list[dict[str, float]] = []
        self._actions: NDArray[Any] = np.zeros(0)
        self._changes = env.action_changes
        self._no_change = env.no_change
        self._sums = np.zeros((3, env.num_envs))  # reward, misses, misses allowed
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def _draw(self) -> list[int | None]:
        return [int(s) for s in self.rng.integers(self.low, self.high, self.num_envs)]

    def reset(self) -> Any:
        """Start new episodes everywhere."""
        self._sums[:] = 0.0
        self._lengths[:] = 0
        began = time.perf_counter()
        observation, _ = self.env.reset(seed=self._draw())
        self.simulator_s += time.perf_counter() - began
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions until `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step every environment ``repeat`` times and reset those that have ended."""
        began = time.perf_counter()
        actions, rewards = self._actions, np.zeros(self.num_envs)
        missed, allowed = np.zeros(self.num_envs), np.zeros(self.num_envs)
        for i in range(self.repeat):
            if i == 1 and self._changes.any():
                kept = np.where(self._changes, self._no_change, actions)
                actions = kept.astype(actions.dtype)
            observation, reward, _, over, infos = self.env.step(actions)
            rewards += reward
            missed += infos["cost"]
            allowed += infos["cost_budget"]
            if over.any():
                break
        self._sums += np.stack([rewards, missed, allowed])
        self._lengths += 1
        if self.multiplier is not None:
            rewards = rewards - self.multiplier.charge(missed, allowed)
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            observation = self._renew(observation, over, infos, each)
        self.simulator_s += time.perf_counter() - began
        return observation, rewards.astype(np.float32), over.copy(), each

    def _renew(
        self,
        observation: Any,
        over: NDArray[np.bool_],
        infos: dict[str, Any],
        each: list[dict[str, Any]],
    ) -> Any:
        metrics = infos["episode_metrics"]
        for i in np.flatnonzero(over):
            last = _row(observation, int(i))
            each[i] = {
                "terminal_observation": last,
                "TimeLimit.truncated": True,
                "episode": {"r": float(self._sums[0, i]), "l": int(self._lengths[i]), "t": 0.0},
            }
            self.finished.append({k: float(v[i]) for k, v in metrics.items() if k[0] != "_"})
            if self.multiplier is not None:
                self.multiplier.update(float(self._sums[1, i]), float(self._sums[2, i]))
            self._sums[:, i] = 0.0
            self._lengths[i] = 0
        fresh, _ = self.env.reset(seed=self._draw(), options={"reset_mask": over})
        return fresh

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the masks of discrete actions, [num_envs, sum of choices]."""
        return self.env.action_masks()

    # -- the rest of the interface --------------------------------------------------------------

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def _chosen(self, indices: int | Iterable[int] | None) -> list[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """Return an attribute of the environments."""
        return [getattr(self.env.envs[i], attr_name) for i in self._chosen(indices)]

    def set_attr(
        self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None
    ) -> None:
        """Set an attribute of the environments."""
        for i in self._chosen(indices):
            setattr(self.env.envs[i], attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the environments."""
        chosen = self._chosen(indices)
        return [
            getattr(self.env.envs[i], method_name)(*method_args, **method_kwargs) for i in chosen
        ]

    def has_attr(self, attr_name: str) -> bool:
        """Return whether the environments have an attribute."""
        return hasattr(self.env.envs[0], attr_name)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Return False for each: the environments are not wrapped."""
        return [False for _ in self._chosen(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the draw of training seeds."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        return [seed] * self.num_envs


def make_sb3(env_id: str, num_envs: int = 8, seed: int = 0, **keywords: Any) -> Sb3VecEnv:
    """Return environments of an id, stepped by threads, for Stable-Baselines3.

    Args:
        env_id: One of the package's ids, with or without ``sageserve_env:`` before it.
        num_envs: Number of environments.
        seed: Of the training seeds that episodes draw.
        **keywords: Arguments of `SageServeVectorEnv` and `SageServeEnv`.

    Raises:
        ValueError: If the id is none of the package's; the message names the nearest.
    """
    name = env_id.removeprefix("sageserve_env:")
    if name not in IDS:
        message = unknown_key_message(env_id, list(IDS), "make_sb3: env_id")
        raise ValueError(message.replace("unknown key", "unknown value"))
    return Sb3VecEnv(SageServeVectorEnv(num_envs, **{**IDS[name], **keywords}), seed)


def _row(observation: Any, i: int) -> Any:
    if isinstance(observation, dict):
        return {key: value[i].copy() for key, value in observation.items()}
    return observation[i].copy()
