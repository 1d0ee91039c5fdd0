"""Transforms: pure, seeded, and what each does to a trace worked out by hand or in law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_traces import RequestTrace, TraceError, assign, repeat_first_minutes, transforms
from sageserve_traces.streams import BurstSource


def cv(trace: RequestTrace) -> float:
    gaps = np.diff(trace.arrival_s)
    return float(gaps.std() / gaps.mean())


Transform = Callable[[RequestTrace, int], RequestTrace]

SEEDED: list[Transform] = [
    lambda t, s: transforms.scale_rate(t, 2.5, s),
    lambda t, s: transforms.scale_rate(t, 0.4, s),
    lambda t, s: transforms.inject_bursts(t, s, [(10.0, 50.0, 2.5)]),
    lambda t, s: transforms.change_mix(t, s, "llama-2-70b", "bloom-176b", 0.5),
    lambda t, s: assign(t, s),
    lambda t, s: repeat_first_minutes(t, seed=s),
]


@pytest.mark.parametrize("transform", SEEDED)
def test_same_seed_same_trace_and_the_input_stays(
    transform: Transform, poisson_trace: RequestTrace
) -> None:
    before = poisson_trace.sha256()
    first, second, other = (transform(poisson_trace, seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    assert poisson_trace.sha256() == before


@pytest.mark.parametrize("transform", SEEDED)
def test_the_published_mix_is_carried_along(
    transform: Transform, poisson_trace: RequestTrace
) -> None:
    changed = transform(poisson_trace, 3)
    for model in range(4):
        for mine, its in zip(poisson_trace.token_mix(model), changed.token_mix(model), strict=True):
            assert np.array_equal(mine, its)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.1, 4.0), seed=st.integers(0, 99))
def test_scale_rate_scales_and_stays_sorted(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 4000
    base = RequestTrace(
        np.sort(rng.uniform(0, 800, n)), *([np.zeros(n, int)] * 3), *([np.ones(n, int)] * 2)
    )
    scaled = transforms.scale_rate(base, factor, seed)
    assert len(scaled) == pytest.approx(factor * n, rel=0.1)
    assert scaled.duration_s == base.duration_s
    assert (np.diff(scaled.arrival_s) >= 0).all()


@pytest.mark.parametrize("factor", [0.3, 2.0, 3.7])
def test_scaling_keeps_poisson_poisson(poisson_trace: RequestTrace, factor: float) -> None:
    assert cv(poisson_trace) == pytest.approx(1.0, abs=0.05)
    assert cv(transforms.scale_rate(poisson_trace, factor, 0)) == pytest.approx(1.0, abs=0.06)


def test_stretch_tile_shift_by_hand(small: RequestTrace) -> None:
    assert transforms.stretch(small, 2.0).arrival_s.tolist() == [0, 20, 40, 122, 140, 238]
    tiled = transforms.tile(small, 250.0)
    assert tiled.arrival_s.tolist() == [
        *small.arrival_s,
        *(small.arrival_s + 120),
        240.0,
    ]
    assert tiled.duration_s == 250.0
    assert tiled.request_id is None
    assert transforms.tile(small, 60.0).arrival_s.tolist() == [0, 10, 20]
    assert transforms.shift(small, 5.0).arrival_s[0] == 5.0
    wrapped = transforms.shift(small, -15.0, wrap=True)
    assert wrapped.arrival_s.tolist() == [5.0, 46.0, 55.0, 104.0, 105.0, 115.0]
    assert wrapped.request_id is not None
    assert wrapped.request_id.tolist() == [2, 3, 4, 5, 0, 1]
    assert transforms.slice_trace(small, 10.0, 70.0).arrival_s.tolist() == [0, 10, 51]


def test_inject_bursts_only_where_asked(poisson_trace: RequestTrace) -> None:
    window = (100.0, 200.0, 3.0)
    burst = transforms.inject_bursts(poisson_trace, 0, [window], model="bloom-176b")
    for model in range(4):
        before, after = (
            ((t.arrival_s >= 100) & (t.arrival_s < 300) & (t.model == model)).sum()
            for t in (poisson_trace, burst)
        )
        assert after == before * (3 if model == 1 else 1)
    with pytest.raises(TraceError, match="unknown name"):
        transforms.inject_bursts(poisson_trace, 0, [window], model="gpt")
    with pytest.raises(TraceError, match="factor >= 1"):
        transforms.inject_bursts(poisson_trace, 0, [(0.0, 1.0, 0.5)])


def test_change_mix_moves_a_fraction_after_a_time(poisson_trace: RequestTrace) -> None:
    moved = transforms.change_mix(poisson_trace, 0, "llama-2-70b", "bloom-176b", 0.3, at_s=400.0)
    late = poisson_trace.arrival_s >= 400
    changed = moved.model != poisson_trace.model
    assert not changed[~late].any()
    share = changed[late & (poisson_trace.model == 0)].mean()
    assert share == pytest.approx(0.3, abs=0.05)


def test_first_minutes_come_nine_times(poisson_trace: RequestTrace) -> None:
    hours = replace(
        transforms.stretch(poisson_trace, 8000 / poisson_trace.duration_s), duration_s=8000.0
    )
    burst = repeat_first_minutes(hours, seed=4)
    assert isinstance(burst, RequestTrace)

    def count(trace: RequestTrace, low: float, high: float) -> int:
        return int(((trace.arrival_s >= low) & (trace.arrival_s < high)).sum())

    for hour in (0, 3600, 7200):
        inside = count(hours, hour, hour + 60)
        assert count(burst, hour, hour + 61) - count(hours, hour + 60, hour + 61) == 9 * inside
        assert count(burst, hour + 61, hour + 3600) == count(hours, hour + 61, hour + 3600)


@pytest.mark.parametrize("start", [0.0, 30.5, 59.9, 3600.2, 5000.0])
def test_burst_stream_does_not_depend_on_chunks_or_start(start: float) -> None:
    from sageserve_traces import SyntheticTrace

    source = BurstSource(SyntheticTrace(7, days=0.08), seed=1)
    whole = np.concatenate([c.arrival_s for c in source.chunks()])
    part = np.concatenate([c.arrival_s for c in source.chunks(start)])
    assert np.array_equal(whole[whole >= start], part)
    in_memory = repeat_first_minutes(source.source.materialise(), seed=1)
    assert np.array_equal(next(in_memory.chunks(0.0, 10**7)).arrival_s, whole)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_factors(small: RequestTrace, factor: float) -> None:
    for call in (
        lambda: transforms.scale_rate(small, factor, 0),
        lambda: transforms.stretch(small, factor),
        lambda: transforms.tile(small, factor),
    ):
        with pytest.raises(TraceError, match="must be a positive number"):
            call()
