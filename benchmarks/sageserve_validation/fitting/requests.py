"""A profile fitted to the times of single requests of one engine under open arrivals."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.catalogue import LatencyProfile
from sageserve_validation.fitting.least_squares import Spread, fit_together
from sageserve_validation.fitting.replica import Rules, replay
from sageserve_validation.fitting.shape import PARAMETERS, Physics, profile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCALES = (0.05, 0.02, 0.02)
"""Expected errors of TTFT, TPOT and E2E, as shares of their means (our assumption)."""

ROUGHLY = 15.0
"""A first fit takes errors this much lighter, to come near from afar."""

START = Physics(weights_s=12e-3, experts_s=12e-3, token_s=5e-5, context_s=8e-8, square_s=0.0)
START_X = np.log([3e-3, START.token_s, 5e-5, START.context_s, 3e-3, 0.25, 1e-3, 1.0])
"""Where fits begin: a model of 8e9 parameters on a card of 1 TB/s; and half and twice its times."""

FACTORS = (1.0, 0.5, 2.0)
SCALED = np.array([0.0 if name in ("experts", "weights") else 1.0 for name in PARAMETERS])
SQUARE_PER_TOKEN = 1.3e-5
"""Attention of a token to one before it, over its other computing: 32 layers of 4,096 and 8e9
parameters; prompts of these files are too short to fit it."""

_WIDE = (1.5, 1.5, 1.5, 1.5, 1.5, 1.0, 0.5, 1.0)
SPREAD = Spread(level=_WIDE, slope=(1e-3,) * len(PARAMETERS), own=(1e-3,) * len(PARAMETERS))


@dataclass(frozen=True)
class Requests:
    """Requests of one engine in order of arrival, and what became of them.

    Attributes:
        arrival_s: Seconds from the first arrival.
        prompt: Prompt tokens.
        output: Output tokens.
        ttft_s: Measured time to the first token.
        e2e_s: Measured time to the last token.
    """

    arrival_s: Floats
    prompt: Ints
    output: Ints
    ttft_s: Floats
    e2e_s: Floats

    def __len__(self) -> int:
        """Return their number."""
        return len(self.arrival_s)

    def tpot_s(self, ttft_s: Floats, e2e_s: Floats) -> Floats:
        """Return times per output token after the first."""
        result: Floats = (e2e_s - ttft_s) / np.maximum(self.output - 1, 1)
        return result


def fit_requests(requests: Requests, rules: Rules, known: NDArray[np.bool_]) -> LatencyProfile:
    """Fit a profile to the times of some of the requests.

    All requests are replayed, since those that come later slow those before them; the times of the
    others are not read.

    Args:
        requests: All requests.
        rules: Batching rules and memory of the engine.
        known: Which times may be read.
    """
    measured = (
        requests.ttft_s[known],
        requests.tpot_s(requests.ttft_s, requests.e2e_s)[known],
        requests.e2e_s[known],
    )
    units = [scale * values.mean() for scale, values in zip(SCALES, measured, strict=True)]
    best: tuple[float, LatencyProfile] | None = None
    for factor in FACTORS:
        physics = Physics(
            factor * START.weights_s,
            factor * START.experts_s,
            factor * START.token_s,
            factor * START.context_s,
            factor * SQUARE_PER_TOKEN * START.token_s,
        )
        prior = START_X + np.log(factor) * SCALED

        def residuals(x: Floats, physics: Physics = physics, units: list[float] = units) -> Floats:
            ttft, e2e = replay(
                profile(x, physics), rules, requests.arrival_s, requests.prompt, requests.output
            )
            simulated = (ttft[known], requests.tpot_s(ttft, e2e)[known], e2e[known])
            parts = [
                (own - their) / unit
                for own, their, unit in zip(simulated, measured, units, strict=True)
            ]
            return np.nan_to_num(np.concatenate(parts), nan=1e3)

        rough = functools.partial(residuals, units=[ROUGHLY * unit for unit in units])
        (x,) = fit_together([rough], [prior], [0.0], SPREAD, evaluations=60, step=0.15)
        (x,) = fit_together([residuals], [x], [0.0], SPREAD, evaluations=60, step=0.05)
        loss = float(np.sum(np.sqrt(1.0 + residuals(x) ** 2)))
        if best is None or loss < best[0]:
            best = loss, profile(x, physics, source="fit of per-request times")
    assert best is not None
    return best[1]
