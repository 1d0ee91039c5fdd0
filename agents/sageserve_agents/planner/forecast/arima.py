"""ARIMA(3,1,2), the forecaster of the paper, on the seasonally adjusted demand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import DAY_S, HOUR_S, Clock
from sageserve_agents.planner.forecast.seasonal import SeasonalNaive
from sageserve_env.extras import install_command
from sageserve_env.view import Floats

ORDER = (3, 1, 2)  # docs/sources.md, "Workload"
_FIT_BIN_S = 900.0  # (A) quarter hours: minutes are noise to a plan of an hour
_FIT_DAYS = 3.0  # (A) history that a model is fitted on
_RENEW_S = DAY_S  # (A) parameters are estimated once a day, the state is filtered each time
_FLOOR = 0.02  # (A) of the mean, so that an empty bin has a logarithm
_LIMIT = float(np.log(4.0))  # (A) a forecast stays within a factor of 4 of the profile


class Arima(SeasonalNaive):
    """ARIMA(3,1,2) on the logarithm of demand over its seasonal profile.

    One model per (model, class of tiers), pooled over regions, on quarter hours; a region keeps
    its share by the profile and the level of its last hour. Parameters are estimated once a day on
    the past three days; in between the state is filtered through the new bins. Needs the extra
    ``[forecast]`` (statsmodels).
    """

    name = "arima"
    cheap_backtest = False

    def __init__(
        self,
        clock: Clock | None = None,
        interactive: NDArray[np.bool_] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(clock, interactive, **settings)
        try:
            from statsmodels.tsa.arima.model import ARIMA
        except ImportError as error:
            raise ImportError(
                f"the arima forecaster needs statsmodels: {install_command('forecast')}",
                name="statsmodels",
            ) from error
        self._arima = ARIMA
        self._params: dict[tuple[int, int], Floats] = {}
        self._estimated_s = -np.inf

    def _correction(self, profile: Floats, horizon_bins: int) -> Floats:
        history = self.history
        group = max(1, round(_FIT_BIN_S / history.bin_s))
        bins = min(len(history), round(_FIT_DAYS * DAY_S / history.bin_s))
        bins -= bins % group
        local = self._level(profile, len(profile))  # [M, R, K]
        if bins < round(HOUR_S * 12 / history.bin_s):
            return super()._correction(profile, horizon_bins)
        renew = history.end_s - self._estimated_s >= _RENEW_S
        if renew or history.end_s < self._estimated_s:
            self._params, self._estimated_s = {}, history.end_s
        first = len(history) - bins
        actual = history.prompt_tokens[first:]
        expected = self._profile(np.arange(first, len(history)))
        ahead_s = (np.arange(horizon_bins) + 0.5) * history.bin_s
        fade = np.exp(-ahead_s / self.fade_s)
        steps = int(np.ceil(horizon_bins / group))
        factor = np.ones((horizon_bins, *actual.shape[1:]))
        for c, mask in enumerate(self.tier_classes()):
            logs = _log_ratio(actual[..., mask], expected[..., mask], group)  # [T, M]
            recent = max(1, round(self.level_s / _FIT_BIN_S))
            for m in range(logs.shape[1]):
                path = self._path((m, c), logs[:, m], steps)
                path = np.repeat(np.clip(path, -_LIMIT, _LIMIT), group)[:horizon_bins]
                # What a region's last hour says beyond the model's.
                common = np.exp(logs[-recent:, m].mean())
                own = local[m][:, mask][:, :1] / max(common, 1e-6)  # [R, 1]
                region = 1.0 + (own[None] - 1.0) * fade[:, None, None]
                factor[:, m][..., mask] = np.exp(path)[:, None, None] * np.clip(region, 0.25, 4.0)
        return factor

    def _path(self, key: tuple[int, int], logs: Floats, steps: int) -> Floats:
        """Return the forecast of a log ratio, [steps]; its last value if the model fails."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = self._arima(logs, order=ORDER, enforce_stationarity=False)
                if key not in self._params:
                    self._params[key] = np.asarray(model.fit(method_kwargs={"maxiter": 50}).params)
                path = np.asarray(model.filter(self._params[key]).forecast(steps), dtype=np.float64)
            except (ValueError, np.linalg.LinAlgError, IndexError):
                path = np.full(steps, logs[-4:].mean())
        fine: Floats = np.where(np.isfinite(path), path, logs[-1])
        return fine


def _log_ratio(actual: Floats, expected: Floats, group: int) -> Floats:
    """Return log(actual / expected) summed over regions, tiers and groups of bins, [T, M]."""
    a, e = (
        v.sum(axis=(2, 3)).reshape(-1, group, v.shape[1]).sum(axis=1) for v in (actual, expected)
    )
    floor = _FLOOR * np.maximum(e.mean(axis=0), 1.0)
    logs: Floats = np.log(np.maximum(a, floor) / np.maximum(e, floor))
    return logs
