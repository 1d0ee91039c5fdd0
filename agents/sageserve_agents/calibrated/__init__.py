"""Options calibrated to the targets of a scenario, shipped with the package.

One file per scenario, ``<scenario>.yaml``, written by ``sageserve calibrate --ship``:

    agents:
      ilp: {rho: 0.93, quantile: 0.9}

A variant of another scenario has ``like: <scenario>`` and takes what that one has; options beside
it are put over those, as where only a service knob was turned.

`sageserve_agents.make_agent` takes them where it is told the scenario; ``ilp:calibrated=no`` are
the options as they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@lru_cache(maxsize=64)
def calibrated(scenario: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the options by agent of a scenario; empty where none are shipped.

    Raises:
        ValueError: If its file is not of the form above.
    """
    data = _read(scenario)
    other = data.get("like")
    agents = data.get("agents", {} if not data or other else None)
    if not isinstance(agents, dict) or not all(isinstance(o, dict) for o in agents.values()):
        raise ValueError(f"{scenario}.yaml: expected agents with their options")
    below = calibrated(str(other)) if other else {}
    return {**below, **{name: {**below.get(name, {}), **own} for name, own in agents.items()}}


def calibrated_on(scenario: str) -> str:
    """Return the scenario whose options are shipped for a scenario: itself, or what it is like."""
    data = _read(scenario)
    return scenario if data.get("agents") else str(data.get("like", scenario))


def _read(scenario: str) -> dict[str, Any]:
    path = FOLDER / f"{scenario}.yaml"
    if path.parent != FOLDER or not path.is_file():
        return {}
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path.name}: expected agents with their options")
    return data
