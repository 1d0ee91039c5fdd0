"""Small scenarios and traces whose results can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from sageserve_env.actions import ClusterAction
from sageserve_env.catalogue import GpuType, LatencyProfile, Model
from sageserve_env.options import TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.trace import RequestTrace

# prefill(T) = 0.1 + 0.001 T, decode = 0.05 + 0.01 n seconds: no quadratic and no context term
SIMPLE = LatencyProfile(0.1, 0.001, 0.0, 0.05, 0.01, 0.0)
TIERS = (
    TierConfig("IW-F", 1.0),
    TierConfig("IW-N", 60.0, priority=1),
    TierConfig("NIW", 86_400.0, "completion", False, 0.999, 2),
)


def scenario(
    *,
    vms: int = 4,
    regions: tuple[str, ...] = ("here",),
    models: tuple[str, ...] = ("m",),
    profile: LatencyProfile = SIMPLE,
    kv_tokens: int = 10_000,
    round_trip_s: float = 0.0,
    **changes: Any,
) -> Scenario:
    """Return a scenario of identical VMs without jitter and, by default, without a network."""
    trips = tuple(tuple(0.0 if a == b else round_trip_s for b in regions) for a in regions)
    batching = {
        "prefill_token_budget": 500,
        "max_output_tokens": 1000,
        **changes.pop("batching", {}),
    }
    values: dict[str, Any] = {
        "name": "small",
        "regions": tuple(RegionConfig(r, {"gpu": vms}) for r in regions),
        "models": models,
        "gpus": ("gpu",),
        "tiers": TIERS,
        "initial_instances": 1,
        "min_instances": 0,
        "horizon_s": 200_000.0,
        "lifecycle": {"jitter": 0.0},
        "round_trips_s": trips,
        "custom_models": tuple(
            Model(m, 1e9, 1.0, 100_000, {"gpu": profile}, float(kv_tokens)) for m in models
        ),
        "custom_gpus": (GpuType("gpu", 8, 80e9, 36.0, 18.0),),
        "batching": batching,
    }
    base = Scenario.from_dict({**values, **{k: v for k, v in changes.items() if k not in values}})
    nested = {k: v for k, v in changes.items() if k in values}
    return base.replace(**nested) if nested else base


def trace(
    rows: list[tuple[float, int, int]] | list[tuple[float, int, int, str]],
    of: Scenario,
    *,
    model: list[int] | None = None,
    region: list[int] | None = None,
) -> RequestTrace:
    """Return a trace of (arrival, prompt, output[, tier]) rows."""
    n = len(rows)
    tiers = [of.tier_names.index(r[3]) if len(r) > 3 else 0 for r in rows]  # type: ignore[misc]
    return RequestTrace(
        arrival_s=np.array([r[0] for r in rows], dtype=np.float64),
        model=np.array(model or [0] * n, dtype=np.int16),
        region=np.array(region or [0] * n, dtype=np.int16),
        tier=np.array(tiers, dtype=np.int16),
        prompt_tokens=np.array([r[1] for r in rows], dtype=np.int32),
        output_tokens=np.array([r[2] for r in rows], dtype=np.int32),
        models=of.models,
        regions=of.region_names,
        tiers=of.tier_names,
        duration_s=of.horizon_s,
    )


def simulator(
    of: Scenario, rows: Any, *, theta: float = 1000.0, seed: int = 0, **columns: Any
) -> Simulator:
    """Return a simulator at time 0 with records."""
    shape = (len(of.models), len(of.gpus))
    sim = Simulator(of, np.full(shape, theta), records=True)
    sim.reset(trace(rows, of, **columns), seed)
    return sim


def targets(sim: Simulator, *counts: int, **options: Any) -> None:
    """Set the target instances of each endpoint."""
    sim.apply(ClusterAction(np.array(counts, dtype=np.int64).reshape(-1, 1), **options))
