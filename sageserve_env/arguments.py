"""Checks of what is given to the environment beside actions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from sageserve_env._config import unknown_key_message
from sageserve_env.scenario import Scenario

RESET_OPTIONS = ("trace_seed",)
LARGEST_SEED = 2**63 - 1  # infos and rows of results hold seeds in 64 bits


def unknown_keyword_message(key: str, valid: Sequence[str], where: str) -> str:
    """Return what Python says of an unexpected keyword, naming the nearest valid one."""
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    hint = f". Did you mean '{near[0]}'?" if near else f" (valid: {', '.join(valid)})"
    return f"{where} got an unexpected keyword argument '{key}'{hint}"


def adjusted(
    scenario: Scenario, decision_interval_s: float | None, horizon_s: float | None
) -> Scenario:
    """Return the scenario with another decision interval or horizon."""
    changes: dict[str, Any] = {}
    if decision_interval_s is not None:
        changes["decision_interval_s"] = decision_interval_s
    if horizon_s is not None:
        changes["horizon_s"] = horizon_s
    return scenario.replace(**changes) if changes else scenario


def checked_flag(value: Any, key: str) -> bool:
    """Return a truth value.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{key}: expected True or False, got {value!r}")
    return bool(value)


def checked_seed(seed: Any, key: str = "reset: seed") -> int | None:
    """Return a seed as a Python integer, or None.

    Raises:
        ValueError: If it is not a whole number from 0 to `LARGEST_SEED`.
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"{key}: expected a whole number >= 0, got {seed!r}")
    if seed > LARGEST_SEED:
        raise ValueError(f"{key}: expected a whole number of at most {LARGEST_SEED}, got {seed}")
    return int(seed)


def checked_options(options: Any) -> dict[str, Any]:
    """Return the options of a reset as a dictionary of their own.

    Raises:
        ValueError: If they are no mapping.
    """
    if not isinstance(options, (Mapping, type(None))):
        raise ValueError(f"reset: options: expected a dict, got {options!r}")
    return dict(options or {})


def forced_trace_seed(options: dict[str, Any] | None) -> int | None:
    """Return the trace seed that the options of a reset force, or None.

    Raises:
        ValueError: If an option is unknown or the seed not one that `checked_seed` takes.
    """
    options = checked_options(options)
    for key in options:
        if key not in RESET_OPTIONS:
            raise ValueError(unknown_key_message(str(key), list(RESET_OPTIONS), "reset: options"))
    return checked_seed(options.get("trace_seed"), "reset: trace_seed")


class WritableSpec:
    """Keeps how Gymnasium made an environment in a form that ``EnvSpec.to_json`` can write.

    Paths become text and arrays lists; the environments take both forms.
    """

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """How Gymnasium made the environment."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else replace(spec, kwargs=_plain(spec.kwargs))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
