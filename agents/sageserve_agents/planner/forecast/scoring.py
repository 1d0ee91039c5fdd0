"""Rolling-origin scores of forecasters: what each would have said, against what came."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.demand import HOUR_S, Clock
from sageserve_agents.planner.forecast.base import head
from sageserve_agents.planner.forecast.factory import make_forecaster
from sageserve_env.view import Floats
from sageserve_traces.trace import DemandSeries


@dataclass(frozen=True)
class Score:
    """Errors of one forecaster on one series of prompt tokens per bin.

    Attributes:
        forecaster: Its name.
        model: Name of the model, or ``all``.
        tiers: ``interactive``, ``batch`` or ``all``.
        mape: Mean of |forecast - actual| / actual over bins with traffic.
        wape: Sum of |forecast - actual| over the sum of the actual.
        bias: Sum of (forecast - actual) over the sum of the actual; above 0 is too much.
        pinball: Mean pinball loss of the quantile over the mean of the actual.
        coverage: Share of bins at or below the quantile forecast.
        peak_wape: WAPE of the largest bin of each forecast, which an hourly plan is sized by.
        ms: Milliseconds per forecast, fitting included.
        origins: Number of forecasts.
    """

    forecaster: str
    model: str
    tiers: str
    mape: float
    wape: float
    bias: float
    pinball: float
    coverage: float
    peak_wape: float
    ms: float
    origins: int


@dataclass(frozen=True)
class Backtest:
    """Forecasts of one forecaster from every origin, against what came.

    Attributes:
        forecaster: Its name.
        origin_s: Times of the forecasts, [N].
        actual: Prompt tokens per bin, [N, T, M, R, K].
        point: Point forecasts, same shape.
        upper: Quantile forecasts, same shape.
        quantile: Level of ``upper``.
        ms: Milliseconds per forecast.
    """

    forecaster: str
    origin_s: Floats
    actual: Floats
    point: Floats
    upper: Floats
    quantile: float
    ms: float


def backtest(
    name: str,
    series: DemandSeries,
    *,
    clock: Clock | None = None,
    interactive: NDArray[np.bool_] | None = None,
    horizon_s: float = HOUR_S,
    step_s: float = HOUR_S,
    from_s: float = 0.0,
    quantile: float = 0.9,
) -> Backtest:
    """Forecast from every origin with what was known then.

    Args:
        name: Forecaster.
        series: Demand, history and what followed, in the bins of the forecast.
        clock: Calendar of time 0.
        interactive: Interactive tiers, bool [K].
        horizon_s: How far each forecast reaches.
        step_s: Time between two origins.
        from_s: First origin.
        quantile: Level of the quantile forecast.

    Raises:
        ValueError: If the series holds no whole horizon after the first origin.
    """
    settings = {"future": series} if name == "perfect" else {}
    forecaster = make_forecaster(name, clock, interactive, **settings)
    bins = max(1, round(horizon_s / series.bin_s))
    step = max(1, round(step_s / series.bin_s))
    first = max(0, round((from_s - series.start_s) / series.bin_s))
    origins = range(first, len(series) - bins + 1, step)
    if not origins:
        raise ValueError(
            f"the series ends {(len(series) - first) * series.bin_s / HOUR_S:.1f} h after the "
            f"first origin, less than one horizon of {horizon_s / HOUR_S:g} h"
        )
    actual, point, upper = [], [], []
    spent = 0.0
    for origin in origins:
        began = time.perf_counter()
        forecaster.fit(head(series, origin))
        point.append(forecaster.predict(bins))
        spent += time.perf_counter() - began
        upper.append(forecaster.predict(bins, quantile))
        actual.append(series.prompt_tokens[origin : origin + bins])
    times = series.start_s + np.array(origins, dtype=np.float64) * series.bin_s
    ms = 1e3 * spent / len(origins)
    rows = np.stack(actual), np.stack(point), np.stack(upper)
    return Backtest(name, times, *rows, quantile, ms)


def score(test: Backtest, models: tuple[str, ...], interactive: NDArray[np.bool_]) -> list[Score]:
    """Return the scores per model and class of tiers, pooled over regions, and of all together.

    Args:
        test: A backtest.
        models: Names of the models.
        interactive: Interactive tiers, bool [K].
    """
    rows = []
    classes = (("interactive", interactive), ("batch", ~interactive))
    for tiers, mask in classes:
        for m, model in enumerate(models):
            if mask.any():
                rows.append(_score(test, model, tiers, [m], mask))
    everything = np.ones(len(interactive), dtype=bool)
    rows.append(_score(test, "all", "all", list(range(len(models))), everything))
    return rows


def _score(
    test: Backtest, model: str, tiers: str, index: list[int], mask: NDArray[np.bool_]
) -> Score:
    """Score sums over regions and tiers; models are kept apart, so errors do not cancel."""
    a, p, u = (
        v[:, :, index][..., mask].sum(axis=(3, 4)) for v in (test.actual, test.point, test.upper)
    )
    total = max(float(a.sum()), 1e-9)
    moving = a > 0
    miss = a - u
    loss = np.maximum(test.quantile * miss, (test.quantile - 1.0) * miss)
    peak_a, peak_p = a.max(axis=1), p.max(axis=1)
    return Score(
        forecaster=test.forecaster,
        model=model,
        tiers=tiers,
        mape=float(np.mean(np.abs(p - a)[moving] / a[moving])) if moving.any() else float("nan"),
        wape=float(np.abs(p - a).sum() / total),
        bias=float((p - a).sum() / total),
        pinball=float(loss.sum() / total),
        coverage=float(np.mean(a <= u)),
        peak_wape=float(np.abs(peak_p - peak_a).sum() / max(float(peak_a.sum()), 1e-9)),
        ms=test.ms,
        origins=len(test.origin_s),
    )
