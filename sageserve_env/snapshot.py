"""`EnvSnapshot`: a copy of an environment within an episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gymnasium.envs.registration import EnvSpec

from sageserve_env.simulator.simulator import Snapshot
from sageserve_env.workload import Workload


@dataclass(frozen=True)
class EnvSnapshot:
    """A copy of everything that decides how an episode goes on; can be pickled."""

    simulator: Snapshot
    workload: Workload
    steps: int
    totals: list[float]
    total_reward: float
    trace_seed: int
    random_state: dict[str, Any]


def rebuilt(
    cls: Callable[..., Any],
    keywords: dict[str, Any],
    spec: EnvSpec | None,
    snapshot: EnvSnapshot | None,
) -> Any:
    """Return an environment from what is pickled of it: arguments, within an episode a snapshot."""
    env = cls(**keywords)
    env.spec = spec
    if snapshot is not None:
        env.restore(snapshot)
    return env
