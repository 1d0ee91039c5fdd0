"""`sageserve fidelity hardware`: the measured profiles of the catalogue against measurements.

Each row is simulated in the product's kernel: as many clients in closed loop as the row had, with
its prompt and output lengths, under the batching rules of its engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sageserve_env.catalogue import GPUS, MODELS, LatencyProfile
from sageserve_env.catalogue.gpus import slice_name
from sageserve_env.catalogue.tables import measured, model_facts
from sageserve_validation.fidelity.closed_loop import closed_loop, one_instance
from sageserve_validation.fitting.measurements import Measurement, engine_batching

UNKNOWN = "no measured profile for this number of GPUs"
SATURATED = "saturated: TTFT above 10 s"
UNFINISHED = "does not fit the memory"


@dataclass(frozen=True)
class Compared:
    """One row, measured and simulated."""

    row: Measurement
    ttft_s: float
    tpot_s: float

    @property
    def ttft_error(self) -> float:
        """Absolute relative error of the mean TTFT."""
        return abs(self.ttft_s / self.row.ttft_s - 1.0)

    @property
    def tpot_error(self) -> float:
        """Absolute relative error of the mean TPOT."""
        return abs(self.tpot_s / self.row.tpot_s - 1.0)


def simulate(row: Measurement, profile: LatencyProfile, budget_tokens: int) -> Compared:
    """Simulate a row with a profile of its instance and a token budget."""
    batching = engine_batching(model_facts()[row.model].engine, budget_tokens)
    batching = dataclasses.replace(batching, max_sequences=row.sequences)
    gpu = GPUS[slice_name(row.device, row.gpus)]
    model = dataclasses.replace(MODELS[row.model], profiles={gpu.name: profile})
    prompt, output = row.lengths()
    scenario = one_instance(model, gpu, batching)
    ttft_s, e2e_s = closed_loop(scenario, row.clients, prompt, output)
    tpot_s = (e2e_s - ttft_s) / np.maximum(output - 1, 1)
    return Compared(row, float(ttft_s.mean()), float(tpot_s.mean()))


def packaged(row: Measurement) -> tuple[LatencyProfile, int]:
    """Return the profile of the catalogue for a row, and the token budget it was fitted under."""
    profile = MODELS[row.model].profiles[slice_name(row.device, row.gpus)]
    return profile, measured()[row.model, row.device, row.gpus].budget_tokens


def reason_to_skip(row: Measurement) -> str:
    """Return why a row is not simulated, or an empty text."""
    if (row.model, row.device, row.gpus) not in measured():
        return UNKNOWN
    return SATURATED if row.saturated else ""


def compare(
    rows: Iterable[Measurement], left_out: dict[str, int]
) -> tuple[list[Compared], dict[str, int]]:
    """Simulate the rows; return what was compared, and how many were left out for which reason."""
    done: list[Compared] = []
    skipped = dict(left_out)
    for row in rows:
        reason = reason_to_skip(row)
        if not reason:
            compared = simulate(row, *packaged(row))
            if np.isfinite(compared.ttft_s) and np.isfinite(compared.tpot_s):
                done.append(compared)
            else:
                reason = UNFINISHED
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
    return done, skipped


def figures(done: Sequence[Compared]) -> dict[str, Any]:
    """Return the errors of a group of rows, as fractions."""
    tpot = np.array([c.tpot_error for c in done])
    ttft = np.array([c.ttft_error for c in done])
    return {
        "tpot_median_abs_rel": float(np.median(tpot)),
        "tpot_p90_abs_rel": float(np.quantile(tpot, 0.9)),
        "ttft_median_abs_rel": float(np.median(ttft)),
        "ttft_p90_abs_rel": float(np.quantile(ttft, 0.9)),
        "rows": len(done),
    }


def report(done: Sequence[Compared], skipped: dict[str, int]) -> dict[str, Any]:
    """Return the figures over all rows, per model, per GPU and per profile."""
    groups = {
        "models": [c.row.model for c in done],
        "gpus": [c.row.device for c in done],
        "profiles": [f"{c.row.model} {slice_name(c.row.device, c.row.gpus)}" for c in done],
    }
    result: dict[str, Any] = figures(done) | {
        "skipped": sum(skipped.values()),
        "skipped_because": skipped,
    }
    for key, names in groups.items():
        result[key] = {
            name: figures([c for c, own in zip(done, names, strict=True) if own == name])
            for name in sorted(set(names))
        }
    return result
