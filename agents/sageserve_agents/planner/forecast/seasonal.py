"""Seasonal naive: the same time on past days of the same kind, corrected for today's level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import DAY_S, Clock
from sageserve_agents.planner.forecast.factory import SMOOTH_S
from sageserve_agents.planner.forecast.profile import ProfileForecaster
from sageserve_env.view import Floats

_WEEKEND = 5.0  # Saturday


class SeasonalNaive(ProfileForecaster):
    """The mean of the same time of day on past days of the same kind, times a level correction.

    Kinds of day are working days and weekends (weekend traffic is 0.3 of a working day's;
    docs/sources.md, "Workload"). Past values are smoothed over 20 minutes on both sides.

    Args:
        clock: The calendar of time 0.
        interactive: Interactive tiers, bool [K].
        days: Past days of the same kind to average (A).
        smooth_s: Half width of the window averaged around each time.
        **level: Settings of `ProfileForecaster`.
    """

    name = "seasonal-naive"

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        *,
        days: int = 5,
        smooth_s: float = SMOOTH_S,
        **level: float,
    ) -> None:
        super().__init__(clock, interactive, **level)
        self.days = days
        self.smooth_s = smooth_s

    def _profile(self, wanted: NDArray[np.int64]) -> Floats:
        history = self.history
        day = round(DAY_S / history.bin_s)
        half = round(self.smooth_s / history.bin_s)
        times: Floats = history.start_s + wanted.astype(np.float64) * history.bin_s
        kind = self.clock.weekday(times) >= _WEEKEND
        newest = len(history)
        lags = np.arange(1, int(wanted[-1] // day) + 2)
        source = wanted[None, :] - lags[:, None] * day  # [lags, wanted]
        known = (source >= 0) & (source < newest)
        same = (self.clock.weekday(times[None, :] - lags[:, None] * DAY_S) >= _WEEKEND) == kind
        use = known & same
        use[:, ~use.any(axis=0)] = known[:, ~use.any(axis=0)]  # no day of this kind: any day
        use &= np.cumsum(use, axis=0) <= self.days
        total = _moving_mean(history.prompt_tokens, half, source, use)
        count = np.maximum(use.sum(axis=0), 1)[:, None, None, None]
        mean: Floats = total / count
        return mean


def _moving_mean(
    values: Floats, half: int, source: NDArray[np.int64], use: NDArray[np.bool_]
) -> Floats:
    """Return the sum over rows of centred means of ``values`` at ``source`` where ``use``.

    Rows without any use are skipped; only the stretches that are needed are averaged.
    """
    total = np.zeros((source.shape[1], *values.shape[1:]))
    for row, mask in zip(source, use, strict=True):
        if not mask.any():
            continue
        picked = row[mask]
        low, high = int(picked.min()), int(picked.max()) + 1
        first = max(low - half, 0)
        last = min(high + half, len(values))
        running = np.zeros((last - first + 1, *values.shape[1:]))
        np.cumsum(values[first:last], axis=0, out=running[1:])
        left = np.maximum(picked - half, first) - first
        right = np.minimum(picked + half + 1, last) - first
        width = (right - left)[:, None, None, None]
        total[mask] += (running[right] - running[left]) / width
    return total
