"""A model of one's own: measured or estimated profiles as YAML that a scenario takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import GPUS, GpuType, LatencyProfile
from sageserve_env.catalogue.gpus import SLICES, slice_name
from sageserve_env.catalogue.roofline import kv_tokens
from sageserve_env.catalogue.tables import Device, ModelFacts, devices, model_facts
from sageserve_validation.fitting.closed_loops import SPREAD, Instance, fit_group
from sageserve_validation.fitting.least_squares import Spread
from sageserve_validation.fitting.measurements import Measurement, engine_batching
from sageserve_validation.fitting.replica import Rules
from sageserve_validation.fitting.shape import Physics

ENGINES = ("vllm", "trtllm", "sglang")


def known_model(name: str) -> ModelFacts:
    """Return a model of ``models.csv``.

    Raises:
        UserError: If there is none of that name.
    """
    if name not in model_facts():
        raise UserError(
            f"no model {name!r} with known sizes; there are {', '.join(model_facts())}; "
            "give the sizes of another one as options"
        )
    return model_facts()[name]


def known_slice(name: str) -> tuple[Device, int, GpuType]:
    """Return the GPU, their number and the VM type of a slice such as ``h100x2``.

    Raises:
        UserError: If it is no slice of the catalogue.
    """
    found = {slice_name(device, n): (device, n) for device in devices() for n in SLICES}
    if name not in found:
        raise UserError(f"no VM type {name!r}; slices are {', '.join(found)}")
    device, gpus = found[name]
    return devices()[device], gpus, GPUS[name]


def fit_own(
    rows: Sequence[Measurement], facts: ModelFacts, slice_: str, budget: int
) -> tuple[LatencyProfile, dict[str, float]]:
    """Fit the profile of one instance to measurements of one's own.

    Returns:
        The profile, and its median errors of TPOT and TTFT.

    Raises:
        UserError: If no row is usable or the weights do not fit the memory.
    """
    device, gpus, _ = known_slice(slice_)
    usable = tuple(row for row in rows if not row.saturated)
    capacity = kv_tokens(facts, device, gpus)
    if not usable:
        raise UserError("every row is saturated (TTFT above 10 s): measure at fewer clients")
    longest = max(row.prompt_tokens + row.output_tokens for row in usable)
    if capacity <= longest:
        raise UserError(
            f"{slice_} holds {capacity} KV tokens beside {facts.weights_gb:g} GB of weights, "
            f"and a request has {longest}: name a larger VM type with --vm"
        )
    rules = Rules.of(engine_batching(facts.engine, budget), capacity)
    instance = Instance(gpus, Physics.of(facts, device, gpus), rules, usable)
    level = tuple(2.0 * s for s in SPREAD.level)  # the data sheet says less about other engines
    (fitted,) = fit_group([instance], Spread(level, SPREAD.slope, SPREAD.own))
    tpot, ttft = instance.errors(fitted)
    errors = {"tpot_median_abs_rel": tpot, "ttft_median_abs_rel": ttft, "rows": len(usable)}
    source = (
        f"fit of {len(usable)} measurements, {facts.engine}, {facts.precision}: median error "
        f"TPOT {tpot:.1%}, TTFT {ttft:.1%}"
    )
    return dataclasses.replace(fitted, source=source), errors


def model_yaml(facts: ModelFacts, profiles: dict[str, LatencyProfile]) -> str:
    """Return ``custom_models`` with one model, for a scenario file."""
    entry = {
        "name": facts.name,
        "weights_bytes": float(round(facts.weights_gb * 1e9)),
        "kv_bytes_per_token": facts.kv_bytes_per_token,
        "max_context_tokens": facts.max_context_tokens,
        "profiles": {vm: _plain(profile) for vm, profile in profiles.items()},
    }
    return yaml.safe_dump({"custom_models": [entry]}, sort_keys=False, width=96)


def _plain(profile: LatencyProfile) -> dict[str, Any]:
    """Return the fields of a profile that differ from their defaults."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(profile):
        value = getattr(profile, field.name)
        if value == field.default:
            continue
        if isinstance(value, tuple):
            value = [[float(x), float(f"{s:.6g}")] for x, s in value]
        elif isinstance(value, float):
            value = float(f"{value:.6g}")
        found[field.name] = value
    return found
