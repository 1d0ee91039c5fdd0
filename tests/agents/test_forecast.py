from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from sageserve_agents.demand import Clock
from sageserve_agents.planner.forecast import FORECASTERS, make_forecaster
from sageserve_agents.planner.forecast.base import head
from sageserve_agents.planner.forecast.scoring import backtest, score
from sageserve_env.view import Floats
from sageserve_traces.trace import DemandSeries
from tests.agents.toy import history_of, scenario_of

HONEST = [n for n in FORECASTERS if n != "perfect"]
INTERACTIVE = np.array([True, True, False])
BIN_S = 300.0
DAY = 288


def weeks(days: int = 14, noise: float = 0.0, seed: int = 0) -> DemandSeries:
    """A daily curve, a third of it on Saturday and Sunday; time 0 is a Monday at 0 h."""
    scenario = scenario_of("trap-base")
    bins = days * DAY
    time = (np.arange(bins) - bins) * BIN_S
    day = (time / 86_400.0) % 7.0
    curve = 1.0 + 0.5 * np.cos(2 * np.pi * (time / 86_400.0 - 0.7))
    curve = curve * np.where(day >= 5, 0.3, 1.0)
    rng = np.random.default_rng(seed)
    tokens = 1e5 * curve[:, None, None, None] * np.array([0.8, 0.15, 0.05])
    tokens = np.broadcast_to(tokens, (bins, 1, 2, 3)).copy()
    tokens *= np.exp(noise * rng.standard_normal(tokens.shape))
    return history_of(scenario, tokens, BIN_S)


def truth(series: DemandSeries, bins: int) -> Floats:
    """The next bins of `weeks` after its end: those of a week before."""
    start = len(series) - 7 * DAY
    return series.prompt_tokens[start : start + bins]


@pytest.mark.parametrize("name", HONEST)
def test_a_regular_day_is_foretold(name: str) -> None:
    series = weeks()
    forecaster = make_forecaster(name, Clock(0.0), INTERACTIVE)
    forecaster.fit(series)
    said, came = forecaster.predict(36), truth(series, 36)
    assert said.shape == (36, 1, 2, 3)
    assert np.abs(said - came).sum() / came.sum() < 0.12


@pytest.mark.parametrize("name", HONEST)
def test_a_day_with_double_the_traffic_is_followed(name: str) -> None:
    series = weeks()
    tokens = series.prompt_tokens.copy()
    tokens[-36:] *= 2.0
    doubled = history_of(scenario_of("trap-base"), tokens, BIN_S)
    forecaster = make_forecaster(name, Clock(0.0), INTERACTIVE)
    forecaster.fit(doubled)
    ratio = forecaster.predict(12)[..., 0].sum() / truth(series, 12)[..., 0].sum()
    assert 1.4 < ratio < 2.4  # it was a Sunday evening; the next hour is a Monday


@pytest.mark.parametrize("name", HONEST)
def test_little_or_no_history(name: str) -> None:
    series = weeks()
    forecaster = make_forecaster(name, Clock(0.0), INTERACTIVE)
    forecaster.fit(head(series, 0))
    assert not forecaster.predict(5).any()
    assert not forecaster.predict(5, 0.9).any()
    forecaster.fit(head(series, 6))
    assert forecaster.predict(3)[1] == pytest.approx(series.prompt_tokens[:6].mean(axis=0))
    assert (forecaster.predict(3, 0.9) > forecaster.predict(3)).all()
    for bins in (DAY - 1, DAY, DAY + 20, 2 * DAY):
        forecaster.fit(head(series, bins))
        assert np.isfinite(forecaster.predict(300, 0.5)).all()


@pytest.mark.parametrize("name", HONEST)
def test_no_traffic_at_all(name: str) -> None:
    scenario = scenario_of("trap-base")
    forecaster = make_forecaster(name, Clock(0.0), INTERACTIVE)
    forecaster.fit(history_of(scenario, np.zeros((3 * DAY, 1, 2, 3)), BIN_S))
    for quantile in (None, 0.9):
        assert forecaster.predict(12, quantile) == pytest.approx(0.0, abs=1e-3)


def test_a_weekend_looks_like_a_weekend() -> None:
    """The last bin of the history is Friday 24 h; Saturday has a third of the traffic."""
    series = weeks()
    friday = head(series, len(series) - 2 * DAY)
    forecaster = make_forecaster("seasonal-naive", Clock(0.0), INTERACTIVE)
    forecaster.fit(friday)
    said = forecaster.predict(DAY)[..., 0].sum()
    came = series.prompt_tokens[-2 * DAY : -DAY, ..., 0].sum()
    assert said == pytest.approx(came, rel=0.1)


