"""What a trace is like: rates, burstiness, tokens, shares. One pass, whatever its length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .source import TraceSource

_MOST_TOKENS = 1 << 20  # longer ones are counted as this long
PERCENTILES = (50, 90, 99)


def summarise(source: TraceSource) -> dict[str, Any]:
    """Read a source once and describe it.

    Returns:
        Name, calendar and length; ``requests``, mean and peak rates per second (over minutes);
        ``arrival_cv``, the coefficient of variation of the gaps between requests (1 for a Poisson
        process); ``shares`` by model, region and tier; and per tier the request rate and the
        percentiles and means of prompt and output tokens.
    """
    tiers = len(source.tiers)
    counts = [np.zeros(len(names), dtype=np.int64) for names in _names(source).values()]
    tokens = [[np.zeros(1, dtype=np.int64) for _ in range(tiers)] for _ in range(2)]
    gaps = np.zeros(3)  # number, sum, sum of squares
    minutes = np.zeros(1, dtype=np.int64)
    last = None
    for chunk in source.chunks():
        for total, codes in zip(counts, (chunk.model, chunk.region, chunk.tier), strict=True):
            total += np.bincount(codes, minlength=len(total))
        for kind, values in enumerate((chunk.prompt_tokens, chunk.output_tokens)):
            for k in range(tiers):
                seen = np.bincount(np.minimum(values[chunk.tier == k], _MOST_TOKENS))
                tokens[kind][k] = _add(tokens[kind][k], seen)
        minutes = _add(minutes, np.bincount((chunk.arrival_s // 60).astype(np.int64)))
        arrival = chunk.arrival_s if last is None else np.append(last, chunk.arrival_s)
        gap = np.diff(arrival)
        gaps += (len(gap), gap.sum(), np.square(gap).sum())
        last = arrival[-1:]
    requests = int(counts[0].sum())
    duration = source.duration_s
    mean_gap = gaps[1] / gaps[0] if gaps[0] else 0.0
    variance = max(gaps[2] / gaps[0] - mean_gap**2, 0.0) if gaps[0] else 0.0
    return {
        "name": source.name,
        "split": source.split,
        "duration_s": duration,
        "start_weekday": source.start_weekday,
        "start_hour_utc": source.start_hour_utc,
        "requests": requests,
        "requests_per_s": requests / duration if duration else 0.0,
        "peak_minute_requests_per_s": float(minutes.max()) / 60,
        "arrival_cv": float(np.sqrt(variance) / mean_gap) if mean_gap else 0.0,
        "shares": {
            key: {
                name: float(count / requests) if requests else 0.0
                for name, count in zip(names, total, strict=True)
            }
            for (key, names), total in zip(_names(source).items(), counts, strict=True)
        },
        "tiers": {
            name: {
                "requests": int(counts[2][k]),
                "requests_per_s": float(counts[2][k] / duration) if duration else 0.0,
                "prompt_tokens": _distribution(tokens[0][k]),
                "output_tokens": _distribution(tokens[1][k]),
            }
            for k, name in enumerate(source.tiers)
        },
    }


def _names(source: TraceSource) -> dict[str, tuple[str, ...]]:
    return {"models": source.models, "regions": source.regions, "tiers": source.tiers}


def _add(total: npt.NDArray[np.int64], more: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(total) < len(more):
        total, more = more.copy(), total
    total[: len(more)] += more
    return total


def _distribution(histogram: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return mean and percentiles (the smallest value with that share at or below it)."""
    n = int(histogram.sum())
    if not n:
        return {}
    cumulative = np.cumsum(histogram)
    values = {"mean": float(histogram @ np.arange(len(histogram)) / n)}
    for percent in PERCENTILES:
        values[f"p{percent}"] = float(np.searchsorted(cumulative, n * percent / 100))
    return values
