"""What an agent knows of its own misses: shares per model over an hour and over six."""

from __future__ import annotations

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_env.view import ClusterView, Floats

_LONG_S, _DAY_PART_S = 3600.0, 21_600.0
_PRIOR = 50.0  # (A) requests


class Misses:
    """Shares of misses per model over an hour and over six, from what views show.

    A view has the attainment of each endpoint over five minutes, of first tokens and of the time
    per output token; it is weighted by the traffic. The two count as independent (A).

    Args:
        models: Number of models M.
    """

    def __init__(self, models: int) -> None:
        self.fast = np.zeros(models)
        self._missed = np.zeros((2, models))
        self._seen = np.zeros((2, models))
        self._last_s = 0.0

    def update(self, view: ClusterView, endpoints: Endpoints) -> None:
        """Take the last interval of a view."""
        models = len(view.theta)
        passed = max(view.time_s - self._last_s, 0.0)
        self._last_s = view.time_s
        weight = view.utilisation * view.active.sum(axis=1)
        weight = np.where(np.isfinite(weight), weight, 1.0) + 1e-9
        attained = view.slo_attainment
        if len(view.tpot_attainment):
            attained = attained * view.tpot_attainment
        missing = (1.0 - attained) * weight
        self.fast = missing.reshape(models, -1).sum(axis=1) / weight.reshape(models, -1).sum(axis=1)
        requests = view.request_rate[0][..., endpoints.interactive].sum(axis=(1, 2)) * passed
        for row, span_s in enumerate((_LONG_S, _DAY_PART_S)):
            keep = np.exp(-passed / span_s)
            self._missed[row] = keep * self._missed[row] + self.fast * requests
            self._seen[row] = keep * self._seen[row] + requests

    def shares(self) -> Floats:
        """Return the shares over an hour and over six, [2, M]; 0.05 while little was seen."""
        shares: Floats = (self._missed + 0.05 * _PRIOR) / (self._seen + _PRIOR)
        return shares
