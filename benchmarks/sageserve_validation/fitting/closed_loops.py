"""Profiles fitted to closed-loop measurements, a group of instances at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sageserve_env.catalogue import LatencyProfile
from sageserve_validation.fitting.least_squares import Residuals, Spread, fit_together
from sageserve_validation.fitting.measurements import Measurement
from sageserve_validation.fitting.replica import Rules, replay
from sageserve_validation.fitting.shape import Physics, profile

Floats = NDArray[np.float64]

TPOT_SCALE = 0.04
TTFT_SCALE = 0.08
"""Expected relative errors (our assumption): TTFT holds noise of clients and of warm-up."""

NEVER_S = 1e4
"""Stands for the TTFT of a request that a profile never serves."""

#: Parameters in the order of `shape.PARAMETERS`.
SPREAD = Spread(
    level=(0.7, 0.3, 1.0, 0.3, 1.0, 0.4, 1.0, 0.1),
    slope=(0.2, 0.15, 0.4, 0.15, 0.4, 0.2, 0.3, 0.05),
    own=(0.15, 0.08, 0.3, 0.12, 0.3, 0.15, 0.3, 0.02),
)


@dataclass(frozen=True)
class Instance:
    """An instance and its measurements.

    Attributes:
        gpus: Tensor-parallel GPUs.
        physics: What data sheets say.
        rules: Batching and memory.
        rows: Measurements that are not saturated.
    """

    gpus: int
    physics: Physics
    rules: Rules
    rows: tuple[Measurement, ...]

    @cached_property
    def _measured(self) -> tuple[Floats, Floats]:
        ttft = np.array([row.ttft_s for row in self.rows])
        return ttft, np.array([row.tpot_s for row in self.rows])

    def simulate(self, fitted: LatencyProfile) -> tuple[Floats, Floats]:
        """Return mean TTFT and TPOT of each row under a profile."""
        means = [closed_loop(fitted, self.rules, row) for row in self.rows]
        ttft, tpot = np.array(means).reshape(-1, 2).T
        return ttft, tpot

    def errors(self, fitted: LatencyProfile) -> tuple[float, float]:
        """Return the median absolute relative errors of TPOT and TTFT under a profile."""
        ttft, tpot = self.simulate(fitted)
        ttft_s, tpot_s = self._measured
        return (
            float(np.median(np.abs(tpot / tpot_s - 1.0))),
            float(np.median(np.abs(ttft / ttft_s - 1.0))),
        )

    def residuals(self, x: Floats) -> Floats:
        """Return scaled errors of TTFT and TPOT as logarithms."""
        ttft, tpot = self.simulate(profile(x, self.physics))
        ttft_s, tpot_s = self._measured
        return np.concatenate(
            [np.log(ttft / ttft_s) / TTFT_SCALE, np.log(tpot / tpot_s) / TPOT_SCALE]
        )


def closed_loop(fitted: LatencyProfile, rules: Rules, row: Measurement) -> tuple[float, float]:
    """Return mean TTFT and TPOT of a measurement under a profile."""
    prompt, output = row.lengths()
    rules = dataclasses.replace(rules, sequences=min(rules.sequences, row.sequences))
    ttft, e2e = replay(fitted, rules, np.zeros(0), prompt, output, row.clients)
    if np.isnan(e2e).any():
        return NEVER_S, NEVER_S
    return float(ttft.mean()), float(((e2e - ttft) / np.maximum(output - 1, 1)).mean())


def fit_group(instances: Sequence[Instance], spread: Spread = SPREAD) -> list[LatencyProfile]:
    """Fit the profiles of instances of one model, GPU and engine that differ in their GPUs."""
    z = np.log2([i.gpus for i in instances])
    functions: list[Residuals] = [i.residuals for i in instances]
    priors = [i.physics.prior() for i in instances]
    found = fit_together(functions, priors, list(z - z.mean()), spread)
    return [profile(x, i.physics) for x, i in zip(found, instances, strict=True)]
