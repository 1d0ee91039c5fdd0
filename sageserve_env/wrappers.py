"""Wrappers that know the domain; everything general is Gymnasium's.

* `ActionRepeat`: decide less often than the environment steps;
* `Forecast`: a seasonal forecast of the demand in the observation;
* `Lagrangian`: the SLO as a constraint with an adapted multiplier;
* `LinearScalarisation`: a vector reward weighted to a scalar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from sageserve_env.env import SageServeEnv

StepResult = tuple[Any, Any, bool, bool, dict[str, Any]]
Floats = NDArray[np.float32]


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Repeat each action for a number of steps; rewards, terms and costs are summed.

    Changes of targets are made once: the repeats keep the targets, while all else stays as chosen.

    Args:
        env: A `SageServeEnv`, wrapped or not.
        steps: Decision intervals per action.

    Raises:
        ValueError: If ``steps`` is not a whole number of at least 1.
    """

    def __init__(self, env: gym.Env[Any, Any], steps: int) -> None:
        if not _whole(steps):
            raise ValueError(f"ActionRepeat: steps must be a whole number >= 1, got {steps!r}")
        RecordConstructorArgs.__init__(self, steps=steps)
        super().__init__(env)
        self.steps = steps
        core = _core(env)
        self._changes, self._no_change = core.action_changes, core.no_change
        self._dtype = core.action_space.dtype

    def step(self, action: Any) -> StepResult:
        """Repeat ``action``; the info is that of the last step, with sums of the terms."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        total: Any = reward
        terms = info["reward_terms"].copy()
        if self._changes.any():
            action = np.where(self._changes, self._no_change, action).astype(self._dtype)
        for _ in range(self.steps - 1):
            if truncated:
                break
            cost, budget = info["cost"], info["cost_budget"]
            observation, more, terminated, truncated, info = self.env.step(action)
            total = total + more
            terms += info["reward_terms"]
            info["cost"] += cost
            info["cost_budget"] += budget
        info["reward_terms"] = terms
        return observation, total, terminated, truncated, info


class Forecast(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Append a forecast of the interactive prompt load per (model, origin) to the observation.

    A day-seasonal naive forecast of what is known: the load of the next minutes is that of the
    same minutes one day (or, with enough history, one week) before, corrected by the ratio of the
    last 15 minutes to the same minutes then (between 1/2 and 2). Nothing of the future is used:
    the history is that which the trace gives of the time before the episode. Without a history the
    forecast is the present load.

    Args:
        env: A `SageServeEnv` with flat observations.
        minutes: How far ahead, one block of entries each; the mean from now to then.

    Raises:
        ValueError: If the observations are not flat, or a time is not a whole number >= 1.
    """

    def __init__(self, env: gym.Env[Any, Any], minutes: tuple[int, ...] = (15, 60)) -> None:
        RecordConstructorArgs.__init__(self, minutes=minutes)
        super().__init__(env)
        base = env.observation_space
        if not isinstance(base, gym.spaces.Box):
            raise ValueError("Forecast: needs observation_mode='flat'")
        if not isinstance(minutes, (tuple, list)) or not minutes or not all(map(_whole, minutes)):
            raise ValueError(
                f"Forecast: minutes: expected whole numbers >= 1 in a tuple, got {minutes!r}"
            )
        self.minutes = tuple(minutes)
        self._core = _core(env)
        scenario = self._core.scenario
        pairs = [f"{m}/{r}" for m in scenario.models for r in scenario.region_names]
        self.observation_names = self._core.observation_names + tuple(
            f"{pair}.forecast_{n}min" for n in minutes for pair in pairs
        )
        extra = np.full(len(pairs) * len(minutes), 4.0, dtype=np.float32)
        self.observation_space = gym.spaces.Box(
            np.concatenate([base.low, np.zeros_like(extra)]),
            np.concatenate([base.high, extra]),
            dtype=np.float32,
        )
        self._tiers = np.array([t.interactive for t in scenario.tiers])
        self._past = np.zeros((0, len(scenario.models), len(scenario.regions)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode and read the history of its trace."""
        observation, info = self.env.reset(seed=seed, options=options)
        tokens = self._core.history().prompt_tokens
        self._past = tokens[:, :, :, self._tiers].sum(axis=3)  # [T, M, R] per minute
        return self.observation(observation), info

    def observation(self, observation: Floats) -> Floats:
        """Return the observation with the forecast at its end."""
        past, lag = self._past, 1440
        state = self._core.simulator.state
        now = int(self._core.simulator.time_s // 60.0)  # minutes that are over
        seen = state.demand[:now, :, :, self._tiers, 1].sum(axis=3)  # prompt tokens per minute
        known = np.concatenate([past, seen])
        if len(known) >= 10_080:
            lag = 10_080
        parts = []
        for minutes in self.minutes:
            if len(known) < max(lag, 15):
                recent = known[-15:].mean(axis=0) if len(known) else np.zeros(past.shape[1:])
                parts.append(recent)
                continue
            first = len(known) - lag
            then = known[first : first + min(minutes, lag)].mean(axis=0)
            before = known[max(0, first - 15) : first].sum(axis=0)
            recent = known[-15:].sum(axis=0)
            ratio = np.divide(recent, before, out=np.ones_like(then), where=before > 0)
            parts.append(then * np.clip(ratio, 0.5, 2.0))
        unit = self._core.unit_rate * 60.0
        scaled = np.stack([np.minimum(4.0, part / unit) for part in parts])
        return np.concatenate([observation, scaled.ravel().astype(np.float32)])


class Multiplier:
    """The Lagrange multiplier of the service target, adapted at the end of episodes.

    Args:
        value: First charge of a miss beyond those allowed, in rewards per ``scale`` misses.
        rate: Step of its logarithm per unit of relative excess, which counts from -1 to 1.
        scale: Misses that one multiplier stands for (our assumption).
    """

    def __init__(self, value: float, rate: float, scale: float = 500.0) -> None:
        self.value, self.rate, self.scale = value, rate, scale

    def charge(self, missed: Any, allowed: Any) -> Any:
        """Return what the misses of a step cost; of one environment or of each of several."""
        return self.value * (missed - allowed) / self.scale

    def update(self, missed: float, allowed: float) -> None:
        """Move towards the target after an episode; the value stays from 0.001 to 1,000."""
        excess = float(np.clip(missed / max(allowed, 1.0) - 1.0, -1.0, 1.0))
        self.value = float(np.clip(self.value * np.exp(self.rate * excess), 1e-3, 1e3))


class Lagrangian(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Charge SLO violations with a multiplier that adapts until the targets are met.

    reward' = reward - multiplier x (misses - misses allowed) / ``scale``; at the end of an episode
    the multiplier's logarithm moves by ``rate`` x (misses / misses allowed - 1), by ``rate`` at
    the most. Use it with ``reward="constrained"``.

    Args:
        env: A `SageServeEnv`, wrapped or not.
        multiplier: Its first value, in rewards per ``scale`` misses.
        rate: Step size.
        scale: Misses that one multiplier stands for (A).

    Raises:
        ValueError: If a number is negative or not finite, or ``scale`` is 0.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        multiplier: float = 1.0,
        rate: float = 0.1,
        scale: float = 500.0,
    ) -> None:
        for name, value in (("multiplier", multiplier), ("rate", rate), ("scale", scale)):
            if not 0 <= value < np.inf or (name == "scale" and value == 0):
                raise ValueError(f"Lagrangian: {name}: expected a positive number, got {value!r}")
        RecordConstructorArgs.__init__(self, multiplier=multiplier, rate=rate, scale=scale)
        super().__init__(env)
        self._held = Multiplier(multiplier, rate, scale)
        self._missed = self._allowed = 0.0

    @property
    def multiplier(self) -> float:
        """The present multiplier."""
        return self._held.value

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the multiplier is kept."""
        self._missed = self._allowed = 0.0
        observation, info = self.env.reset(seed=seed, options=options)
        info["multiplier"] = np.float64(self.multiplier)
        return observation, info

    def step(self, action: Any) -> StepResult:
        """Step and charge the violations; ``info["multiplier"]`` says at which rate."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._missed += info["cost"]
        self._allowed += info["cost_budget"]
        charge = self._held.charge(info["cost"], info["cost_budget"])
        info["multiplier"] = np.float64(self.multiplier)
        if truncated:
            self._held.update(self._missed, self._allowed)
        return observation, float(reward) - charge, terminated, truncated, info


class LinearScalarisation(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Weigh the terms of a vector reward to a scalar.

    Args:
        env: A `SageServeEnv` with a vector reward.
        weights: Weight of each named term; terms that are not named weigh 1.

    Raises:
        ValueError: If the reward is not a vector or a name is not one of its terms.
    """

    def __init__(self, env: gym.Env[Any, Any], weights: Mapping[str, float]) -> None:
        RecordConstructorArgs.__init__(self, weights=dict(weights))
        super().__init__(env)
        reward = _core(env).reward
        if not reward.vector:
            raise ValueError("LinearScalarisation: needs reward='vector' or vector_reward=True")
        for name in weights:
            if name not in reward.names:
                raise ValueError(
                    f"LinearScalarisation: unknown term {name!r} (terms: {', '.join(reward.names)})"
                )
        self.weights = np.array([weights.get(name, 1.0) for name in reward.names])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        info["vector_reward"] = np.zeros(len(self.weights), dtype=np.float32)
        return observation, info

    def step(self, action: Any) -> StepResult:
        """Step; the vector is kept in ``info["vector_reward"]``."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["vector_reward"] = reward
        return observation, float(self.weights @ reward), terminated, truncated, info


def _whole(value: Any) -> bool:
    """Whether a value is a whole number of at least 1."""
    number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return number and bool(value >= 1)


def _core(env: gym.Env[Any, Any]) -> SageServeEnv:
    core = env.unwrapped
    if not isinstance(core, SageServeEnv):
        raise ValueError(f"expected a SageServeEnv inside, got {type(core).__name__}")
    return core
