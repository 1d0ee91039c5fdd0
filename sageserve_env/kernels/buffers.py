"""The arrays of one environment that its kernels use: limits, scales, action, observation, sums.

Axes as in ``simulator/state.py``; further P pairs (endpoint, VM type) that can be scaled, A entries
of an action, N entries of an observation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.options import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.simulator._handle import Handle
from sageserve_env.simulator.summary import BYTES_PER_TOKEN

Array = np.ndarray[Any, Any]

SETTINGS = np.dtype(
    (
        np.record,
        [
            ("week_hour", "f8"),  # hours from Monday 00:00 UTC to time 0
            ("horizon_s", "f8"),
            ("redeploy_s", "f8"),
            ("deadline_s", "f8"),  # longest objective of a non-interactive tier
            ("transfer_usd_per_token", "f8"),
            ("max_sequences", "i8"),
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
TIER_SUMS = ("arrived", "completed", "attained", "missed")

_F8, _F4, _I8 = (np.dtype(t) for t in (np.float64, np.float32, np.int64))


class Buffers(Handle):
    """All arrays of one environment beside the simulator's state."""

    settings: Array  # SETTINGS [1]
    pair: Array  # i8 [P, 2]: endpoint and VM type
    low: Array  # i8 [P]: fewest instances
    centre: Array  # i8 [P]: what action 0 stands for, the initial fleet
    high: Array  # i8 [P]: most instances
    usable: Array  # i8 [E, G]: 1 where the model runs and the region has VMs
    share: Array  # f8 [E, G]: scale of counts, an equal share of the region's VMs
    unit_rate: Array  # f8 [M, R]: prompt tokens per second of such a share
    vms: Array  # f8 [R, G]: inventory, at least 1
    usd_per_s: Array  # f8 [G]: price of a VM
    batch_tier: Array  # i8 [K]: 1 for non-interactive tiers
    default_routing: Array  # f8 [M, R, R]: of the scenario's router
    observation: Array  # f4 [N]
    totals: Array  # f8 [len(SUMS) + len(TIER_SUMS) x K]
    service: Array  # f8 [E, 4]: scratch, see ``simulator/summary.py``
    queue: Array  # f8 [E, 3]: scratch: requests, sequences, prompt tokens
    ready: Array  # f8 [E, G]: scratch: seconds to the next pending instance
    free: Array  # i8 [R, G]: scratch: cold and spot VMs
    rates: Array  # f8 [5, 3]: scratch

    FIELDS = (
        ("settings", SETTINGS, 1),
        ("pair", _I8, 2),
        ("low", _I8, 1),
        ("centre", _I8, 1),
        ("high", _I8, 1),
        ("usable", _I8, 2),
        ("share", _F8, 2),
        ("unit_rate", _F8, 2),
        ("vms", _F8, 2),
        ("usd_per_s", _F8, 1),
        ("batch_tier", _I8, 1),
        ("default_routing", _F8, 3),
        ("observation", _F4, 1),
        ("totals", _F8, 1),
        ("service", _F8, 2),
        ("queue", _F8, 2),
        ("ready", _F8, 2),
        ("free", _I8, 2),
        ("rates", _F8, 2),
    )


def build_buffers(
    scenario: Scenario,
    theta: NDArray[np.float64],
    initial: NDArray[np.int64],
    default_routing: NDArray[np.float64],
    *,
    observation_size: int,
) -> Buffers:
    """Allocate the buffers of an environment and fill in what does not change.

    Args:
        scenario: The cluster.
        theta: Sustained prompt tokens per second of one instance, [M, G].
        initial: Initial fleet, [E, G].
        default_routing: Routing matrices of the scenario's router, [M, R, R].
        observation_size: Entries of the flat observation.
    """
    m, r, k = len(scenario.models), len(scenario.regions), len(scenario.tiers)
    e, g = initial.shape
    usable = usable_pairs(scenario)
    pair = np.ascontiguousarray(np.argwhere(usable > 0), dtype=np.int64)
    at = (pair[:, 0], pair[:, 1])
    region = np.array([scenario.region_names.index(p.region) for p in scenario.endpoints])
    stock = scenario.inventory[region]  # [E, G]
    most = np.iinfo(np.int64).max if scenario.max_instances is None else scenario.max_instances
    share = np.maximum(1.0, stock / (m * len(scenario.pools)))
    first_type = np.argmax(usable[:: len(scenario.pools)].reshape(m, r, g), axis=2)  # [M, R]
    of_model = np.arange(m)[:, None]
    pair_share = (share * usable).sum(axis=1).reshape(m, r, -1).sum(axis=2)  # [M, R]
    unit_rate = np.maximum(1.0, theta[of_model, first_type] * np.maximum(1.0, pair_share))
    return Buffers(
        settings=_settings(scenario),
        pair=pair,
        low=np.full(len(pair), scenario.min_instances if g == 1 else 0, dtype=np.int64),
        centre=np.ascontiguousarray(initial[at]),
        high=np.maximum(initial[at], np.minimum(stock[at], most)).astype(np.int64),
        usable=usable,
        share=share,
        unit_rate=unit_rate,
        vms=np.maximum(1.0, scenario.inventory).astype(np.float64),
        usd_per_s=np.array([p.price_usd_per_hour / 3600.0 for p in scenario.gpu_specs]),
        batch_tier=np.array([int(not t.interactive) for t in scenario.tiers]),
        default_routing=default_routing,
        observation=np.zeros(observation_size, dtype=np.float32),
        totals=np.zeros(len(SUMS) + len(TIER_SUMS) * k),
        service=np.zeros((e, 4)),
        queue=np.zeros((e, 3)),
        ready=np.zeros((e, g)),
        free=np.zeros((r, g), dtype=np.int64),
        rates=np.zeros((5, 3)),
    )


def usable_pairs(scenario: Scenario) -> NDArray[np.int64]:
    """Return 1 where an endpoint's model runs on a VM type that its region has, [E, G]."""
    return scenario.usable.astype(np.int64)


def _settings(scenario: Scenario) -> Array:
    settings = np.zeros(1, dtype=SETTINGS)
    gigabyte = BYTES_PER_TOKEN / 1e9
    none = np.iinfo(np.int64).max
    batch = [t.objective_s for t in scenario.tiers if not t.interactive]
    values: dict[str, float] = {
        "horizon_s": scenario.horizon_s,
        "redeploy_s": max(1.0, scenario.lifecycle.redeploy_s),
        "deadline_s": max(batch, default=1.0),
        "transfer_usd_per_token": gigabyte * scenario.routing.transfer_usd_per_gb,
        "max_sequences": scenario.batching.max_sequences,
        "router": ROUTERS.index(scenario.routing.router),
        "discipline": DISCIPLINES.index(scenario.batching.discipline),
        "release": scenario.niw.pull_below,
        "min_instances": scenario.min_instances,
        "max_instances": none if scenario.max_instances is None else scenario.max_instances,
    }
    for key, value in values.items():
        settings[0][key] = value
    return settings
