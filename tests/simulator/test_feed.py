"""Chunks made in a thread, in one pass or one by one are the same chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sageserve_env.scenario import load_scenario
from sageserve_env.simulator import binding, feed
from sageserve_env.simulator.feed import Feed
from sageserve_env.simulator.producer import Producer, pays
from sageserve_traces import make_trace
from tests.simulator.small import scenario, simulator, trace
from tests.simulator.strategies import fingerprint

ROWS = [(0.5 * i, 40 + 37 * i % 900, 1 + 13 * i % 1300) for i in range(60)]


def read(chunks: Feed) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(b"".join(column.tobytes() for column in next(chunks)))
        except StopIteration:
            return found


@pytest.mark.compiled
def test_one_pass_gives_what_columns_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts and outputs that are too long are cut, and counted at the same times."""
    small = scenario(kv_tokens=1100, batching={"max_output_tokens": 500})
    bound = Feed(trace(ROWS, small), small)
    monkeypatch.setattr(feed, "can_bind", lambda columns: False)
    by_columns = Feed(trace(ROWS, small), small)
    assert read(bound) == read(by_columns)
    for now_s in (0.0, 7.3, 20.0, 100.0):
        assert bound.changed(now_s) == by_columns.changed(now_s)
    assert bound.changed(100.0).truncated_prompts > 0
    assert bound.changed(100.0).truncated_outputs > 0
    assert bound.position() == by_columns.position()


@pytest.mark.compiled
def test_generated_traces_are_bound_in_one_pass() -> None:
    chunk = next(make_trace("o365", seed=0, horizon_s=600.0).chunks())
    columns = [getattr(chunk, name) for name in binding.TYPES]
    assert binding.can_bind(columns)
    assert not binding.can_bind([columns[0].astype(np.float32), *columns[1:]])


@pytest.mark.compiled
def test_a_simulation_that_reads_ahead_has_the_same_bits() -> None:
    tiny = load_scenario("trap-base").replace(horizon_s=3600.0)
    prints = []
    for ahead in (False, True):
        sim = simulator(tiny, [])
        sim.read_ahead = ahead
        sim.reset(make_trace("o365", seed=3, horizon_s=3600.0, scale=0.02), 1)
        sim.advance(1000.0)
        snapshot = sim.snapshot()
        sim.advance(2500.0)
        sim.restore(snapshot)
        sim.advance(3600.0)
        prints.append(fingerprint(sim))
    assert prints[0] == prints[1]


def test_a_producer_keeps_order_and_end() -> None:
    for ahead in (False, True):
        made: Producer[int] = Producer(iter(range(5)), ahead=ahead)
        assert [next(made) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(StopIteration):
            next(made)


def test_a_producer_makes_the_next_item_when_asked_to() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for i in range(2):
            read.append(i)
            yield i
        raise ValueError("no more")

    made = Producer(items(), ahead=False)
    assert made.make_next() and not made.make_next()
    assert read == [0]
    assert [next(made), next(made)] == [0, 1]
    assert made.make_next()
    with pytest.raises(ValueError, match="no more"):
        next(made)


@pytest.mark.compiled
def test_chunks_read_ahead_are_the_same() -> None:
    source = make_trace("o365", seed=3, horizon_s=3600.0, scale=0.02)
    plain, ahead = (Feed(source, load_scenario("o365-day")) for _ in range(2))
    for _ in range(6):
        assert ahead.read_ahead() and not ahead.read_ahead()
        position = ahead.position()
        assert position == plain.position()
        for a, b in zip(next(plain), next(ahead), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_error_is_raised_where_the_item_would_be() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    made = Producer(items(), ahead=True)
    assert next(made) == 1
    with pytest.raises(ValueError, match="no more"):
        next(made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_on() -> None:
    small = scenario()
    chunks = Feed(trace(ROWS, small), small, ahead=True)
    one = Feed(_Pieces(trace(ROWS, small)), small, ahead=True)
    next(one)
    child = os.fork()
    if child == 0:
        arrivals = 0
        for chunk in iter(lambda: next(one, None), None):
            arrivals += len(chunk[0])
        os._exit(0 if arrivals == 50 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(read(chunks)) == 1 and len(read(one)) == 5


class _Pieces:
    """A trace that comes ten rows at a time."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def chunks(self, start_s: float = 0.0) -> Iterator[Any]:
        yield from self._source.chunks(start_s, 10)


def test_reading_ahead_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESERVE_READ_AHEAD", "0")
    assert not pays()


@pytest.mark.compiled
def test_rows_that_the_scenario_lacks_are_left_out_in_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = load_scenario("tiny")
    source = make_trace("pair", seed=0, horizon_s=1800.0)
    bound = Feed(source, tiny)
    assert bound._bound(next(source.chunks())) is not None
    monkeypatch.setattr(feed, "can_bind", lambda columns: False)
    by_columns = Feed(source, tiny)
    assert read(bound) == read(by_columns)
    for now_s in (0.0, 500.0, 1800.0):
        assert bound.changed(now_s) == by_columns.changed(now_s)
    assert bound.changed(1800.0).left_out > 100
    assert bound.position() == by_columns.position()
