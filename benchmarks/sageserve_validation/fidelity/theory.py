"""Mean waiting times that are known exactly.

Sources: Pollaczek-Khinchine for M/G/1; Cobham 1954 for priorities without preemption; Crommelin
1932 for M/D/n (also Tijms, A First Course in Stochastic Models, 2003, section 9.6; Franx 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mg1_wait_s(rate: float, mean_s: float, mean_square_s2: float) -> float:
    """Mean wait of M/G/1, first come first served: rate E[S^2] / (2 (1 - rho))."""
    return rate * mean_square_s2 / (2.0 * (1.0 - rate * mean_s))


def mg1_priority_waits_s(
    rates: Sequence[float], means_s: Sequence[float], mean_squares_s2: Sequence[float]
) -> list[float]:
    """Mean waits per class of M/G/1 with priorities without preemption, highest first (Cobham)."""
    residual_s = sum(r * q for r, q in zip(rates, mean_squares_s2, strict=True)) / 2.0
    waits, above = [], 0.0
    for rate, mean_s in zip(rates, means_s, strict=True):
        with_own = above + rate * mean_s
        waits.append(residual_s / ((1.0 - above) * (1.0 - with_own)))
        above = with_own
    return waits


def mdn_wait_s(rate: float, alone_s: float, servers: int) -> float:
    """Mean wait of M/D/n, first come first served, by Crommelin's argument.

    All that is in service now has left after one service time D and nothing that waits or arrives
    has: N(t + D) = max(N(t) - n, 0) + Poisson(rate D). The stationary law of this chain gives the
    mean number waiting, and Little's law the wait.
    """
    load = rate * alone_s
    if not load < servers:
        raise ValueError("M/D/n: the load must be below the number of servers")
    # The tail of N falls geometrically; this many states leave less than 1e-9 of the mean out.
    size = int(servers + 60 + 60 / (1.0 - load / servers))
    arrivals = np.zeros(size)
    arrivals[0] = np.exp(-load)
    for k in range(1, size):
        arrivals[k] = arrivals[k - 1] * load / k
    step = np.zeros((size, size))
    for n in range(size):
        left = max(n - servers, 0)
        step[n, left:] = arrivals[: size - left]
        step[n, -1] += 1.0 - step[n].sum()
    balance = step.T - np.eye(size)
    balance[0] = 1.0  # one balance equation follows from the others: the law sums to 1 instead
    law = np.linalg.solve(balance, np.eye(size)[0])
    waiting = float(np.maximum(np.arange(size) - servers, 0) @ law)
    return waiting / rate


def batch_means(values: Floats, batches: int = 50) -> tuple[float, float]:
    """Return the mean of a correlated series and the half width of its 95 % interval."""
    parts = np.array([part.mean() for part in np.array_split(values, batches)])
    half = 2.01 * parts.std(ddof=1) / np.sqrt(batches)  # Student's t with 49 degrees of freedom
    return float(values.mean()), float(half)
