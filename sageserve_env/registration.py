"""The environment ids. Entry points are strings, so that registering imports nothing heavy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

ENTRY_POINT = "sageserve_env.env:SageServeEnv"
VECTOR_ENTRY_POINT = "sageserve_env.vector_env:SageServeVectorEnv"

IDS: dict[str, dict[str, Any]] = {
    "SageServe-v0": {"scenario": "o365-day"},
    "SageServe-Discrete-v0": {"scenario": "o365-day", "action_mode": "discrete"},
    "SageServe-Scaling-v0": {"scenario": "o365-day", "control": "scaling"},
    "SageServe-Routing-v0": {"scenario": "o365-day", "control": "routing"},
    "SageServe-Tiny-v0": {"scenario": "tiny"},
    "SageServe-Full-v0": {"scenario": "o365-full-day"},
    "SageServe-Week-v0": {"scenario": "o365-week"},
    "SageServe-Hetero-v0": {"scenario": "hetero-day"},
    "SageServe-Burst-v0": {"scenario": "burst-day"},
    "SageServe-Outage-v0": {"scenario": "outage-day"},
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
