"""GPU VM types and their prices (list prices of 2026-11; DOMAIN.md section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sageserve_env._config import ScenarioError


@dataclass(frozen=True)
class GpuType:
    """One kind of VM; an instance of a model occupies a whole VM.

    Attributes:
        name: Identifier used in scenarios and arrays.
        gpus_per_vm: Number of GPUs, the factor from VM-hours to GPU-hours.
        memory_bytes: Memory of all GPUs of the VM.
        price_usd_per_hour: On-demand price of the VM.
        spot_price_usd_per_hour: What a donated (spot) VM-hour is worth.
    """

    name: str
    gpus_per_vm: int
    memory_bytes: float
    price_usd_per_hour: float
    spot_price_usd_per_hour: float

    def __post_init__(self) -> None:
        """Check the values."""
        if self.gpus_per_vm < 1:
            raise ScenarioError(f"gpu {self.name}: gpus_per_vm must be at least 1")
        if not 0 < self.memory_bytes < math.inf:
            raise ScenarioError(f"gpu {self.name}: memory_bytes must be positive and finite")
        for key in ("price_usd_per_hour", "spot_price_usd_per_hour"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ScenarioError(f"gpu {self.name}: {key} must be at least 0 and finite")


# Prices: 8xA100-80GB VM $32.77, 8xH100 VM $98 per hour; H100 spot 50-65 % below on-demand, taken
# as 57.5 % for all types (our assumption (A) for A100 and H200). Our sources have no price of an
# 8xH200 VM: $130 is our assumption (A). Slices (x1, x4) cost their share of the VM (A; a single
# A100-80GB is listed at $3.67, within 12 % of it).
_SPOT_FRACTION = 0.425
_WHOLE_VMS = (("a100-80gb", 80e9, 32.77), ("h100-80gb", 80e9, 98.0), ("h200-141gb", 141e9, 130.0))

GPUS: dict[str, GpuType] = {
    f"{family}-x{gpus}": GpuType(
        name=f"{family}-x{gpus}",
        gpus_per_vm=gpus,
        memory_bytes=gpus * memory_bytes,
        price_usd_per_hour=price_usd * gpus / 8,
        spot_price_usd_per_hour=price_usd * gpus / 8 * _SPOT_FRACTION,
    )
    for family, memory_bytes, price_usd in _WHOLE_VMS
    for gpus in (8, 4, 1)
}
