"""Forecasters by name."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import Clock
from sageserve_agents.parameters import nearest
from sageserve_agents.planner.forecast.base import Forecaster

FORECASTERS: dict[str, str] = {
    "seasonal-naive": "seasonal:SeasonalNaive",
    "ridge": "ridge:Ridge",
    "arima": "arima:Arima",
    "perfect": "perfect:Perfect",
}
"""Name to ``module:Class`` within this package."""

SMOOTH_S = 1200.0  # (A) time to either side over which `SeasonalNaive` averages by default


def make_forecaster(
    name: str,
    clock: Clock | None = None,
    interactive: NDArray[np.bool_] | None = None,
    **settings: Any,
) -> Forecaster:
    """Return an unfitted forecaster.

    Args:
        name: One of `FORECASTERS`.
        clock: The calendar of time 0.
        interactive: Interactive tiers, bool [K].
        **settings: Settings of the forecaster's constructor.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in FORECASTERS:
        raise nearest(name, FORECASTERS, "forecaster")
    module, _, cls = FORECASTERS[name].partition(":")
    loaded = importlib.import_module(f"sageserve_agents.planner.forecast.{module}")
    made: Forecaster = getattr(loaded, cls)(clock, interactive, **settings)
    return made
