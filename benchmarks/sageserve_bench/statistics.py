"""Statistics of comparisons with few runs: IQM, stratified bootstrap, paired differences.

After Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(NeurIPS 2021). Scores come as one array of runs per stratum (a stratum is a trace, a run a seed);
strata may have different numbers of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strata = Sequence[Floats]
Statistic = Callable[[Floats], Floats]  # over the last axis

TRIM = 0.25
LEVEL = 0.95
REPETITIONS = 2000


class Estimate(NamedTuple):
    """A figure with its confidence interval; the bounds are None where there is one run only."""

    value: float
    low: float | None
    high: float | None
    runs: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values."""
        return self._asdict()


def iqm(scores: Floats) -> float:
    """Return the interquartile mean: a quarter is cut off at either end, rounded down."""
    flat = np.ravel(np.asarray(scores, dtype=np.float64))
    return float(_iqm(flat)) if len(flat) else float("nan")


def _iqm(scores: Floats) -> Floats:
    ordered = np.sort(scores, axis=-1)
    count = ordered.shape[-1]
    cut = int(TRIM * count)
    middle: Floats = np.asarray(ordered[..., cut : count - cut].mean(axis=-1))
    return middle


def mean(scores: Floats) -> float:
    """Return the mean; NaN if there is nothing."""
    return float(np.mean(scores)) if np.size(scores) else float("nan")


def _mean(scores: Floats) -> Floats:
    middle: Floats = np.asarray(scores.mean(axis=-1))
    return middle


def estimate(
    strata: Strata,
    rng: np.random.Generator,
    statistic: Statistic = _iqm,
    repetitions: int = REPETITIONS,
) -> Estimate:
    """Return a statistic of all runs with its stratified bootstrap percentile interval.

    Args:
        strata: Runs of each stratum; each is resampled by itself.
        rng: Source of the resampling.
        statistic: Of the pooled runs, over the last axis; default is the IQM.
        repetitions: Bootstrap samples.
    """
    strata = [np.asarray(runs, dtype=np.float64) for runs in strata if len(runs)]
    if not strata:
        return Estimate(float("nan"), None, None, 0)
    pooled = np.concatenate(strata)
    value = float(statistic(pooled))
    if max(len(runs) for runs in strata) < 2:
        return Estimate(value, None, None, len(pooled))
    drawn = [runs[rng.integers(0, len(runs), (repetitions, len(runs)))] for runs in strata]
    low, high = _bounds(statistic(np.concatenate(drawn, axis=1)))
    return Estimate(value, low, high, len(pooled))


def _bounds(samples: Floats) -> tuple[float, float]:
    low, high = np.quantile(samples, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def probability_of_improvement(first: Strata, second: Strata) -> float:
    """Return P(first > second), ties as one half, averaged over strata.

    Args:
        first: Runs of each stratum, higher is better.
        second: The same strata in the same order; the numbers of runs may differ.

    Raises:
        ValueError: If the numbers of strata differ, or a stratum has no run.
    """
    shares = []
    for x, y in zip(first, second, strict=True):
        if not len(x) or not len(y):
            raise ValueError("probability_of_improvement: a stratum without a run")
        difference = np.asarray(x, dtype=np.float64)[:, None] - np.asarray(y)[None, :]
        shares.append(float((difference > 0).mean() + 0.5 * (difference == 0).mean()))
    if not shares:
        raise ValueError("probability_of_improvement: no strata")
    return float(np.mean(shares))


def improvement(
    first: Strata, second: Strata, rng: np.random.Generator, repetitions: int = REPETITIONS
) -> Estimate:
    """Return `probability_of_improvement` with its interval, both sides resampled by themselves."""
    value = probability_of_improvement(first, second)
    runs = sum(len(x) for x in first)
    if max(len(x) for x in first) < 2:
        return Estimate(value, None, None, runs)

    def drawn(strata: Strata) -> list[Floats]:
        return [np.asarray(x)[rng.integers(0, len(x), len(x))] for x in strata]

    samples = np.array(
        [probability_of_improvement(drawn(first), drawn(second)) for _ in range(repetitions)]
    )
    low, high = _bounds(samples)
    return Estimate(value, low, high, runs)


def paired(
    first: Strata,
    second: Strata,
    rng: np.random.Generator,
    statistic: Statistic = _mean,
    repetitions: int = REPETITIONS,
) -> Estimate:
    """Return the difference first - second of runs on the same traffic, with its interval.

    Args:
        first: Runs of each stratum.
        second: Runs on the same seeds in the same order.
        rng: Source of the resampling.
        statistic: Of the differences, over the last axis; default is the mean.
        repetitions: Bootstrap samples.

    Raises:
        ValueError: If the runs do not pair.
    """
    differences = []
    for x, y in zip(first, second, strict=True):
        if len(x) != len(y):
            raise ValueError("paired: both sides need the same runs")
        differences.append(np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64))
    return estimate(differences, rng, statistic, repetitions)


def pareto_front(cost: Sequence[float], service: Sequence[float]) -> list[int]:
    """Return the indices of the points that no other beats in cost and service, by cost."""
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -service[i]))
    front: list[int] = []
    best = -np.inf
    for i in order:
        if service[i] > best:
            front.append(i)
            best = service[i]
    return front