@pytest.mark.parametrize("name", ["seasonal-naive", "ridge"])
def test_quantiles_cover_what_they_say(name: str) -> None:
    test = backtest(
        name,
        weeks(16, noise=0.2),
        clock=Clock(0.0),
        interactive=INTERACTIVE,
        from_s=-2 * 86_400.0,
        step_s=7200.0,
        quantile=0.8,
    )
    rows = score(test, ("llama-2-70b",), INTERACTIVE)
    (row,) = (r for r in rows if r.model != "all" and r.tiers == "interactive")
    assert 0.65 < row.coverage < 0.95
    assert abs(row.bias) < 0.1


def test_quantiles_rise_and_are_checked() -> None:
    forecaster = make_forecaster("seasonal-naive", Clock(0.0), INTERACTIVE)
    with pytest.raises(RuntimeError, match="fit"):
        forecaster.predict(3)
    forecaster.fit(weeks(noise=0.3))
    levels = [forecaster.predict(12, q).sum() for q in (0.1, 0.5, 0.9, 0.99)]
    assert levels == sorted(levels)
    with pytest.raises(ValueError, match="quantile"):
        forecaster.predict(3, 1.0)


def test_perfect_is_the_future() -> None:
    series = weeks()
    tokens = np.arange(24 * 6, dtype=np.float64).reshape(24, 1, 2, 3)
    whole = series.append(tokens / 1000, tokens, tokens)
    forecaster = make_forecaster("perfect", future=whole)
    forecaster.fit(series)
    assert (forecaster.predict(5) == tokens[:5]).all()
    assert (forecaster.predict(5, 0.99) == tokens[:5]).all()
    forecaster.fit(head(whole, len(series) + 20))
    assert (forecaster.predict(4) == tokens[20:]).all()
    beyond = forecaster.predict(6)
    assert beyond[4:] == pytest.approx(np.broadcast_to(tokens[12:].mean(axis=0), (2, 1, 2, 3)))
    with pytest.raises(ValueError, match="needs the future"):
        make_forecaster("perfect")


def test_scores_by_hand() -> None:
    series = weeks(3)
    came = np.full((2, 1, 1, 1, 3), 100.0)
    from sageserve_agents.planner.forecast.scoring import Backtest

    test = Backtest("x", np.zeros(2), came, came * 1.1, came * 0.9, 0.9, 1.0)
    rows = score(test, ("m",), INTERACTIVE)
    assert [(r.model, r.tiers) for r in rows] == [
        ("m", "interactive"),
        ("m", "batch"),
        ("all", "all"),
    ]
    for row in rows:
        assert row.mape == pytest.approx(0.1)
        assert row.wape == pytest.approx(0.1)
        assert row.bias == pytest.approx(0.1)
        assert row.pinball == pytest.approx(0.9 * 0.1)
        assert row.coverage == 0.0
        assert row.peak_wape == pytest.approx(0.1)
    with pytest.raises(ValueError, match="less than one horizon"):
        backtest("ridge", series, from_s=0.0)


def test_an_origin_sees_only_its_past(monkeypatch: pytest.MonkeyPatch) -> None:
    from sageserve_agents.planner.forecast import seasonal

    seen: list[float] = []
    real = seasonal.SeasonalNaive.fit

    def fit(self: Any, history: DemandSeries) -> None:
        seen.append(history.end_s)
        real(self, history)

    monkeypatch.setattr(seasonal.SeasonalNaive, "fit", fit)
    test = backtest("seasonal-naive", weeks(3), from_s=-86_400.0, step_s=7200.0)
    outer = [s for s in seen if s in set(test.origin_s.tolist())]
    assert max(seen) == max(outer) == test.origin_s[-1]


def test_unknown_forecaster() -> None:
    with pytest.raises(ValueError, match="did you mean 'seasonal-naive'"):
        make_forecaster("seasonal")


def test_arima_without_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_statsmodels(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("statsmodels"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_statsmodels)
    with pytest.raises(ImportError, match=r"pip install .*\[forecast\]"):
        make_forecaster("arima")


def test_the_safety_of_a_quantile_grows_with_the_traffic_and_with_the_horizon() -> None:
    """Demand wanders: its relative error grows with the horizon and not with its scale."""
    rng = np.random.default_rng(5)
    bins = 8 * 288
    wander = np.zeros(bins)
    for i in range(1, bins):
        wander[i] = 0.98 * wander[i - 1] + 0.06 * rng.normal()
    level = np.exp(wander)[:, None, None, None] * np.ones((1, 1, 2, 3))
    scenario = scenario_of("trap-base")
    factors = []
    for scale in (1e5, 4e5):
        forecaster = make_forecaster("seasonal-naive", Clock(2.0))
        forecaster.fit(history_of(scenario, scale * level, 300.0))
        point, high = forecaster.predict(24), forecaster.predict(24, 0.9)
        factors.append((high / point)[:, 0, 0, 0])
    assert factors[0] == pytest.approx(factors[1], rel=0.01)
    near, middle, far = factors[0][0], factors[0][6], factors[0][20]
    assert 1.0 < near < middle < far
