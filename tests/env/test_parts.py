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


def _history(env: Any, *, one_by_one: bool) -> list[Any]:
    """Return what random actions give in an environment or a vector of them."""
    env.reset(seed=3)
    env.action_space.seed(0)
    kept = []
    for _ in range(STEPS):
        observation, reward, *_ = env.step(env.action_space.sample())
        kept += [observation.tobytes(), np.asarray(reward).tobytes()]
    for sim in [e.simulator for e in getattr(env, "envs", [env])]:
        assert (sim.state.part_clock["now_s"].max() > 0) == one_by_one
        kept.append(repr(sim.episode_metrics()))
    env.close()
    return kept


@pytest.mark.compiled
@pytest.mark.parametrize("model_threads", [1, 2])
@pytest.mark.parametrize("threads", [None, 1, 2], ids=["single", "vector", "threads"])
def test_one_by_one_equals_together(
    threads: int | None, model_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def history(arrivals: int) -> list[Any]:
        monkeypatch.setattr(build, "APART_FROM", arrivals)
        if threads is None:
            return _history(make(PAPER), one_by_one=arrivals == 0)
        vector = SageServeVectorEnv(num_envs=2, threads=threads, scenario="o365-day")
        return _history(vector, one_by_one=arrivals == 0)

    together = history(1 << 40)
    monkeypatch.setenv("SAGESERVE_MODEL_THREADS", str(model_threads))
    assert history(0) == together
