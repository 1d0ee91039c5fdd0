"""From rates to requests: counts per minute, places inside the minute, tokens.

The unit of generation is a block of ten simulated minutes with its own random numbers, so that
neither the size of a chunk nor where reading starts changes any request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import o365_latents as latents
from . import o365_tables as tables

FloatArray = npt.NDArray[np.float64]
BLOCK_MIN = 10

_CLASSES, _MODELS = tables.BASE_RPS.shape


def day_counts(seed: int, day: int, rates: FloatArray) -> npt.NDArray[np.int64]:
    """Draw the requests per minute of a day, ``int64 [1440, class, model]``.

    Poisson given the rate (our assumption (A)): what minutes vary by beyond that is the AR(1)
    noise, whose size was measured on series of minutes.
    """
    rng = latents.stream(latents.COUNTS, seed, day)
    counts: npt.NDArray[np.int64] = rng.poisson(rates.sum(axis=3))
    return counts


def block_rows(
    seed: int,
    block: int,
    counts: npt.NDArray[np.int64],
    region_cdf: FloatArray,
) -> Mapping[str, npt.NDArray[Any]]:
    """Generate the requests of a block, sorted by arrival.

    Args:
        seed: Trace seed.
        block: Number of the block from the midnight before time 0; negative in the past.
        counts: Requests per minute ``[minutes, class, model]``.
        region_cdf: Cumulative region shares without the last ``[minutes, class, model, region-1]``.

    Returns:
        Columns of a trace; arrivals in seconds from the start of the block.
    """
    rng = latents.stream(latents.ROWS, seed, block)
    per_segment = counts.ravel()  # minute-major: each minute has one sorted run per (class, model)
    arrival, order = _places(rng, counts)
    n = len(arrival)
    classes = np.arange(per_segment.size) // _MODELS % _CLASSES
    models = (np.arange(per_segment.size) % _MODELS).astype(np.int16)
    interactive = np.repeat(classes == tables.IW, per_segment)
    uniform = rng.random(n)
    region = np.zeros(n, dtype=np.int16)
    for edge in np.moveaxis(region_cdf, 3, 0):
        region += uniform >= np.repeat(edge.ravel(), per_segment)
    tier = np.full(n, 2, dtype=np.int16)
    tier[interactive] = rng.random(int(interactive.sum())) >= tables.IWF_SHARE
    prompt = rng.standard_normal(n)
    prompt *= tables.PROMPT_SIGMA
    prompt += np.repeat(tables.PROMPT_MU[classes], per_segment)
    output = rng.standard_normal(n)
    output *= tables.OUTPUT_SIGMA
    output += tables.OUTPUT_MU
    columns = {
        "model": np.repeat(models, per_segment),
        "region": region,
        "tier": tier,
        "prompt_tokens": to_tokens(prompt, tables.PROMPT_MAX),
        "output_tokens": to_tokens(output, tables.OUTPUT_MAX),
    }
    return {"arrival_s": arrival[order], **{key: col[order] for key, col in columns.items()}}


def to_tokens(log_tokens: FloatArray, most: int) -> npt.NDArray[np.int32]:
    """Turn log tokens into whole tokens, 1 to ``most``. Overwrites its argument."""
    np.exp(log_tokens, out=log_tokens)
    np.clip(log_tokens, 1, most, out=log_tokens)
    np.rint(log_tokens, out=log_tokens)
    return log_tokens.astype(np.int32)


def _places(
    rng: np.random.Generator, counts: npt.NDArray[np.int64]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Place the requests of each (minute, class, model) as a gamma renewal process.

    n requests are separated by n + 1 gamma gaps scaled to fill the minute; the shape 1 / CV^2 is
    that of the class. Returns times in segment order and the order that sorts them.
    """
    minutes = counts.shape[0]
    per_segment = counts.ravel()
    places = np.empty(int(per_segment.sum()))
    starts = np.concatenate([[0], np.cumsum(per_segment)])
    is_class = np.broadcast_to(np.arange(_CLASSES)[None, :, None], counts.shape).ravel()
    minute_s = 60.0 * np.repeat(np.arange(minutes), counts[0].size)
    for c in range(_CLASSES):
        segments = np.flatnonzero((is_class == c) & (per_segment > 0))
        n = per_segment[segments]
        if not len(n):
            continue
        total = rng.standard_gamma(1 / tables.ARRIVAL_CV[c] ** 2, int(n.sum() + len(n)))
        np.cumsum(total, out=total)
        last = np.cumsum(n + 1) - 1  # the gap that ends each minute
        high = total[last]
        low = np.concatenate([[0.0], high[:-1]])
        keep = np.ones(len(total), dtype=bool)
        keep[last] = False
        inside = total[keep]
        inside -= np.repeat(low, n)
        inside *= np.repeat(60.0 / (high - low), n)
        inside += np.repeat(minute_s[segments], n)
        rows = np.arange(len(inside)) + np.repeat(starts[segments] - (np.cumsum(n) - n), n)
        places[rows] = inside
    # Stable, so that ties (gaps of CV 3 are often tiny) fall the same way on every machine; the
    # input is a sequence of sorted runs, which the merge sort takes as they are.
    return places, np.argsort(places, kind="stable")


def day_history(
    seed: int, day: int, rates: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw a past day as sums: requests, prompt and output tokens ``[1440, M, R, tier]``.

    Given n requests a token sum is a gamma variable with the mean and the variance of the sum of n
    clipped lognormals (our assumption (A): right in the first two moments and never negative).
    """
    rng = latents.stream(latents.HISTORY, seed, day)
    tiers = tables.TIER_OF_CLASS.shape[1]
    requests = np.empty((*rates.shape[:1], *rates.shape[2:], tiers))
    prompt = np.empty_like(requests)
    output = np.empty_like(requests)
    out = tables.clipped_lognormal_moments(tables.OUTPUT_MU, tables.OUTPUT_SIGMA, tables.OUTPUT_MAX)
    for k in range(tiers):
        c = int(np.argmax(tables.TIER_OF_CLASS[:, k]))
        n = rng.poisson(rates[:, c] * tables.TIER_OF_CLASS[c, k]).astype(np.float64)
        moments = tables.clipped_lognormal_moments(
            float(tables.PROMPT_MU[c]), tables.PROMPT_SIGMA, tables.PROMPT_MAX
        )
        requests[..., k] = n
        prompt[..., k] = _token_sum(rng, n, *moments)
        output[..., k] = _token_sum(rng, n, *out)
    return requests, prompt, output


def _token_sum(rng: np.random.Generator, n: FloatArray, mean: float, sd: float) -> FloatArray:
    shape = n * (mean / sd) ** 2
    total: FloatArray = rng.standard_gamma(shape) * (sd**2 / mean)
    return np.maximum(np.rint(total), n)  # at least one token per request
