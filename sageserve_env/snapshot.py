"""`EnvSnapshot`: a copy of an environment within an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
