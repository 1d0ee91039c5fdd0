"""Closed sessions: a turn comes some time after the answer before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env._config import ScenarioError
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.sessions import make_sessions
from tests.simulator.small import scenario, trace


def played(rows: Any, session: list[int], think_s: list[float], **changes: Any) -> Simulator:
    of = scenario(workload={"sessions": "closed"}, **changes)
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(replace(trace(rows, of), session=session, think_s=think_s))
    return sim


def test_a_turn_comes_after_the_answer() -> None:
    # Alone, 100 tokens and 3 of output take 0.2 + 2 x 0.06 s. The second turn is in the trace at
    # 0.1 s, but comes at 0.32 + 5 s, the third 1 s after that answer.
    sim = played([(0.0, 100, 3), (0.1, 100, 3), (0.2, 100, 3)], [7, 7, 7], [0.0, 5.0, 1.0])
    sim.advance(5.3)
    assert sim.episode_metrics()["requests"] == 1
    sim.advance(5.33)
    assert sim.episode_metrics()["requests"] == 2
    sim.advance(6.6)
    sim.check_invariants()
    assert sim.episode_metrics()["requests"] == 2
    sim.advance(6.7)
    assert sim.episode_metrics()["requests"] == 3
    sim.advance(20.0)
    assert sim.records()["e2e_s"] == pytest.approx([0.32] * 3)


def test_open_sessions_come_when_the_trace_says() -> None:
    of = scenario()
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    rows = trace([(0.0, 100, 3), (0.1, 100, 3)], of)
    sim.reset(replace(rows, session=[1, 1], think_s=[0.0, 5.0]))
    sim.advance(1.0)
    assert sim.episode_metrics()["requests"] == 2


def test_closed_sessions_need_their_columns() -> None:
    of = scenario(workload={"sessions": "closed"})
    sim = Simulator(of, np.full((1, 1), 1000.0))
    with pytest.raises(ScenarioError, match="session and think_s"):
        sim.reset(trace([(0.0, 100, 3)], of))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_every_turn_comes_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    rows = [(float(t), int(rng.integers(1, 200)), 2) for t in np.sort(rng.uniform(0, 5, n))]
    session = rng.integers(0, 8, n).tolist()
    think_s = rng.choice([0.0, 0.5, 3.0], n).tolist()
    sim = played(rows, session, think_s, initial_instances=2)
    for until_s in (1.0, 4.0, 10.0):
        sim.advance(until_s)
        sim.check_invariants()
    kept = sim.snapshot()
    sim.advance(1000.0)
    done = sim.records()["e2e_s"].copy()
    assert len(done) == n and np.isfinite(done).all()
    sim.restore(kept)
    sim.advance(1000.0)
    np.testing.assert_array_equal(sim.records()["e2e_s"], done)
    # All turns of a session one after the other: e2e and think times add up.
    mine = np.array(session) == session[0]
    assert int(mine.sum()) <= n
    assert int(sim.state.clock[0]["n_thinking"]) == 0


def test_generated_sessions_are_closed_too() -> None:
    of = scenario(
        vms=8,
        regions=("america", "europe", "asia"),
        models=("llama-3.1-8b", "gpt-oss-120b"),
        initial_instances=4,
        kv_tokens=400_000,
        batching={
            "prefill_token_budget": 8000,
            "prefix_cache": "lru",
            "max_output_tokens": 10_000,
        },
        routing={"router": "prefix_affinity"},
        workload={"sessions": "closed"},
    )
    sim = Simulator(of, np.full((2, 1), 1000.0))
    sim.reset(make_sessions(2, 300.0, 0.2))
    sim.advance(300.0)
    sim.check_invariants()
    metrics = sim.episode_metrics()
    assert metrics["completed"] > 0
    assert 0 < metrics["prefix_hit_rate"] < 1
