"""Seasonal naive: the same time on past days of the same kind, corrected for today's level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import DAY_S, HOUR_S, Clock
from sageserve_agents.planner.forecast.base import Forecaster
from sageserve_env.view import Floats

_WEEKEND = 5.0  # Saturday


class SeasonalNaive(Forecaster):
    """The mean of the same time of day on past days of the same kind, times a level correction.

    Kinds of day are working days and weekends (the paper's week factors differ by 0.3; DOMAIN.md
    section 4). The level is what arrived in the last hour over what the profile says of it, per
    model, region and class of tiers; it fades with the horizon, as a day's level lasts and a burst
    does not. Without a day of history the mean of the last hour is carried forward; the next hours
    grow with what has been seen, so a short real trace works as well.

    Args:
        clock: The calendar of time 0.
        interactive: Interactive tiers, bool [K].
        days: Past days of the same kind to average (A).
        smooth_s: Half width of the window averaged around each time (A).
        level_s: Time over which the level is measured (the last hour).
        fade_s: The correction falls to 1/e after this horizon (A).
        shrink_requests: Weight of the profile in the level, in requests: a level seen on few
            requests is pulled to 1 (A; token counts have a coefficient of variation of 1.7).
    """

    name = "seasonal-naive"

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        *,
        days: int = 5,
        smooth_s: float = 1200.0,
        level_s: float = HOUR_S,
        fade_s: float = 6 * HOUR_S,
        shrink_requests: float = 30.0,
    ) -> None:
        super().__init__(clock, interactive)
        self.days = days
        self.smooth_s = smooth_s
        self.level_s = level_s
        self.fade_s = fade_s
        self.shrink_requests = shrink_requests

    def _point(self, horizon_bins: int) -> Floats:
        history = self.history
        known = len(history)
        shape = (horizon_bins, *history.prompt_tokens.shape[1:])
        if known == 0:
            nothing: Floats = np.zeros(shape)
            return nothing
        recent = min(known, max(1, round(self.level_s / history.bin_s)))
        day = round(DAY_S / history.bin_s)
        wanted = np.arange(known - recent, known + horizon_bins)
        if known < day + recent:
            last = history.prompt_tokens[known - recent :].mean(axis=0)
            flat: Floats = np.broadcast_to(last, shape).copy()
            return flat
        profile = self._profile(wanted, day)
        level = self._level(profile[:recent], recent)
        ahead_s = (np.arange(horizon_bins) + 0.5) * history.bin_s
        fade = np.exp(-ahead_s / self.fade_s)[:, None, None, None]
        point: Floats = profile[recent:] * (1.0 + (level - 1.0) * fade)
        return point

    def _profile(self, wanted: NDArray[np.int64], day: int) -> Floats:
        """Return the mean of past days at bins ``wanted``, [len(wanted), M, R, K]."""
        history = self.history
        half = round(self.smooth_s / history.bin_s)
        times: Floats = history.start_s + wanted.astype(np.float64) * history.bin_s
        kind = self.clock.weekday(times) >= _WEEKEND
        # The level window lies in the past: its own days start one day before it.
        newest = len(history) - max(1, round(self.level_s / history.bin_s))
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

    def _level(self, profile: Floats, recent: int) -> Floats:
        """Return observed over expected in the last bins, [M, R, K]."""
        history = self.history
        seen = history.prompt_tokens[len(history) - recent :].sum(axis=0)
        requests = history.requests[len(history) - recent :].sum(axis=0)
        expected = profile.sum(axis=0)
        level: Floats = np.ones_like(seen)
        for mask in self.tier_classes():
            s, e, n = (a[..., mask].sum(axis=-1) for a in (seen, expected, requests))
            per_request = np.maximum(s, e) / np.maximum(n, 1.0)
            pull = self.shrink_requests * per_request
            ratio = (s + pull) / np.maximum(e + pull, 1e-9)
            level[..., mask] = np.where(s + e > 0, ratio, 1.0)[..., None]
        return level


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
