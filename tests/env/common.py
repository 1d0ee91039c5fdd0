"""Helpers of the environment's tests."""

from __future__ import annotations

import hashlib
from typing import Any

import gymnasium as gym
import numpy as np

import sageserve_env

IDS = sorted(sageserve_env.IDS)
TINY = "SageServe-Hour-v1"


def make(env_id: str = TINY, **keywords: Any) -> Any:
    """Return the environment without Gymnasium's wrappers."""
    return gym.make(env_id, **keywords).unwrapped


def play(env: Any, seed: int, steps: int, action_seed: int = 0) -> str:
    """Return a hash of what random actions give: observations, rewards, masks."""
    digest = hashlib.sha256()
    env.action_space.seed(action_seed)
    observation, info = env.reset(seed=seed)
    for _ in range(steps):
        absorb(digest, observation)
        observation, reward, _, truncated, info = env.step(env.action_space.sample())
        absorb(digest, np.float64(reward))
        absorb(digest, info.get("action_mask", np.zeros(0)))
        if truncated:
            break
    absorb(digest, observation)
    return digest.hexdigest()[:16]


def absorb(digest: Any, value: Any) -> None:
    """Add arrays, or dictionaries of them, to a hash."""
    if isinstance(value, dict):
        for key in sorted(value):
            absorb(digest, value[key])
    else:
        digest.update(np.ascontiguousarray(value).tobytes())
