"""From rates to requests: counts per minute, places inside the minute, tokens.

The unit of generation is a block of ten simulated minutes with its own random numbers, so that
neither the size of a chunk nor where reading starts changes any request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import latents
from .traffic import FloatArray, Traffic, clipped_lognormal_moments

BLOCK_MIN = 10

_COLUMNS = ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")


def day_counts(seed: int, day: int, rates: FloatArray) -> npt.NDArray[np.int64]:
    """Draw the requests per minute of a day, ``int64 [1440, class, model]``.

    Poisson given the rate (our assumption (A)): what minutes vary by beyond that is the AR(1)
    noise, whose size was measured on series of minutes.
    """
    rng = latents.stream(latents.COUNTS, seed, day)
    counts: npt.NDArray[np.int64] = rng.poisson(rates.sum(axis=3))
    return counts


def block_rows(
    traffic: Traffic,
    seed: int,
    block: int,
    counts: npt.NDArray[np.int64],
    region_cdf: FloatArray,
) -> Mapping[str, npt.NDArray[Any]]:
    """Generate the requests of a block, sorted by arrival.

    Args:
        traffic: Law of the workload.
        seed: Trace seed.
        block: Number of the block from the midnight before time 0; negative in the past.
        counts: Requests per minute ``[minutes, class, model]``.
        region_cdf: Cumulative region shares without the last ``[minutes, class, model, region-1]``.

    Returns:
        Columns of a trace; arrivals in seconds from the start of the block.
    """
    from . import row_kernels as kernels  # compiled when the first requests are made

    columns = kernels.draw(
        latents.stream(latents.ROWS, seed, block),
        counts,
        np.ascontiguousarray(region_cdf),
        traffic.arrival_cv,
        traffic.iwf_share,
        *(traffic.prompt_mu, traffic.prompt_sigma, float(traffic.prompt_max)),
        *(traffic.output_mu, traffic.output_sigma, float(traffic.output_max)),
    )
    return dict(zip(_COLUMNS, columns, strict=True))


def to_tokens(log_tokens: FloatArray, most: int) -> npt.NDArray[np.int32]:
    """Turn log tokens into whole tokens, 1 to ``most``. Overwrites its argument."""
    np.exp(log_tokens, out=log_tokens)
    np.clip(log_tokens, 1, most, out=log_tokens)
    np.rint(log_tokens, out=log_tokens)
    return log_tokens.astype(np.int32)


def day_history(
    traffic: Traffic, seed: int, day: int, rates: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw a past day as sums: requests, prompt and output tokens ``[1440, M, R, tier]``.

    Given n requests a token sum is a gamma variable with the mean and the variance of the sum of n
    clipped lognormals (our assumption (A): right in the first two moments and never negative).
    """
    rng = latents.stream(latents.HISTORY, seed, day)
    share = traffic.tier_of_class
    requests = np.empty((*rates.shape[:1], *rates.shape[2:], share.shape[1]))
    prompt = np.empty_like(requests)
    output = np.empty_like(requests)
    for k in range(share.shape[1]):
        c = int(np.argmax(share[:, k]))
        n = rng.poisson(rates[:, c] * share[c, k]).astype(np.float64)
        requests[..., k] = n
        for total, mu, sigma, most in (
            (prompt, traffic.prompt_mu, traffic.prompt_sigma, traffic.prompt_max),
            (output, traffic.output_mu, traffic.output_sigma, traffic.output_max),
        ):
            moments = np.array(
                [
                    clipped_lognormal_moments(float(a), float(b), most)
                    for a, b in zip(mu[c], sigma[c], strict=True)
                ]
            )
            mean, sd = moments[:, 0, None], moments[:, 1, None]  # [M, 1] over the regions
            total[..., k] = _token_sum(rng, n, mean, sd)
    return requests, prompt, output


def _token_sum(
    rng: np.random.Generator, n: FloatArray, mean: FloatArray, sd: FloatArray
) -> FloatArray:
    shape = n * (mean / sd) ** 2
    total: FloatArray = rng.standard_gamma(shape) * (sd**2 / mean)
    return np.maximum(np.rint(total), n)  # at least one token per request
