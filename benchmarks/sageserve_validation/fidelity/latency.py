"""`sageserve fidelity latency`: the profiles of the catalogue against measured tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sageserve_env.catalogue import MODELS, LatencyProfile
from sageserve_validation.fidelity.tables import Measured

PREFILL_TARGET = 0.06
DECODE_TARGET = 0.02


def relative_errors(
    profile: LatencyProfile, rows: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |profile - measured| / measured of prefill and decode, one value per measurement."""
    prefilled = rows.dropna(subset="prefill_s")
    prefill = np.array([profile.prefill_s(tokens) for tokens in prefilled["batch_tokens"]])
    pairs = zip(rows["batch"], rows["context_tokens"], strict=True)
    decode = np.array([profile.decode_s(int(n), context) for n, context in pairs])
    return (
        np.abs(prefill / prefilled["prefill_s"].to_numpy() - 1.0),
        np.abs(decode / rows["decode_s"].to_numpy() - 1.0),
    )


def profile_report(profile: LatencyProfile, measured: Measured) -> dict[str, Any]:
    """Return the errors of one profile, as fractions.

    ``prefill_median_error`` and its like count each row of the tables once; those that end in
    ``_by_size`` count each prompt, batch and output size once (the median of its repetitions; for
    prefill each prompt size and batch).
    """
    report: dict[str, Any] = {"model": measured.model, "gpu": measured.gpu}
    prefill, decode = relative_errors(profile, measured.rows)
    prefill_sizes = measured.rows.groupby(
        ["prompt_tokens", "batch", "batch_tokens"], as_index=False
    )[["prefill_s", "decode_s"]].median()
    prefill_sizes["context_tokens"] = prefill_sizes["batch_tokens"]
    by_size, _ = relative_errors(profile, prefill_sizes)
    _, decode_by_size = relative_errors(profile, measured.sizes())
    for name, errors, suffix in (
        ("prefill", prefill, ""),
        ("decode", decode, ""),
        ("prefill", by_size, "_by_size"),
        ("decode", decode_by_size, "_by_size"),
    ):
        report[f"{name}_median_error{suffix}"] = float(np.median(errors))
        report[f"{name}_p90_error{suffix}"] = float(np.quantile(errors, 0.9))
    report["prefill_rows"], report["decode_rows"] = len(prefill), len(decode)
    report["source"] = profile.source
    return report


def latency_report(tables: list[Measured]) -> dict[str, Any]:
    """Compare every measured (model, VM type) with its profile in the catalogue."""
    profiles = [
        profile_report(MODELS[m.model].profiles[m.gpu], m)
        for m in tables
        if m.gpu in MODELS[m.model].profiles
    ]
    for row in profiles:
        row["within_target"] = (
            row["prefill_median_error"] <= PREFILL_TARGET
            and row["decode_median_error"] <= DECODE_TARGET
        )
    return {
        "prefill_target": PREFILL_TARGET,
        "decode_target": DECODE_TARGET,
        "a100_within_target": all(
            row["within_target"] for row in profiles if row["gpu"].startswith("a100")
        ),
        "profiles": profiles,
    }
