"""The least fleet: what the minimum counts of a scenario hold all the time."""

from __future__ import annotations

import numpy as np

from sageserve_env.scenario import Scenario

_HOUR_S = 3600.0


def least_fleet_usd(scenario: Scenario) -> float:
    """Return the price of the least fleet over an episode, each instance on its cheapest VM."""
    s = scenario
    price = np.where(s.usable, s.endpoint_usd_per_hour, np.inf).min(axis=1)  # [E]
    price = np.where(np.isfinite(price), price, 0.0)
    hourly = float(price.sum()) * s.min_instances
    for model in s.models:
        own = [price[i] for i, e in enumerate(s.endpoints) if e.model == model and price[i] > 0]
        missing = s.min_per_model - s.min_instances * len(own)
        if own and missing > 0:
            hourly += missing * float(min(own))
    return hourly * s.horizon_s / _HOUR_S
