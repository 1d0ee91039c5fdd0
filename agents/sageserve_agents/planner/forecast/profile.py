"""Forecasts that are a profile of the day times a level seen today."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import DAY_S, HOUR_S, Clock
from sageserve_agents.planner.forecast.base import Forecaster
from sageserve_env.view import Floats


class ProfileForecaster(Forecaster):
    """A profile of the time of day, corrected by the level of the last hour.

    The level is what arrived in the last hour over what the profile says of it, per model, region
    and class of tiers. It fades with the horizon, as a day's level lasts and a burst does not.
    Until a day of history is known the mean of the last hour is carried forward, so that a short
    real trace works as well.

    Args:
        clock: The calendar of time 0.
        interactive: Interactive tiers, bool [K].
        level_s: Time over which the level is measured (the last hour).
        fade_s: The correction falls to 1/e after this horizon (A).
        shrink_requests: Weight of the profile in the level, in requests: a level seen on few
            requests is pulled to 1 (A; token counts have a coefficient of variation of 1.7).
    """

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        *,
        level_s: float = HOUR_S,
        fade_s: float = 6 * HOUR_S,
        shrink_requests: float = 30.0,
    ) -> None:
        super().__init__(clock, interactive)
        self.level_s = level_s
        self.fade_s = fade_s
        self.shrink_requests = shrink_requests

    @abstractmethod
    def _profile(self, wanted: NDArray[np.int64]) -> Floats:
        """Return the profile at bins of the history's grid, [len(wanted), M, R, K]."""

    def _point(self, horizon_bins: int) -> Floats:
        history = self.history
        known = len(history)
        shape = (horizon_bins, *history.prompt_tokens.shape[1:])
        if known == 0:
            nothing: Floats = np.zeros(shape)
            return nothing
        recent = min(known, max(1, round(self.level_s / history.bin_s)))
        if known < round(DAY_S / history.bin_s) + recent:
            last = history.prompt_tokens[known - recent :].mean(axis=0)
            flat: Floats = np.broadcast_to(last, shape).copy()
            return flat
        profile = np.maximum(self._profile(np.arange(known - recent, known + horizon_bins)), 0.0)
        point: Floats = profile[recent:] * self._correction(profile[:recent], horizon_bins)
        return point

    def _correction(self, profile: Floats, horizon_bins: int) -> Floats:
        """Return the factor on the profile, [T, M, R, K], from the profile of the last hour."""
        level = self._level(profile, len(profile))
        ahead_s = (np.arange(horizon_bins) + 0.5) * self.history.bin_s
        fade = np.exp(-ahead_s / self.fade_s)[:, None, None, None]
        factor: Floats = 1.0 + (level - 1.0) * fade
        return factor

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
