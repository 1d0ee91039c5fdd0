"""A Gymnasium environment of a multi-region GPU cluster that serves LLM requests.

Importing the package registers the environment ids; everything else is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sageserve_env.registration import IDS, register_envs

if TYPE_CHECKING:
    from sageserve_env.actions import ClusterAction
    from sageserve_env.env import SageServeEnv
    from sageserve_env.pettingzoo_env import parallel_env
    from sageserve_env.scenario import Scenario, list_scenarios, load_scenario
    from sageserve_env.vector_env import SageServeVectorEnv
    from sageserve_env.view import ClusterView

_HOME = {
    "ClusterAction": "sageserve_env.actions",
    "ClusterView": "sageserve_env.view",
    "SageServeEnv": "sageserve_env.env",
    "SageServeVectorEnv": "sageserve_env.vector_env",
    "Scenario": "sageserve_env.scenario",
    "list_scenarios": "sageserve_env.scenario",
    "load_scenario": "sageserve_env.scenario",
    "parallel_env": "sageserve_env.pettingzoo_env",
}

__all__ = [
    "IDS",
    "ClusterAction",
    "ClusterView",
    "SageServeEnv",
    "SageServeVectorEnv",
    "Scenario",
    "list_scenarios",
    "load_scenario",
    "parallel_env",
    "register_envs",
]

register_envs()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
