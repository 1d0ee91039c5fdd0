"""The arrays of one environment that its kernels use: limits, action, mask, sums.

Axes as in ``simulator/state.py``; further P pairs (endpoint, VM type) that can be scaled, A entries
of an action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.simulator._handle import Handle
from sageserve_env.simulator.summary import BYTES_PER_TOKEN

Array = np.ndarray[Any, Any]

SETTINGS = np.dtype(
    (
        np.record,
        [
            ("transfer_usd_per_token", "f8"),
            ("router", "i8"),  # the scenario's
            ("discipline", "i8"),  # the scenario's
            ("release", "f8"),  # the scenario's
            ("min_instances", "i8"),
            ("max_instances", "i8"),
        ],
    ),
    align=True,
)

#: Columns of ``totals`` before the blocks of K tiers: see `SUMS`.
SUMS = ("vm_usd", "transfer_usd", "spot_hours")
#: Blocks of ``totals``, K columns each.
TIER_SUMS = ("arrived", "completed", "attained", "missed", "refused")

_F8, _I8 = (np.dtype(t) for t in (np.float64, np.int64))


class Buffers(Handle):
    """All arrays of one environment beside the simulator's state."""

    settings: Array  # SETTINGS [1]
    pair: Array  # i8 [P, 2]: endpoint and VM type
    low: Array  # i8 [P]: fewest instances
    centre: Array  # i8 [P]: what action 0 stands for, the initial fleet
    high: Array  # i8 [P]: most instances
    usable: Array  # i8 [E, G]: 1 where the model runs and the region has VMs
    usd_per_s: Array  # f8 [E, G]: price of a VM
    default_routing: Array  # f8 [M, R, R]: of the scenario's router
    totals: Array  # f8 [len(SUMS) + len(TIER_SUMS) x K]
    free: Array  # i8 [R, G]: scratch: cold and spot VMs

    FIELDS = (
        ("settings", SETTINGS, 1),
        ("pair", _I8, 2),
        ("low", _I8, 1),
        ("centre", _I8, 1),
        ("high", _I8, 1),
        ("usable", _I8, 2),
        ("usd_per_s", _F8, 2),
        ("default_routing", _F8, 3),
        ("totals", _F8, 1),
        ("free", _I8, 2),
    )


def build_buffers(
    scenario: Scenario,
    initial: NDArray[np.int64],
    default_routing: NDArray[np.float64],
) -> Buffers:
    """Allocate the buffers of an environment and fill in what does not change.

    Args:
        scenario: The cluster.
        initial: Initial fleet, [E, G].
        default_routing: Routing matrices of the scenario's router, [M, R, R].
    """
    r, k, g = len(scenario.regions), len(scenario.tiers), initial.shape[1]
    usable = usable_pairs(scenario)
    pair = np.ascontiguousarray(np.argwhere(usable > 0), dtype=np.int64)
    at = (pair[:, 0], pair[:, 1])
    region = np.array([scenario.region_names.index(p.region) for p in scenario.endpoints])
    stock = scenario.inventory[region]  # [E, G]
    most = np.iinfo(np.int64).max if scenario.max_instances is None else scenario.max_instances
    return Buffers(
        settings=_settings(scenario),
        pair=pair,
        low=np.full(len(pair), scenario.min_instances if g == 1 else 0, dtype=np.int64),
        centre=np.ascontiguousarray(initial[at]),
        high=np.maximum(initial[at], np.minimum(stock[at], most)).astype(np.int64),
        usable=usable,
        usd_per_s=scenario.endpoint_usd_per_hour / 3600.0,
        default_routing=default_routing,
        totals=np.zeros(len(SUMS) + len(TIER_SUMS) * k),
        free=np.zeros((r, g), dtype=np.int64),
    )


def usable_pairs(scenario: Scenario) -> NDArray[np.int64]:
    """Return 1 where an endpoint's model runs on a VM type that its region has, [E, G]."""
    return scenario.usable.astype(np.int64)


def _settings(scenario: Scenario) -> Array:
    settings = np.zeros(1, dtype=SETTINGS)
    gigabyte = BYTES_PER_TOKEN / 1e9
    none = np.iinfo(np.int64).max
    values: dict[str, float] = {
        "transfer_usd_per_token": gigabyte * scenario.routing.transfer_usd_per_gb,
        "router": ROUTERS.index(scenario.routing.router),
        "discipline": DISCIPLINES.index(scenario.batching.discipline),
        "release": scenario.niw.pull_below,
        "min_instances": scenario.min_instances,
        "max_instances": none if scenario.max_instances is None else scenario.max_instances,
    }
    for key, value in values.items():
        settings[0][key] = value
    return settings
