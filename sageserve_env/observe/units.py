"""What 1 stands for in the entries of a scenario's observation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.observe.features import UNITS
from sageserve_env.scenario import Scenario

Floats = NDArray[np.float64]


class Units:
    """The constants behind `sageserve_env.observe.features.UNITS`.

    Args:
        scenario: The cluster.
        theta: Sustained prompt tokens per second of one instance, [M, G].

    Attributes:
        unit_rate: Prompt tokens per second that a load of 1 stands for, [M, R]: theta of an equal
            share of the region's VMs.
    """

    def __init__(self, scenario: Scenario, theta: Floats) -> None:
        m, r = len(scenario.models), len(scenario.regions)
        usable = scenario.usable.astype(np.int64)  # [E, G]
        region = np.array([scenario.region_names.index(p.region) for p in scenario.endpoints])
        stock = scenario.inventory[region]  # [E, G]
        share = np.maximum(1.0, stock / (m * len(scenario.pools)))
        first_type = np.argmax(usable[:: len(scenario.pools)].reshape(m, r, -1), axis=2)  # [M, R]
        own_share = (share * usable).sum(axis=1).reshape(m, r, -1).sum(axis=2)  # [M, R]
        rate = theta[np.arange(m)[:, None], first_type] * np.maximum(1.0, own_share)
        self.unit_rate: Floats = np.maximum(1.0, rate)
        batch = [t.objective_s for t in scenario.tiers if not t.interactive]
        self._values: dict[str, Floats] = {
            "share": share,
            "start": np.array(max(1.0, float(scenario.start_s.max()))),
            "stock": np.maximum(1.0, scenario.inventory).astype(np.float64),
            "theta": self.unit_rate,
            "deadline": np.array(max(batch, default=1.0)),
        }

    def of(self, unit: float | str, at: dict[str, int]) -> float:
        """Return a unit at a place, given by the index along each axis."""
        if not isinstance(unit, str):
            return unit
        return float(self._values[unit][tuple(at[a] for a in UNITS[unit].axes)])
