"""One-step look-ahead with snapshots: try a few actions, keep the best, go on.

A tree search does the same more deeply: ``snapshot()`` copies the whole simulation, ``restore()``
returns to it bit for bit. Note what this is: the simulator that is tried is the one that answers
afterwards, with the same requests, so this planner is clairvoyant for one interval.

    python examples/look_ahead.py
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from sageserve_env import SageServeEnv, load_scenario

DEPTH = 20  # intervals an action is tried for: a new VM needs ten minutes


def value(env: SageServeEnv, action: np.ndarray) -> float:
    """Return the reward of keeping ``action`` for `DEPTH` intervals; the episode stays put."""
    here = env.snapshot()
    total = 0.0
    for _ in range(DEPTH):
        _, reward, _, truncated, _ = env.step(action)
        total += float(reward)
        if truncated:
            break
    env.restore(here)
    return total


def episode(seed: int, look_ahead: bool) -> float:
    """Return the reward of an episode with or without look-ahead."""
    busy = load_scenario("trap-base").replace(workload={"scale": 1.5})
    env = gym.make("SageServe-Hour-v1", scenario=busy, control="scaling").unwrapped
    assert isinstance(env, SageServeEnv)
    env.reset(seed=seed)
    size = env.action_space.shape
    actions = [np.full(size, level, np.float32) for level in (-1.0, 0.0, 0.5, 1.0)]
    action, total, truncated, step = actions[1], 0.0, False, 0
    while not truncated:
        if look_ahead and step % 5 == 0:
            action = max(actions, key=lambda a: value(env, a))
        _, reward, _, truncated, _ = env.step(action)
        total += float(reward)
        step += 1
    return total


if __name__ == "__main__":
    for seed in range(3):
        fixed, planned = episode(seed, False), episode(seed, True)
        print(f"seed {seed}: initial fleet {fixed:8.3f}   look-ahead {planned:8.3f}")
