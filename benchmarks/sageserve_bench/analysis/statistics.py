"""Statistics of comparisons with few runs: IQM, stratified bootstrap, paired differences.

After Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(NeurIPS 2021). Scores come as one array of runs per stratum (a stratum is a trace, a run a seed);
strata may have different numbers of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean

Floats = NDArray[np.float64]
Strata = Sequence[Floats]
Statistic = Callable[[Floats], Any]  # of pooled runs, over the last axis

TRIM = 0.25
FEWEST_CUT = round(1 / TRIM)  # runs from which on the interquartile mean is not the mean
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


def iqm(scores: Floats) -> Any:
    """Return the interquartile mean: a quarter is cut off at either end, rounded down."""
    return trim_mean(scores, TRIM, axis=-1)


def mean(scores: Floats) -> Any:
    """Return the mean over the last axis."""
    return scores.mean(axis=-1)


def estimate(
    strata: Strata,
    rng: np.random.Generator,
    statistic: Statistic = iqm,
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

    def pooled_statistic(*drawn: Floats) -> Any:
        return statistic(np.concatenate(drawn, axis=-1))

    return Estimate(value, *_interval(strata, pooled_statistic, rng, repetitions), len(pooled))


def _interval(
    strata: Strata, statistic: Callable[..., Any], rng: np.random.Generator, repetitions: int
) -> tuple[float, float]:
    """Return a bootstrap percentile interval; each stratum is resampled by itself.

    A stratum of one run always comes out the same, and `scipy.stats.bootstrap` refuses it.
    """
    many = [i for i, runs in enumerate(strata) if len(runs) > 1]

    def filled(*drawn: Floats, axis: int = -1) -> Any:
        every: list[Floats] = [
            np.broadcast_to(runs, (*drawn[0].shape[:-1], len(runs))) for runs in strata
        ]
        for i, runs in zip(many, drawn, strict=True):
            every[i] = runs
        return statistic(*every)

    found = bootstrap(
        [strata[i] for i in many],
        filled,
        n_resamples=repetitions,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return float(found.low), float(found.high)


def probability_of_improvement(first: Strata, second: Strata) -> Any:
    """Return P(first > second), ties as one half, averaged over strata.

    Args:
        first: Runs of each stratum on the last axis, higher is better.
        second: The same strata in the same order; the numbers of runs may differ.

    Raises:
        ValueError: If the numbers of strata differ, or a stratum has no run.
    """
    shares = []
    for x, y in zip(first, second, strict=True):
        if not np.size(x) or not np.size(y):
            raise ValueError("probability_of_improvement: a stratum without a run")
        difference = np.asarray(x)[..., :, None] - np.asarray(y)[..., None, :]
        shares.append((0.5 + 0.5 * np.sign(difference)).mean(axis=(-2, -1)))
    if not shares:
        raise ValueError("probability_of_improvement: no strata")
    return np.mean(shares, axis=0)


def improvement(
    first: Strata, second: Strata, rng: np.random.Generator, repetitions: int = REPETITIONS
) -> Estimate:
    """Return `probability_of_improvement` with its interval, both sides resampled by themselves."""
    value = float(probability_of_improvement(first, second))
    runs = sum(len(x) for x in first)
    if max(len(x) for x in first) < 2:
        return Estimate(value, None, None, runs)

    def statistic(*drawn: Floats) -> Any:
        return probability_of_improvement(drawn[: len(first)], drawn[len(first) :])

    return Estimate(value, *_interval([*first, *second], statistic, rng, repetitions), runs)


def paired(
    first: Strata,
    second: Strata,
    rng: np.random.Generator,
    statistic: Statistic = mean,
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
