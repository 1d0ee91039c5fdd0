"""`SageServeVectorEnv`: many environments, stepped by threads in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from sageserve_env.action_modes import element_of
from sageserve_env.arguments import WritableSpec, checked_options, checked_seed, forced_trace_seed
from sageserve_env.env import SageServeEnv
from sageserve_env.named import Named
from sageserve_env.observe import Observation
from sageserve_env.team import Team

Result = tuple[Any, Any, bool, bool, dict[str, Any]]


class SageServeVectorEnv(WritableSpec, gym.vector.VectorEnv[Observation, Any, Any]):
    """N environments with the same arguments, each with its own seed.

    Simulation runs in kernels without the GIL, so threads use several cores without the cost of
    processes. Results equal those of N single environments (and of ``SyncVectorEnv``) bit for bit,
    whatever the number of threads and the autoreset mode:

    * next-step, as is Gymnasium's default: the step after a truncated one ignores the action,
      resets, and returns reward 0;
    * same-step: the truncated step resets at once; ``infos["final_obs"]`` and
      ``infos["final_info"]`` have what the episode ended with;
    * disabled: reset what has ended with the option ``reset_mask``.

    Args:
        num_envs: Number of environments.
        threads: Number of threads; default is one per core, at most ``num_envs``.
        autoreset_mode: An ``AutoresetMode`` of Gymnasium or its value, ``NextStep`` (default),
            ``SameStep`` or ``Disabled``.
        max_episode_steps: Truncate episodes after that many steps, as ``TimeLimit`` does.
        **keywords: Arguments of `SageServeEnv`.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is unusable.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as the base class declares it
        **SageServeEnv.metadata,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        **keywords: Any,
    ) -> None:
        for key, value in (
            ("num_envs", num_envs),
            ("threads", threads),
            ("max_episode_steps", max_episode_steps),
        ):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= 1):
                raise ValueError(f"{key}: expected a whole number of at least 1, got {value!r}")
        modes = [mode.value for mode in AutoresetMode]
        if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
            raise ValueError(
                f"autoreset_mode: expected one of {', '.join(modes)}, got {autoreset_mode!r}"
            )
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**SageServeEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.max_episode_steps = max_episode_steps
        self.envs = [SageServeEnv(**keywords) for _ in range(num_envs)]
        for env in self.envs:  # the team makes traces when it has time
            env.simulator.read_ahead = False
            env.simulator.threads = 1
        first = self.envs[0]
        self.num_envs = num_envs
        self.threads = min(num_envs, threads or _cores())
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, num_envs)
        self.action_space = batch_space(first.action_space, num_envs)
        self.observation_names = first.observation_names
        self.action_names = first.action_names
        self.action_changes = first.action_changes
        self.no_change = first.no_change
        self._observations = np.zeros((num_envs, first.layout.size), dtype=np.float32)
        self._ended = np.zeros(num_envs, dtype=np.bool_)
        self._steps = [0] * num_envs
        self._results: list[Result | None] = [None] * num_envs
        self._team = Team(self.envs, self.threads)
        self._share_observations()

    def _share_observations(self) -> None:
        """Let every environment observe into its row of one array."""
        for env, row in zip(self.envs, self._observations, strict=True):
            env.observe_into(row)

    # -- step and reset -------------------------------------------------------------------------

    def step(self, actions: Any) -> tuple[Observation, Any, Any, Any, dict[str, Any]]:
        """Step every environment.

        Args:
            actions: An element of ``action_space``.

        Raises:
            ValueError: If it is not one; nothing has changed then.
        """
        each = list(iterate(self.action_space, self._checked(actions)))
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise gym.error.ResetNeeded("reset what has ended with the option reset_mask")
        finals: list[dict[str, Any] | None] = [None] * self.num_envs
        again: list[int] = []  # those that reset at the end of the step

        def done(i: int) -> None:
            observation, reward, terminated, truncated, info = self.envs[i].end_step()
            self._steps[i] += 1
            truncated = truncated or self._steps[i] == self.max_episode_steps
            self._results[i] = (observation, reward, terminated, truncated, info)
            if truncated and self.autoreset_mode == AutoresetMode.SAME_STEP:
                finals[i] = {"final_obs": observation, "final_info": info}
                again.append(i)

        def rest(i: int) -> None:
            env = self.envs[i]
            zero = np.zeros(env.reward_dim, np.float32) if env.reward.vector else 0.0
            observation, info = env.reset()
            self._results[i] = (observation, zero, False, False, info)
            self._steps[i] = 0

        def reset(i: int) -> None:
            observation, info = self.envs[i].reset()
            self._results[i] = (observation, *self._results[i][1:4], info)  # type: ignore[index]
            self._steps[i] = 0

        self._team.each(rest, np.flatnonzero(self._ended))
        self._team.step(np.flatnonzero(~self._ended), each, done)
        self._team.each(reset, again)
        results = [r for r in self._results if r is not None]
        rewards = np.array([r[1] for r in results])
        truncated = np.array([r[3] for r in results])
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        self._ended = np.zeros_like(truncated) if same_step else truncated.copy()
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        infos = self._joined([r[4] for r in results])
        for i, final in enumerate(finals):
            if final is not None:
                infos = self._add_info(infos, final, i)
                for key, value in final["final_info"].items():
                    if isinstance(value, Named):
                        found = infos["final_info"]
                        found[key] = Named(value.names, found[key])
        return self._present(), rewards, terminated, truncated, infos

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset every environment.

        Args:
            seed: One per environment, or the first of consecutive ones, or None.
            options: Options of `SageServeEnv.reset`; ``reset_mask``, bool [num_envs], resets only
                the environments it marks.

        Raises:
            ValueError: If seeds or options do not fit; nothing has changed then.
        """
        options = checked_options(options)
        mask = options.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        right = isinstance(mask, np.ndarray) and mask.dtype == np.bool_
        if not right or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask: expected a bool array of shape ({self.num_envs},)")
        forced_trace_seed(options)
        seeds = self._seeds(seed)
        infos: list[dict[str, Any]] = [{} for _ in self.envs]

        def run(i: int) -> None:
            if mask[i]:
                self._steps[i] = 0
                infos[i] = self.envs[i].reset(seed=seeds[i], options=dict(options))[1]

        self._team.each(run, range(self.num_envs))
        self._ended &= ~mask
        if mask.all():
            return self._present(), self._joined(infos)
        merged: dict[str, Any] = {}
        for i in np.flatnonzero(mask):
            merged = self._add_info(merged, infos[i], int(i))
        return self._present(), merged

    def _seeds(self, seed: Any) -> list[int | None]:
        """Return a seed for every environment."""
        if not isinstance(seed, (list, tuple, np.ndarray)):
            first = checked_seed(seed)
            return [
                None if first is None else checked_seed(first + i) for i in range(self.num_envs)
            ]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: expected {self.num_envs} seeds, got {len(seed)}")
        return [checked_seed(one) for one in seed]

    def _checked(self, actions: Any) -> Any:
        """Return the actions with the types of the space, before any environment has seen them."""
        space = self.action_space
        taken = element_of(space, actions, self.envs[0].clip_actions)
        if taken is None:
            shape = getattr(actions, "shape", None)
            dtype = getattr(actions, "dtype", type(actions).__name__)
            raise ValueError(
                f"actions: expected an element of {space}, got {dtype} of shape {shape}, or with "
                "values outside it"
            )
        return taken

    def _present(self) -> Observation:
        """Return the observations of all environments, copied."""
        if isinstance(self.single_observation_space, gym.spaces.Dict):
            return self.envs[0].layout.split(self._observations)
        return self._observations.copy()

    def _joined(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        """Join infos that all have the same keys, with the masks that Gymnasium adds."""
        joined: dict[str, Any] = {}
        for key, first in infos[0].items():
            each = np.array([info[key] for info in infos])
            joined[key] = Named(first.names, each) if isinstance(first, Named) else each
            joined[f"_{key}"] = np.ones(self.num_envs, dtype=np.bool_)
        return joined

    # -- looking --------------------------------------------------------------------------------

    @property  # type: ignore[misc]
    def np_random(self) -> Any:
        """The random generators of the environments."""
        return tuple(env.np_random for env in self.envs)

    @property
    def np_random_seed(self) -> Any:
        """The seeds of the random generators."""
        return tuple(env.np_random_seed for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return ``name`` of every environment, called if it is a method."""
        found = [getattr(env, name) for env in self.envs]
        return tuple(f(*args, **kwargs) if callable(f) else f for f in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of every environment."""
        return tuple(getattr(env, name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment, from a list of values or one for all."""
        each = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"{name}: expected {self.num_envs} values, got {len(each)}")
        for env, value in zip(self.envs, each, strict=True):
            env.set_wrapper_attr(name, value)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the masks of discrete actions, [num_envs, sum of choices]."""
        return np.stack([env.action_masks() for env in self.envs])

    def render(self) -> tuple[Any, ...] | None:
        """Return the frames of all environments."""
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads and close the windows."""
        self._team.close()
        for env in self.envs:
            env.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads out."""
        return {**self.__dict__, "_team": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Share the observations again."""
        self.__dict__.update(state)
        self._team = Team(self.envs, self.threads)
        rows = self._observations.copy()
        self._share_observations()
        self._observations[:] = rows


def _cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
