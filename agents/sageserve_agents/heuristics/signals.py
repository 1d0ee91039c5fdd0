"""Signals that the rules of the field are driven by, derived from a view."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.endpoints import Endpoints
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats


def measured(view: ClusterView, scenario: Scenario) -> NDArray[np.bool_]:
    """Return where a utilisation has been measured, bool [E].

    It has not at time 0, before metrics that are published late have come once, and where no
    instance is active: a zero seen then means nothing and must not be read as idle.
    """
    published = view.time_s > 0 and view.time_s >= scenario.faults.stale_metrics_s
    seen = (view.utilisation > 0) | published
    known: NDArray[np.bool_] = seen & (view.active.sum(axis=1) > 0)
    return known


def busy_instances(view: ClusterView) -> Floats:
    """Return the load of each endpoint in instances, float64 [E]: utilisation x active."""
    busy: Floats = view.utilisation * view.active.sum(axis=1)
    return busy


def ongoing_requests(view: ClusterView) -> Floats:
    """Return requests running or queued per endpoint, float64 [E]."""
    ongoing: Floats = (view.running + view.queued_requests).astype(np.float64)
    return ongoing


def interactive_requests_per_s(view: ClusterView, endpoints: Endpoints, window: int = 0) -> Floats:
    """Return interactive arrivals per second by model and origin region, [M, R]."""
    rate: Floats = view.request_rate[window][..., endpoints.interactive].sum(axis=2)
    return rate


class Window:
    """Values of the last seconds, for means and maxima over a sliding window.

    Args:
        length_s: Length of the window; the latest value always counts.
    """

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self._rows: deque[tuple[float, Floats]] = deque()

    def add(self, time_s: float, value: Floats) -> None:
        """Add a value and forget those older than the window."""
        self._rows.append((time_s, np.asarray(value, dtype=np.float64)))
        while self._rows[0][0] < time_s - self.length_s + 1e-9 and len(self._rows) > 1:
            self._rows.popleft()

    def __len__(self) -> int:
        """Return the number of values in the window."""
        return len(self._rows)

    def mean(self) -> Floats:
        """Return the mean over the window."""
        mean: Floats = np.mean([row for _, row in self._rows], axis=0)
        return mean

    def max(self) -> Floats:
        """Return the maximum over the window."""
        highest: Floats = np.max([row for _, row in self._rows], axis=0)
        return highest


class Persistence:
    """For how long a condition has held without a break, per endpoint.

    Args:
        endpoints: Number of endpoints E.
    """

    def __init__(self, endpoints: int) -> None:
        self._since_s = np.full(endpoints, np.inf)

    def update(self, time_s: float, holds: NDArray[np.bool_]) -> Floats:
        """Return seconds for which the condition [E] has held; -1 where it does not."""
        self._since_s = np.where(holds, np.minimum(self._since_s, time_s), np.inf)
        return np.where(holds, time_s - self._since_s, -1.0)
