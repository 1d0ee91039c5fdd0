"""Generated sessions: seeded, and as their law says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import load_trace
from sageserve_traces.catalogue import make_trace
from sageserve_traces.session_law import AGENT, CHAT
from sageserve_traces.sessions import make_sessions


def test_the_seed_decides() -> None:
    one, other = (make_sessions(seed, 1800.0) for seed in (1, 2))
    make_sessions.cache_clear()
    again = make_sessions(1, 1800.0)
    assert again is not one and again == one
    assert one != other
    assert make_trace("sessions", seed=1, horizon_s=1800.0) == one


def test_turns_go_on_from_what_came_before() -> None:
    trace = make_sessions(4, 7200.0)
    assert trace.prefixes is not None and trace.prefix_node is not None
    assert trace.session is not None and trace.think_s is not None
    session = int(np.bincount(trace.session).argmax())
    rows = np.flatnonzero(trace.session == session)
    assert len(rows) > 5

    def path(node: int) -> list[int]:
        return [node, *path(int(trace.prefixes.parent[node]))] if node else [0]  # type: ignore

    for before, after in itertools.pairwise(rows):
        shared = next(
            n for n in path(trace.prefix_node[after]) if n in path(trace.prefix_node[before])
        )
        longer = trace.prompt_tokens[after] > trace.prompt_tokens[before]
        if longer:  # no restart
            assert shared == trace.prefix_node[before]
        gap_s = trace.arrival_s[after] - trace.arrival_s[before]
        assert 0 < trace.think_s[after] < gap_s


@pytest.mark.parametrize("kind", [CHAT, AGENT])
def test_tokens_follow_the_published_means(kind: object) -> None:
    trace = make_sessions(7, 4 * 3600.0, 4.0, kinds=(kind,))  # type: ignore[arg-type]
    assert abs(trace.output_tokens.mean() / kind.output_tokens.mean - 1) < 0.1  # type: ignore
    assert trace.prompt_tokens.max() <= kind.most_tokens  # type: ignore[attr-defined]
    assert trace.prompt_tokens.min() > kind.shared_tokens  # type: ignore[attr-defined]


def test_the_past_is_of_the_size_of_the_day() -> None:
    trace = make_sessions(3, 86_400.0, history_days=2.0)
    past = trace.history(3600.0)
    assert past.requests.shape[0] == 48
    assert past.requests.sum() / 2 == pytest.approx(len(trace), rel=0.35)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_native_file_keeps_what_is_shared(tmp_path: Path, suffix: str) -> None:
    trace = make_sessions(5, 600.0, history_days=0.0)
    path = tmp_path / f"hour{suffix}"
    (trace.to_csv if suffix == ".csv" else trace.to_parquet)(path)
    read = load_trace(path, models=trace.models, regions=trace.regions)
    assert trace.prefixes is not None and read.prefixes is not None
    assert trace.prefix_node is not None and read.prefix_node is not None
    ids, again = (t.prefixes.blocks_of(t.prefix_node) for t in (trace, read))
    assert again.offsets.tolist() == ids.offsets.tolist()
    # The same ids up to their numbers: each of one stands for one of the other.
    pairs = np.unique(np.stack([ids.ids, again.ids]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    np.testing.assert_allclose(read.think_s, trace.think_s)
    pairs = np.unique(np.stack([trace.session, read.session]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
