"""GPU VM types and their prices: whole VMs of the paper and slices of one cloud of 2026."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sageserve_env._config import ScenarioError
from sageserve_env.catalogue.tables import Device, devices

SPOT_SHARE = 0.425
"""Spot price over on-demand price where none is given: H100 spot is 50-65 % below on-demand
(docs/sources.md, "Prices"), taken as 57.5 % for all types (A)."""


@dataclass(frozen=True)
class GpuType:
    """One kind of VM; an instance of a model occupies a whole VM.

    Attributes:
        name: Identifier used in scenarios and arrays.
        gpus_per_vm: Number of GPUs, the factor from VM-hours to GPU-hours.
        memory_bytes: Memory of all GPUs of the VM.
        price_usd_per_hour: On-demand price of the VM.
        spot_price_usd_per_hour: What a donated (spot) VM-hour is worth; None takes the share of the
            on-demand price that `SPOT_SHARE` says.
    """

    name: str
    gpus_per_vm: int
    memory_bytes: float
    price_usd_per_hour: float
    spot_price_usd_per_hour: float = None  # type: ignore[assignment]  # see __post_init__

    def __post_init__(self) -> None:
        """Check the values; the spot price has a default."""
        if self.spot_price_usd_per_hour is None:
            spot = self.price_usd_per_hour * SPOT_SHARE
            object.__setattr__(self, "spot_price_usd_per_hour", spot)
        if self.gpus_per_vm < 1:
            raise ScenarioError(f"gpu {self.name}: gpus_per_vm must be at least 1")
        if not 0 < self.memory_bytes < math.inf:
            raise ScenarioError(f"gpu {self.name}: memory_bytes must be positive and finite")
        for key in ("price_usd_per_hour", "spot_price_usd_per_hour"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ScenarioError(f"gpu {self.name}: {key} must be at least 0 and finite")


# The paper's setting (docs/sources.md, "Prices"): 8xA100-80GB VM $32.77, 8xH100 VM $98 per hour.
_WHOLE_VMS = (("a100-80gb-x8", 80e9, 32.77), ("h100-80gb-x8", 80e9, 98.0))

#: GPUs in a slice: a VM type of n GPUs costs n GPU-hours and has n times the memory.
SLICES = (1, 2, 4, 8)


def slice_name(device: str, gpus: int) -> str:
    """Return the name of a VM type of the catalogue, such as ``h100x2``."""
    return f"{device}x{gpus}"


def _slice(device: Device, gpus: int) -> GpuType:
    return GpuType(
        name=slice_name(device.name, gpus),
        gpus_per_vm=gpus,
        memory_bytes=gpus * device.memory_gb * 1e9,
        price_usd_per_hour=gpus * device.usd_per_hour,
        spot_price_usd_per_hour=gpus * device.spot_usd_per_hour,
    )


GPUS: dict[str, GpuType] = {
    gpu.name: gpu
    for gpu in (
        *(GpuType(n, 8, 8 * m, usd, usd * SPOT_SHARE) for n, m, usd in _WHOLE_VMS),
        *(_slice(device, gpus) for device in devices().values() for gpus in SLICES),
    )
}
