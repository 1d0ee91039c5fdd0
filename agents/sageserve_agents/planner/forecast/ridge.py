"""Ridge regression of the demand on the calendar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import DAY_S, HOUR_S, Clock
from sageserve_agents.planner.forecast.profile import ProfileForecaster
from sageserve_env.view import Floats

_WEEKEND = 5.0  # Saturday


class Ridge(ProfileForecaster):
    """A smooth curve of the day for working days and one for weekends, fitted by ridge regression.

    One linear model per (model, region, tier) on harmonics of the day, their products with the
    weekend and a trend, on the last two weeks; a day far back weighs less. The level correction of
    `ProfileForecaster` follows today. The fit is renewed every few hours, as a day adds little.

    Args:
        clock: The calendar of time 0.
        interactive: Interactive tiers, bool [K].
        harmonics: Harmonics of the day (A).
        penalty: Ridge penalty relative to the number of bins (A).
        days: Days of history used (A).
        half_life_days: A bin this old weighs half (A).
        renew_s: Time between two fits (A).
        **level: Settings of `ProfileForecaster`.
    """

    name = "ridge"

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        *,
        harmonics: int = 6,
        penalty: float = 1e-3,
        days: float = 14.0,
        half_life_days: float = 5.0,
        renew_s: float = 6 * HOUR_S,
        **level: float,
    ) -> None:
        super().__init__(clock, interactive, **level)
        self.harmonics = harmonics
        self.penalty = penalty
        self.days = days
        self.half_life_days = half_life_days
        self.renew_s = renew_s
        self._weights: Floats | None = None  # [features, series]
        self._fitted_s = -np.inf

    def _refit(self) -> None:
        history = self.history
        stale = history.end_s - self._fitted_s >= self.renew_s or history.end_s < self._fitted_s
        if len(history) and (self._weights is None or stale):
            self._weights = self._fit()
            self._fitted_s = history.end_s

    def _fit(self) -> Floats:
        """Return the weights of the features, [features, M R K]."""
        history = self.history
        used = min(len(history), round(self.days * DAY_S / history.bin_s))
        bins = np.arange(len(history) - used, len(history))
        age_days = (len(history) - bins) * history.bin_s / DAY_S
        root = np.sqrt(0.5 ** (age_days / self.half_life_days))[:, None]
        x = self._features(bins) * root
        y = history.prompt_tokens[bins].reshape(used, -1) * root
        gram = x.T @ x
        gram[np.diag_indices_from(gram)] += self.penalty * used
        weights: Floats = np.linalg.solve(gram, x.T @ y)
        return weights

    def _features(self, bins: NDArray[np.int64]) -> Floats:
        """Return harmonics of the day for each kind of day, [bins, features]."""
        history = self.history
        times: Floats = history.start_s + (bins.astype(np.float64) + 0.5) * history.bin_s
        day = self.clock.weekday(times)
        phase = 2 * np.pi * (day % 1.0)[:, None] * np.arange(1, self.harmonics + 1)
        curve = np.hstack([np.ones((len(bins), 1)), np.sin(phase), np.cos(phase)])
        weekend = (day >= _WEEKEND)[:, None]
        return np.hstack([curve * ~weekend, curve * weekend])

    def _profile(self, wanted: NDArray[np.int64]) -> Floats:
        assert self._weights is not None
        fitted: Floats = self._features(wanted) @ self._weights
        return fitted.reshape(len(wanted), *self.history.prompt_tokens.shape[1:])
