"""The environment ids. Entry points are strings, so that registering imports nothing heavy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

ENTRY_POINT = "sageserve_env.env:SageServeEnv"
VECTOR_ENTRY_POINT = "sageserve_env.vector_env:SageServeVectorEnv"

#: What is played where no scenario is given.
DEFAULT_SCENARIO = "global-day"

#: Multiples of the load are learned faster than targets (docs/learning.md).
MULTIPLES = {"control": "scaling", "targets": "load"}

#: Beside the fleet, learners of `SageServe-Small-v1` have what calibrated agents have there.
SMALL_STACK = {"router_weights": {"running": 0.373}, "niw_release": 1.0}

IDS: dict[str, dict[str, Any]] = {
    "SageServe-v1": {"scenario": DEFAULT_SCENARIO},
    "SageServe-Discrete-v1": {"scenario": DEFAULT_SCENARIO, "action_mode": "discrete"},
    "SageServe-Scaling-v1": {"scenario": DEFAULT_SCENARIO, "control": "scaling"},
    "SageServe-Routing-v1": {"scenario": DEFAULT_SCENARIO, "control": "routing"},
    "SageServe-Hour-v1": {"scenario": "trap-base"},
    "SageServe-Tiny-v1": {"scenario": "tiny", **MULTIPLES},
    "SageServe-Small-v1": {"scenario": "small-day", **MULTIPLES, "policy": SMALL_STACK},
    "SageServe-Week-v1": {"scenario": "global-week"},
    "SageServe-Scarce-v1": {"scenario": "scarce-day"},
    "SageServe-Burst-v1": {"scenario": "burst-day"},
    "SageServe-Outage-v1": {"scenario": "outage-day"},
    "SageServe-Sessions-v1": {"scenario": "sessions-day"},
    "SageServe-Paper-v1": {"scenario": "o365-day"},
    "SageServe-PaperFull-v1": {"scenario": "o365-full-day"},
}


def register_envs() -> None:
    """Register every id; ids that are registered already are left alone."""
    for env_id, keywords in IDS.items():
        if env_id not in gym.registry:
            gym.register(
                id=env_id,
                entry_point=ENTRY_POINT,
                vector_entry_point=VECTOR_ENTRY_POINT,
                kwargs=dict(keywords),
            )
