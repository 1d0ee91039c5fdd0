"""The realised future as a forecast, for clairvoyant agents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import Clock, to_bins
from sageserve_agents.planner.forecast.base import Forecaster
from sageserve_env.view import Floats
from sageserve_traces.trace import DemandSeries


class Perfect(Forecaster):
    """What will arrive. Beyond the end of what is known the last hour is carried on.

    Args:
        clock: The calendar of time 0 (not used).
        interactive: Interactive tiers, bool [K] (not used).
        future: Demand from time 0 on, in bins of any width; earlier bins are ignored.
    """

    name = "perfect"

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        *,
        future: DemandSeries | None = None,
    ) -> None:
        super().__init__(clock, interactive)
        if future is None:
            raise ValueError("the perfect forecaster needs the future: only for clairvoyant agents")
        self._source = future.window(0.0, future.start_s + len(future) * future.bin_s + 1.0)
        self._future: DemandSeries | None = None

    def _point(self, horizon_bins: int) -> Floats:
        history = self.history
        if self._future is None or self._future.bin_s != history.bin_s:
            self._future = to_bins(self._source, history.bin_s, from_start=True)
        known = self._future.prompt_tokens
        first = round(history.end_s / history.bin_s)
        point: Floats = np.zeros((horizon_bins, *known.shape[1:]))
        if len(known):
            found = known[max(first, 0) : first + horizon_bins]
            point[: len(found)] = found
            hour = max(1, round(3600.0 / history.bin_s))
            point[len(found) :] = known[-hour:].mean(axis=0)
        return point

    def predict(self, horizon_bins: int, quantile: float | None = None) -> Floats:
        """Return the future; all its quantiles are the same (see `Forecaster.predict`)."""
        return self._point(horizon_bins)
