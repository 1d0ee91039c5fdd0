from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_agents.demand import Clock, DemandTracker, to_bins
from tests.agents.toy import (
    ToyCluster,
    constant,
    empty_history,
    history_of,
    make_view,
    scenario_of,
)


@given(
    bins=st.integers(0, 40),
    old=st.sampled_from([30.0, 60.0, 300.0, 900.0]),
    new=st.sampled_from([60.0, 300.0, 450.0, 3600.0]),
)
def test_rebinning_keeps_tokens_of_whole_bins(bins: int, old: float, new: float) -> None:
    scenario = scenario_of("trap-base")
    tokens = np.random.default_rng(bins).uniform(0, 9, (bins, 1, 2, 3))
    series = history_of(scenario, tokens, old)
    ended = to_bins(series, new)
    assert ended.bin_s == new
    assert ended.end_s == pytest.approx(0.0)
    kept_s = len(ended) * new
    assert bins * old - kept_s < new
    if kept_s % old == 0:
        kept = tokens[bins - round(kept_s / old) :]
        assert ended.prompt_tokens.sum() == pytest.approx(kept.sum())
    started = to_bins(series, new, from_start=True)
    assert len(started) == len(ended)
    if len(started):
        assert started.start_s == pytest.approx(series.start_s)


def test_tracker_joins_history_and_view() -> None:
    scenario = scenario_of("trap-base")
    history = history_of(scenario, np.full((10, 1, 2, 3), 60.0), 60.0)
    tracker = DemandTracker(history, 300.0)
    assert len(tracker) == 2
    world = ToyCluster(scenario, constant(scenario, 2.0))
    action = type("A", (), {})
    for _ in range(7):
        world.tokens.append(constant(scenario, 2.0)(0.0) * 60.0)
        world.time_s += 60.0
    del action
    assert tracker.update(world.view()) == 1
    assert tracker.update(world.view()) == 0
    series = tracker.series()
    assert series.start_s == -600.0
    assert series.end_s == 300.0
    assert series.prompt_tokens[:, 0, 0, 0].tolist() == [300.0, 300.0, 600.0]
    assert tracker.recent(300.0)[0, 0].tolist() == [2.0, 0.0, 0.0]
    assert tracker.recent(600.0)[0, 0, 0] == pytest.approx(1.5)
    assert tracker.recent(300.0, "requests")[0, 0, 0] == pytest.approx(0.002)


def test_tracker_grows_and_ignores_the_incomplete_bin() -> None:
    scenario = scenario_of("trap-base")
    tracker = DemandTracker(empty_history(scenario), 60.0)
    assert tracker.recent(60.0).sum() == 0.0
    many = np.ones((1200, 1, 2, 3))
    view = make_view(scenario)
    view = dataclasses.replace(
        view,
        time_s=1199.5 * 60.0,
        demand_requests=many,
        demand_prompt_tokens=many,
        demand_output_tokens=many,
    )
    assert tracker.update(view) == 1199
    assert len(tracker.series()) == 1199


def test_clock() -> None:
    scenario = scenario_of("trap-base")
    view = make_view(scenario, time_s=43_200.0, weekday=0.25)
    clock = Clock.of(view)
    assert clock.weekday_at_0 == pytest.approx(6.75)
    assert clock.weekday(np.array([0.0, 86_400.0])).tolist() == pytest.approx([6.75, 0.75])
