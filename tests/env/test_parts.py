"""Environments whose models are simulated one by one equal those that simulate all in one loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env import SageServeVectorEnv
from sageserve_env.simulator import build
from tests.env.common import make

PAPER = "SageServe-Paper-v1"
STEPS = 40


def _history(threads: int | None, arrivals: int, patch: pytest.MonkeyPatch) -> list[Any]:
    """Return what random actions give in a single environment, or in two of a vector."""
    patch.setattr(build, "APART_FROM", arrivals)
    env: Any = (
        make(PAPER)
        if threads is None
        else SageServeVectorEnv(num_envs=2, threads=threads, scenario="o365-day")
    )
    env.reset(seed=3)
    env.action_space.seed(0)
    kept = []
    for _ in range(STEPS):
        observation, reward, *_ = env.step(env.action_space.sample())
        kept += [observation.tobytes(), np.asarray(reward).tobytes()]
    simulators = [env.simulator] if threads is None else [e.simulator for e in env.envs]
    kept += [repr(sim.episode_metrics()) for sim in simulators]
    assert all((sim.state.part_clock["now_s"].max() > 0) == (arrivals == 0) for sim in simulators)
    env.close()
    return kept


@pytest.mark.compiled
@pytest.mark.parametrize("threads", [None, 1, 2], ids=["single", "vector", "threads"])
def test_one_by_one_equals_together(threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _history(threads, 0, monkeypatch) == _history(threads, 1 << 40, monkeypatch)
