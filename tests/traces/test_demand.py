"""`DemandSeries`: wider bins, joining, cutting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_traces import DemandSeries, TraceError

NAMES = {"models": ("m",), "regions": ("r",), "tiers": ("k",)}


def series(values: list[float], start_s: float = 0.0, bin_s: float = 60.0) -> DemandSeries:
    array = np.array(values, dtype=float).reshape(-1, 1, 1, 1)
    return DemandSeries(start_s, bin_s, array, 10 * array, 2 * array, **NAMES)


@given(values=st.lists(st.integers(0, 9), max_size=30), factor=st.integers(1, 7))
def test_rebin_keeps_totals(values: list[int], factor: int) -> None:
    wide = series(values).rebin(60.0 * factor)
    assert wide.requests.sum() == sum(values)
    assert wide.prompt_tokens.sum() == 10 * sum(values)
    assert len(wide) == -(-len(values) // factor)
    assert [w.sum() for w in wide.requests] == [
        sum(values[i : i + factor]) for i in range(0, len(values), factor)
    ]


def test_rebin_needs_a_multiple() -> None:
    with pytest.raises(TraceError, match="cannot turn 60 s bins into 90 s"):
        series([1]).rebin(90.0)


def test_concat_joins_only_what_fits() -> None:
    joined = series([1, 2]).concat(series([3], start_s=120.0))
    assert joined.requests.ravel().tolist() == [1, 2, 3]
    assert joined.times_s.tolist() == [0, 60, 120]
    assert series([]).concat(series([3], start_s=99.0)).start_s == 99.0
    assert series([1]).concat(series([])).end_s == 60.0
    with pytest.raises(TraceError, match="cannot be joined"):
        series([1]).concat(series([1], start_s=61.0))
    with pytest.raises(TraceError, match="different names"):
        series([1]).concat(DemandSeries.zeros(1, start_s=60.0))


def test_append_takes_one_bin_or_many() -> None:
    one = np.ones((1, 1, 1))
    assert len(series([1]).append(one, one, one)) == 2
    many = np.ones((3, 1, 1, 1))
    assert series([1]).append(many, many, many).end_s == 240.0
    with pytest.raises(TraceError, match="cannot append"):
        series([1]).append(np.ones((1, 2, 1)), one, one)


def test_window_is_by_left_edges() -> None:
    cut = series([1, 2, 3, 4]).window(60.0, 180.0)
    assert (cut.start_s, cut.requests.ravel().tolist()) == (60.0, [2, 3])
    assert len(series([1, 2]).window(500.0, 600.0)) == 0
    assert series([1, 2]).shift(-120.0).end_s == 0.0


def test_shapes_are_checked() -> None:
    good = np.zeros((2, 1, 1, 1))
    with pytest.raises(TraceError, match="prompt_tokens has shape"):
        DemandSeries(0.0, 60.0, good, np.zeros((3, 1, 1, 1)), good, **NAMES)
    with pytest.raises(TraceError, match="bin_s must be positive"):
        DemandSeries(0.0, 0.0, good, good, good, **NAMES)


def test_reindex_moves_by_name() -> None:
    moved = series([5]).reindex("models", ("new", "m"))
    assert moved.requests.ravel().tolist() == [0, 5]
    assert moved.models == ("new", "m")
