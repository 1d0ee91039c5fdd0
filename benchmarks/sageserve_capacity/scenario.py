"""The cluster in which a user's traffic is played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sageserve_capacity.fleet import Placed, gpus_of
from sageserve_capacity.inspect import is_batch
from sageserve_env.capacity import measure_theta
from sageserve_env.catalogue import GPUS, GpuType
from sageserve_env.options import TierConfig
from sageserve_env.scenario import RegionConfig, Scenario, load_scenario
from sageserve_traces.trace import RequestTrace

BATCH_S = 12 * 3600.0
"""Time in which an answer that nobody waits for must be complete (A)."""

MISS_USD = 0.008
ROOM = 4
"""VMs at hand over what the busiest quarter of an hour needs (A): no answer is to be cut off."""

PEAK_S = 900.0


def make_scenario(
    placed: Sequence[Placed],
    regions: Sequence[str],
    tiers: Sequence[str],
    *,
    ttft_s: float,
    target: float,
    prices: Mapping[str, float],
    name: str,
) -> Scenario:
    """Return the cluster, with one VM of each type in each region (see `with_room`).

    Starts, batching and order of work are those of ``global-day``.

    Args:
        placed: The models.
        regions: Names.
        tiers: Names.
        ttft_s: Promise to who waits: seconds to the first token.
        target: Share of requests that must be in time.
        prices: Dollars per GPU-hour by device.
        name: Of the scenario.
    """
    vms = list(dict.fromkeys(one.vm for one in placed))
    counts = dict.fromkeys(vms, 1)
    return load_scenario("global-day").replace(
        name=name,
        description=f"traffic of {name}",
        regions=tuple(RegionConfig(region, counts) for region in regions),
        round_trips_s=(),
        models=tuple(one.name for one in placed),
        gpus=tuple(vms),
        custom_models=tuple(one.model for one in placed),
        custom_gpus=tuple(_priced(vm, prices) for vm in vms if _device(vm) in prices),
        tiers=tuple(_tier(tier, ttft_s, target) for tier in tiers),
        initial_instances=1,
        workload={"trace": "o365", "scale": 1.0, "subset": True},
    )


def with_room(
    scenario: Scenario, placed: Sequence[Placed], load: NDArray[np.float64], fleet_gpus: int = 0
) -> Scenario:
    """Return the cluster with `ROOM` times the VMs of the busiest quarter of an hour.

    Args:
        scenario: From `make_scenario`.
        placed: The models.
        load: Instances that each model needs in each region then, [M, R].
        fleet_gpus: GPUs that have to find room wherever they stand.
    """
    regions = []
    for r, region in enumerate(scenario.regions):
        counts = dict.fromkeys(scenario.gpus, 0)
        for m, one in enumerate(placed):
            counts[one.vm] += int(np.ceil(ROOM * load[m, r])) + ROOM
        for vm in counts:
            counts[vm] = max(counts[vm], fleet_gpus // gpus_of(vm))
        regions.append(RegionConfig(region.name, counts))
    return scenario.replace(regions=tuple(regions))


def sustained(
    scenario: Scenario, trace: RequestTrace, *, promised: bool = True
) -> NDArray[np.float64]:
    """Return prompt tokens per second that one instance of each model sustains, [M].

    Args:
        scenario: The cluster.
        trace: The requests.
        promised: At a load at which it keeps the promise when it is alone; otherwise with work
            always waiting, of which no fleet does more per instance.
    """
    judged = scenario if promised else scenario.replace(slo_scale=1.0)  # no flat promise
    theta = measure_theta(judged, lambda m: trace.token_mix(trace.models.index(scenario.models[m])))
    runs = np.argmax(scenario.compatible, axis=1)
    return np.array([theta[m, g] for m, g in enumerate(runs)])


def load_of(
    scenario: Scenario, trace: RequestTrace, theta: NDArray[np.float64], *, waiting: bool
) -> NDArray[np.float64]:
    """Return instances that the arrivals need, by quarter of an hour, [T, M, R].

    Args:
        scenario: The cluster.
        trace: The requests, in its names.
        theta: See `sustained`.
        waiting: Only requests that somebody waits for.
    """
    demand = trace.demand(PEAK_S)
    tokens = demand.prompt_tokens  # [T, M, R, K]
    if waiting:
        keep = [k for k, tier in enumerate(scenario.tiers) if tier.interactive]
        tokens = tokens[..., keep]
    order = [demand.models.index(name) for name in scenario.models]
    load: NDArray[np.float64] = tokens.sum(axis=3)[:, order] / PEAK_S / theta[:, None]
    return load


def _tier(name: str, ttft_s: float, target: float) -> TierConfig:
    if is_batch(name):
        return TierConfig(
            name,
            BATCH_S,
            objective="completion",
            interactive=False,
            target=0.99,
            priority=1,
            miss_usd=MISS_USD,
        )
    return TierConfig(name, ttft_s, target=target, miss_usd=MISS_USD)


def _priced(vm: str, prices: Mapping[str, float]) -> GpuType:
    known = GPUS[vm]
    usd = known.gpus_per_vm * prices[_device(vm)]
    return GpuType(vm, known.gpus_per_vm, known.memory_bytes, usd)


def _device(vm: str) -> str:
    return vm.rpartition("x")[0]
