"""Snapshot, continue, restore, continue: the same bits, in the middle of anything."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.scenario import load_scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.source import TraceSource
from sageserve_traces.synthetic import SyntheticTrace
from sageserve_traces.trace import RequestTrace
from tests.simulator.small import scenario, simulator, targets
from tests.simulator.strategies import Case, cases, fingerprint


class Pieces(RequestTrace):
    """A trace in memory that is handed out a few requests at a time."""

    def chunks(self, start_s: float = 0.0, max_requests: int = 3):  # noqa: ANN201
        return super().chunks(start_s, max_requests)


def in_pieces(trace: RequestTrace) -> Pieces:
    columns = ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")
    names = ("models", "regions", "tiers", "duration_s")
    return Pieces(**{k: getattr(trace, k) for k in (*columns, *names)})


@pytest.mark.compiled
@given(cases(), st.data())
@settings(max_examples=150)
def test_a_restored_run_continues_bit_identically(case: Case, data: st.DataObject) -> None:
    sim = case.simulator()
    if data.draw(st.booleans(), label="pieces"):  # chunk boundaries between simultaneous arrivals
        sim.reset(in_pieces(case.trace), case.seed)
    at = data.draw(st.integers(0, len(case.steps)), label="snapshot before step")
    inside = data.draw(st.floats(0, 1), label="part of the step before the snapshot")
    for wait, action in case.steps[:at]:
        sim.apply(action)
        sim.advance(sim.time_s + inside * wait)
    kept = sim.snapshot()
    before = fingerprint(sim)
    ends = []
    for _ in range(3):
        for wait, action in case.steps[at:]:
            sim.apply(action)
            sim.advance(sim.time_s + wait)
        sim.advance(sim.time_s + 50.0)
        ends.append(fingerprint(sim))
        sim.restore(kept)
        assert fingerprint(sim) == before
        sim.check_invariants()
    assert ends[0] == ends[1] == ends[2]


def o365(offset_s: float) -> tuple[Simulator, TraceSource]:
    published = load_scenario("o365-day")
    sim = Simulator(published, np.full((4, 1), 3000.0), records=True)
    return sim, SyntheticTrace(seed=5, days=0.5, scale=0.4)


@pytest.mark.compiled
@pytest.mark.parametrize("offset_s", [0.0, 1234.567])
def test_a_streamed_trace_continues_across_chunk_boundaries(offset_s: float) -> None:
    """The synthetic trace is generated ten minutes at a time; snapshots lie on either side."""
    sim, trace = o365(offset_s)
    sim.reset(trace, 1, offset_s=offset_s)
    kept = []
    for until_s in (0.0, 599.0, 600.0, 1801.3, 2400.0):
        sim.advance(until_s)
        kept.append(sim.snapshot())
    sim.advance(4000.0)
    straight, metrics = fingerprint(sim), sim.episode_metrics()
    assert metrics["requests"] > 4000
    for snapshot in (kept[3], kept[0], kept[4], kept[1], kept[2]):
        sim.restore(snapshot)
        sim.advance(4000.0)
        assert fingerprint(sim) == straight
        assert repr(sim.episode_metrics()) == repr(metrics)


@pytest.mark.compiled
def test_left_out_and_truncated_requests_are_counted_once() -> None:
    published = load_scenario("o365-day")
    part = published.replace(models=("bloom-176b",), initial_instances=4, workload={"subset": True})
    sim = Simulator(part, np.full((1, 1), 2000.0))
    trace = SyntheticTrace(seed=5, days=0.5, scale=1.0)
    sim.reset(trace, 1, offset_s=100.3)
    sim.advance(1500.0)
    kept = sim.snapshot()
    sim.advance(4000.0)
    once = sim.episode_metrics()
    assert once["left_out_requests"] > 0 and once["truncated_prompts"] > 0
    sim.restore(kept)
    sim.advance(4000.0)
    assert repr(sim.episode_metrics()) == repr(once)


def test_a_snapshot_is_not_touched_by_what_follows() -> None:
    sim = simulator(scenario(), [(float(i), 200, 20) for i in range(50)])
    sim.advance(10.0)
    kept = sim.snapshot()
    frozen = pickle.dumps(kept.state)
    targets(sim, 3)
    sim.advance(1000.0)
    assert pickle.dumps(kept.state) == frozen
    sim.restore(kept)
    targets(sim, 2)
    sim.advance(500.0)
    assert pickle.dumps(kept.state) == frozen


def test_a_snapshot_after_the_end_of_the_trace() -> None:
    sim = simulator(scenario(), [(0.0, 200, 20), (1.0, 100, 5)])
    kept = [sim.snapshot()]
    for until_s in (0.5, 1.0, 50.0):
        sim.advance(until_s)
        kept.append(sim.snapshot())
    sim.advance(100.0)
    end = fingerprint(sim)
    for snapshot in reversed(kept):
        sim.restore(snapshot)
        sim.advance(100.0)
        rows = sim.records()
        assert rows["e2e_s"] == pytest.approx([0.3 + 19 * 0.06, 0.2 + 4 * 0.07], rel=0.2)
        again = fingerprint(sim)
        assert {k: again[k] for k in again if k not in ("vm_seconds", "vm")} == {
            k: end[k] for k in end if k not in ("vm_seconds", "vm")
        }


def test_a_snapshot_of_another_cluster_is_refused_and_changes_nothing() -> None:
    rows = [(float(i), 200, 20) for i in range(50)]
    sim = simulator(scenario(), rows)
    sim.advance(10.0)
    before = fingerprint(sim)
    others = {
        "another scenario": simulator(scenario(vms=40, regions=("here", "there")), rows),
        "another theta": simulator(scenario(), rows, theta=500.0),
    }
    unrecorded = Simulator(sim.scenario, sim.theta)
    unrecorded.reset(sim.feed.source)
    others["another records"] = unrecorded
    for message, other in others.items():
        with pytest.raises(ValueError, match=message):
            sim.restore(other.snapshot())
        with pytest.raises(ValueError, match=message):
            other.restore(sim.snapshot())
    with pytest.raises(ValueError, match="expected a snapshot, got dict"):
        sim.restore({})  # type: ignore[arg-type]
    assert fingerprint(sim) == before
    alike = simulator(scenario(), rows)
    alike.restore(pickle.loads(pickle.dumps(sim.snapshot())))
    sim.advance(100.0)
    alike.advance(100.0)
    assert fingerprint(sim) == fingerprint(alike)


def cut_or_left_out(sim: Simulator) -> list[int]:
    metrics = sim.episode_metrics()
    return [
        metrics[f"{k}"] for k in ("truncated_prompts", "truncated_outputs", "left_out_requests")
    ]


@pytest.mark.parametrize("pieces", [False, True])
def test_only_what_has_arrived_is_counted_as_cut_or_left_out(pieces: bool) -> None:
    """Prompts above 1,000 tokens, outputs above 100 and a model that is not there, in turn."""
    both = scenario(models=("m", "other"), kv_tokens=1100, batching={"max_output_tokens": 100})
    small = both.replace(models=("m",), workload={"subset": True})
    kinds = [(2000, 1), (10, 500), (10, 1), (2000, 500)]
    rows = [(10.0 * i, *kinds[i % 4]) for i in range(40)]
    trace = simulator(both, rows, model=[int(i % 4 == 2) for i in range(40)]).feed.source
    sim = Simulator(small, np.full((1, 1), 1000.0))
    sim.reset(in_pieces(trace) if pieces else trace)  # type: ignore[arg-type]

    def expected(now_s: float) -> list[int]:
        kind = np.arange(int(now_s // 10) + 1)[:40] % 4
        return [int(np.isin(kind, k).sum()) for k in ((0, 3), (1, 3), (2,))]

    kept = []
    for now_s in (0.0, 9.9, 19.9, 20.0, 55.0, 123.0, 200.0):
        sim.advance(now_s)
        assert cut_or_left_out(sim) == expected(now_s)
        assert sim.episode_metrics()["requests"] == int(now_s // 10) + 1 - expected(now_s)[2]
        kept.append((now_s, sim.snapshot()))
    sim.advance(1000.0)
    assert cut_or_left_out(sim) == [20, 20, 10]
    for now_s, snapshot in reversed(kept):
        sim.restore(snapshot)
        assert cut_or_left_out(sim) == expected(now_s)
        sim.advance(now_s + 40.0)
        assert cut_or_left_out(sim) == expected(now_s + 40.0)


def test_a_pickled_state_continues_as_well() -> None:
    sim = simulator(scenario(), [(float(i), 200, 20) for i in range(50)])
    sim.advance(10.0)
    sim.state = pickle.loads(pickle.dumps(sim.state))
    sim.advance(200.0)
    other = simulator(scenario(), [(float(i), 200, 20) for i in range(50)])
    other.advance(10.0)
    other.advance(200.0)
    assert fingerprint(sim) == fingerprint(other)
