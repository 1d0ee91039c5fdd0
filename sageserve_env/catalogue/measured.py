"""Latency profiles of modern engines, by VM type: fitted to measurements, or estimated.

``data/profiles.csv`` has one row per (model, GPU, tensor parallel) with measurements behind it.
Where a model has none for a slice that holds its weights, the profile is the roofline estimate; its
``source`` begins with ``estimate``. Other engines of the same model have measured profiles only.
"""

from __future__ import annotations

from sageserve_env.catalogue.gpus import SLICES, slice_name
from sageserve_env.catalogue.profiles import LatencyProfile
from sageserve_env.catalogue.roofline import estimate, fits
from sageserve_env.catalogue.tables import (
    PASS_TOKENS,
    Measured,
    ModelFacts,
    devices,
    measured,
    model_facts,
)

SOURCE = "fit of measurements of aiconfigurator (data/SOURCES.md)"


def profile_of(row: Measured) -> LatencyProfile:
    """Return the profile of a row of ``data/profiles.csv``."""
    facts = model_facts()[row.model]
    points = zip(PASS_TOKENS, row.pass_ms, strict=True)
    return LatencyProfile(
        prefill_base_s=row.prefill_ms / 1e3,
        prefill_per_token2_s=row.attention_ms / 1e3,
        decode_per_sequence_s=row.sequence_ms / 1e3,
        decode_per_context_token_s=row.context_ms / 1e3,
        pass_table=tuple((float(tokens), ms / 1e3) for tokens, ms in points),
        frontend_s=row.frontend_ms / 1e3,
        source=f"{SOURCE}; {facts.engine}, {facts.precision}, {row.rows} rows",
    )


def measured_profiles(model: str) -> dict[str, LatencyProfile]:
    """Return the profiles of a model of ``data/models.csv`` by VM type."""
    facts = model_facts()[model]
    profiles = {}
    for device in devices().values():
        for gpus in SLICES:
            row = measured().get((model, device.name, gpus))
            if row is not None:
                profiles[slice_name(device.name, gpus)] = profile_of(row)
            elif _is_first(facts) and fits(facts, device, gpus):
                profiles[slice_name(device.name, gpus)] = estimate(facts, device, gpus)
    return profiles


def _is_first(facts: ModelFacts) -> bool:
    """Whether this is the first engine listed for its model and precision."""
    same = (facts.family, facts.precision)
    return facts is next(f for f in model_facts().values() if (f.family, f.precision) == same)


def is_estimate(profile: LatencyProfile) -> bool:
    """Whether no measurement stands behind a profile."""
    return profile.source.startswith("estimate")
