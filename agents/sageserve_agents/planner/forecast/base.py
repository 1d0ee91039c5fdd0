"""What a forecaster is, and quantiles from its own rolling errors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import HOUR_S, Clock
from sageserve_env.view import Floats
from sageserve_traces.trace import DemandSeries

# Rolling-origin backtest behind the quantiles (A): origins every two hours over the last three
# days, each scored over the coming two hours: 36 forecasts, renewed every six hours of new data.
_BACKTEST_SPAN_S = 72 * HOUR_S
_BACKTEST_STEP_S = 2 * HOUR_S
_BACKTEST_AHEAD_S = 2 * HOUR_S
_BACKTEST_RENEW_S = 6 * HOUR_S
# Errors are told apart by horizon up to these ends (A); what lies further has those of the last.
_HORIZONS_S = (900.0, HOUR_S, _BACKTEST_AHEAD_S)
# Errors assumed while there is nothing to measure them on (A): the paper's ARIMA has 15-24 % mean
# error at one minute (docs/sources.md, "Workload").
_DEFAULT_SIGMA = 0.2


class Forecaster(ABC):
    """Predicts prompt tokens per bin and series (model, origin region, tier) from the past.

    Args:
        clock: The calendar of time 0.
        interactive: Whether a tier is interactive, bool [K]; corrections and errors are pooled
            over the tiers of one class. None treats all tiers as one class.
    """

    name: str = ""
    cheap_backtest: bool = True

    def __init__(
        self, clock: Clock | None = None, interactive: NDArray[np.bool_] | None = None
    ) -> None:
        self.clock = clock or Clock()
        self._interactive = interactive
        self._history: DemandSeries | None = None
        self._errors: list[Floats] | None = None  # log errors by horizon, each [N, M, classes]
        self._errors_until_s = -np.inf

    @property
    def history(self) -> DemandSeries:
        """The history it was fitted on.

        Raises:
            RuntimeError: If it has not been fitted.
        """
        if self._history is None:
            raise RuntimeError(f"forecaster {self.name!r}: fit() comes before predict()")
        return self._history

    def fit(self, history: DemandSeries) -> None:
        """Take the demand up to now; the forecast starts where it ends."""
        self._history = history
        self._refit()

    def predict(self, horizon_bins: int, quantile: float | None = None) -> Floats:
        """Predict the bins after the end of the history.

        Args:
            horizon_bins: Number of bins T.
            quantile: None for the point forecast, else a level in (0, 1); quantiles are the point
                forecast times those of its relative errors at that horizon in a rolling-origin
                backtest. So the safety of a plan grows in proportion to the traffic.

        Returns:
            Prompt tokens per bin, float64 [T, M, R, K], never negative. Zero if nothing is known.

        Raises:
            ValueError: If the quantile is not within (0, 1).
        """
        if quantile is not None and not 0 < quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {quantile}")
        point = np.maximum(self._point(horizon_bins), 0.0)
        if quantile is None or len(self.history) == 0:
            return point
        scaled: Floats = point * self._factors(horizon_bins, quantile)
        return scaled

    def _refit(self) -> None:
        """Update the state after `fit`; nothing by default."""
        return None

    @abstractmethod
    def _point(self, horizon_bins: int) -> Floats:
        """Return the point forecast, [T, M, R, K]."""

    # -- quantiles ------------------------------------------------------------------------------

    def tier_classes(self) -> list[NDArray[np.bool_]]:
        """Return the tiers of each class as boolean masks [K]; empty classes are left out."""
        tiers = self.history.prompt_tokens.shape[3]
        if self._interactive is None:
            return [np.ones(tiers, dtype=bool)]
        mask = np.asarray(self._interactive, dtype=bool)
        return [m for m in (mask, ~mask) if m.any()]

    def _factors(self, horizon_bins: int, quantile: float) -> Floats:
        """Return what the point forecast is multiplied by, [T, M, 1, K]."""
        history = self.history
        if self._errors is None or history.end_s - self._errors_until_s >= _BACKTEST_RENEW_S:
            self._errors = self._backtest()
            self._errors_until_s = history.end_s
        m, k = history.prompt_tokens.shape[1], history.prompt_tokens.shape[3]
        factors = np.ones((horizon_bins, m, 1, k))
        if not self._errors or min(len(errors) for errors in self._errors) < 20:
            from statistics import NormalDist

            factors *= np.exp(_DEFAULT_SIGMA * NormalDist().inv_cdf(quantile))
            return factors
        classes = self.tier_classes()
        for errors, bins in zip(self._errors, self._horizons(), strict=True):
            levels = np.exp(np.quantile(errors, quantile, axis=0))  # [M, classes]
            for c, mask in enumerate(classes):
                factors[bins, :, 0, :] = np.where(
                    mask, levels[:, c : c + 1], factors[bins, :, 0, :]
                )
        return factors

    def _horizons(self) -> list[slice]:
        """Return the bins of each horizon that errors are told apart by; the last is open."""
        ends = [max(1, round(end_s / self.history.bin_s)) for end_s in _HORIZONS_S]
        ends = list(dict.fromkeys(ends))
        starts = [0, *ends[:-1]]
        return [slice(a, b) for a, b in zip(starts, [*ends[:-1], None], strict=True)]

    def _backtest(self) -> list[Floats]:
        """Return log(actual / predicted) per bin, pooled over regions; empty without a backtest."""
        history = self.history
        if not self.cheap_backtest:
            return []
        classes, horizons = self.tier_classes(), self._horizons()
        found: list[list[Floats]] = [[] for _ in horizons]
        ahead = max(1, round(_BACKTEST_AHEAD_S / history.bin_s))
        step = max(1, round(_BACKTEST_STEP_S / history.bin_s))
        first = max(len(history) - round(_BACKTEST_SPAN_S / history.bin_s), step)
        probe = self._fresh()
        for origin in range(first, len(history) - ahead + 1, step):
            probe.fit(head(history, origin))
            predicted = np.maximum(probe._point(ahead), 0.0)
            errors = _log_errors(history.prompt_tokens[origin : origin + ahead], predicted, classes)
            for rows, bins in zip(found, horizons, strict=True):
                rows.append(errors[bins])
        return [np.concatenate(rows) for rows in found] if found[0] else []

    def _fresh(self) -> Forecaster:
        """Return an unfitted forecaster with the same settings."""
        return type(self)(self.clock, self._interactive)


def _log_errors(actual: Floats, predicted: Floats, classes: list[NDArray[np.bool_]]) -> Floats:
    """Return log errors of sums over regions and the tiers of each class, [T, M, classes]."""
    columns = []
    for mask in classes:
        a = actual[..., mask].sum(axis=(2, 3))
        p = predicted[..., mask].sum(axis=(2, 3))
        floor = 0.01 * max(float(a.mean()), 1.0)  # an empty bin is a large error, not infinity
        columns.append(np.log(np.maximum(a, floor) / np.maximum(p, floor)))
    return np.stack(columns, axis=2)


def head(series: DemandSeries, bins: int) -> DemandSeries:
    """Return the first bins of a series."""
    return DemandSeries(
        series.start_s,
        series.bin_s,
        series.requests[:bins],
        series.prompt_tokens[:bins],
        series.output_tokens[:bins],
        series.models,
        series.regions,
        series.tiers,
    )
