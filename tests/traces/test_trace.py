"""`RequestTrace`: validation, cutting, renumbering, hashing, binning."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_traces import DemandSeries, RequestTrace, TraceError, TraceSource


def columns(n: int = 3) -> dict[str, np.ndarray]:
    return {
        "arrival_s": np.arange(n, dtype=float),
        "model": np.zeros(n, dtype=int),
        "region": np.zeros(n, dtype=int),
        "tier": np.zeros(n, dtype=int),
        "prompt_tokens": np.full(n, 10),
        "output_tokens": np.full(n, 5),
    }


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("arrival_s", [0.0, 2.0, 1.0], "row 2, column arrival_s: earlier than the row before"),
        ("arrival_s", [-1.0, 0.0, 1.0], "row 0, column arrival_s: -1.0 is negative"),
        ("arrival_s", [0.0, np.nan, 1.0], "row 1, column arrival_s: not a finite number"),
        ("arrival_s", ["a", "b", "c"], "column arrival_s is not numeric"),
        ("arrival_s", [[0.0], [1.0], [2.0]], "column arrival_s has shape"),
        ("model", [0, 4, 0], "row 1, column model: 4 is outside 0..3"),
        ("region", [0, -1, 0], "row 1, column region: -1 is outside 0..2"),
        ("tier", [0, 0, 70000], "row 2, column tier: 70000 is not a whole number that fits int16"),
        ("prompt_tokens", [10, 0, 10], "row 1, column prompt_tokens: 0 is outside 1"),
        ("prompt_tokens", [10, 1.5, 10], "row 1, column prompt_tokens: 1.5 is not a whole number"),
        ("output_tokens", [5, -1, 5], "row 1, column output_tokens: -1 is outside 0"),
        ("output_tokens", [5, 5], "column output_tokens has shape"),
    ],
)
def test_bad_values_name_row_and_column(column: str, values: list, message: str) -> None:
    with pytest.raises(TraceError, match=message.replace("(", r"\(")):
        RequestTrace(**{**columns(), column: np.array(values)})


def test_duration_must_cover_the_last_arrival() -> None:
    with pytest.raises(TraceError, match="before the last arrival"):
        RequestTrace(**columns(), duration_s=1.0)
    assert RequestTrace(**columns()).duration_s == 2.0


def test_output_of_zero_tokens_is_read_as_one() -> None:
    trace = RequestTrace(**{**columns(), "output_tokens": np.array([0, 5, 0])})
    assert trace.output_tokens.tolist() == [1, 5, 1]


def test_arrays_are_copies_and_read_only(small: RequestTrace) -> None:
    given_arrays = columns()
    trace = RequestTrace(**given_arrays)
    given_arrays["model"][0] = 3
    assert trace.model[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        small.arrival_s[0] = 5.0
    for chunk in small.chunks():
        assert not chunk.prompt_tokens.flags.writeable


def test_is_a_source_and_pickles(small: RequestTrace) -> None:
    assert isinstance(small, TraceSource)
    assert pickle.loads(pickle.dumps(small)) == small


def test_hash_depends_on_content_not_on_name(small: RequestTrace) -> None:
    assert replace(small, name="other").sha256() == small.sha256() == small.content_hash
    assert replace(small, tier=np.array([1, 1, 2, 0, 0, 2])).sha256() != small.sha256()


@given(size=st.integers(1, 9), start=st.floats(0, 130))
def test_chunks_cover_every_request_once(size: int, start: float) -> None:
    trace = RequestTrace(**columns(120))
    chunks = list(trace.chunks(start, size))
    joined = [t for chunk in chunks for t in chunk.arrival_s]
    assert joined == [t for t in trace.arrival_s if t >= start]
    assert all(len(chunk) <= size for chunk in chunks)


def test_slice_moves_times_and_calendar(small: RequestTrace) -> None:
    late = replace(small, start_weekday=6, start_hour_utc=23.99)
    cut = late.slice(60.0, 100.0)
    assert cut.arrival_s.tolist() == [1.0, 10.0]
    assert cut.duration_s == 40.0
    assert (cut.start_weekday, round(cut.start_hour_utc, 4)) == (0, 0.0067)
    assert len(small.slice(119.0)) == 1
    with pytest.raises(TraceError, match="cannot cut"):
        small.slice(500.0)


def test_slice_keeps_the_mix(small: RequestTrace) -> None:
    assert small.slice(60.0).token_mix(0)[0].tolist() == [100, 500]
    assert small.token_mix(3)[0].tolist() == [400]


def test_slice_keeps_what_lies_before_as_past(small: RequestTrace) -> None:
    past = DemandSeries.zeros(3, start_s=-180.0, bin_s=60.0)
    cut = small.with_past(past).slice(60.0)
    history = cut.history(60.0)
    assert len(history) == 4
    assert history.end_s == 0.0
    assert history.requests[-1].sum() == 3
    assert len(small.slice(60.0).history(60.0)) == 0


def test_reindex_renumbers_by_name(small: RequestTrace) -> None:
    models = ("qwen", *reversed(small.models))
    other = small.reindex(models=models)
    for old, new in zip(small.model, other.model, strict=True):
        assert models[new] == small.models[old]
    assert small.reindex(models=small.models) is small
    with pytest.raises(TraceError, match=r"requests of region eastus.*not among"):
        small.reindex(regions=("westus", "centralus"))


def test_reindex_moves_the_past_and_keeps_the_mix(small: RequestTrace) -> None:
    past = DemandSeries.zeros(1, start_s=-60.0)
    requests = np.zeros((1, 4, 3, 3))
    requests[0, 1, 0, 0] = 7
    past = replace(past, requests=requests)
    mix = small.token_mix(1)
    other = small.with_past(past).reindex(models=tuple(reversed(small.models)))
    assert other.history(60.0).requests[0, 2, 0, 0] == 7
    assert np.array_equal(other.token_mix(2)[0], mix[0])


def test_demand_by_hand(small: RequestTrace) -> None:
    demand = small.demand(60.0)
    assert demand.requests.shape == (2, 4, 3, 3)
    assert demand.requests.sum(axis=(1, 2, 3)).tolist() == [3, 3]
    assert demand.prompt_tokens[0, 2, 2, 2] == 300
    assert demand.output_tokens[1, 1, 2, 2] == 6
    assert len(small.demand(50.0)) == 3
    assert small.demand(60.0, 60.0).requests.sum() == 3


def test_history_gives_only_whole_past_bins(small: RequestTrace) -> None:
    assert len(small.history(60.0)) == 0
    assert len(small.history(60.0, 59.0)) == 0
    assert small.history(60.0, 70.0).requests.sum() == 3
    past = DemandSeries.zeros(2, start_s=-120.0)
    assert len(small.with_past(past).history(60.0, 60.0)) == 3
