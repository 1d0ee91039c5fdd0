"""Prefix caches without time against explicit lists of blocks."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.simulator.prefix_in_turn import IN_TURN_ROUTERS, serve_in_turn
from sageserve_traces.prefixes import Blocks, build_trie

BLOCK = 4


def _blocks(prompts: list[list[int]]) -> Blocks:
    lengths = [len(p) for p in prompts]
    return Blocks(
        np.array([i for p in prompts for i in p], np.int64), np.append(0, np.cumsum(lengths))
    )


def _plain(
    prompts: list[list[int]], tokens: list[int], workers: int, capacity: int, router: str
) -> tuple[list[int], list[int]]:
    """The same with ordered sets of block paths."""
    caches: list[OrderedDict[tuple[int, ...], None]] = [OrderedDict() for _ in range(workers)]
    computed, hits, chosen = [0] * workers, [], []
    for i, (prompt, n) in enumerate(zip(prompts, tokens, strict=True)):
        paths = [tuple(prompt[: j + 1]) for j in range(len(prompt))]
        held = []
        for cache in caches:
            known = [path in cache for path in paths]
            held.append(known.index(False) if False in known else len(paths))
        cached = [min(k * BLOCK, n - 1) for k in held]
        every = range(workers)
        best = min(every, key=lambda w: (-cached[w], computed[w]))
        if router == "round_robin":
            best = i % workers
        elif router == "prefix_if_half" and 2 * held[best] <= len(prompt):
            best = min(every, key=lambda w: computed[w])
        elif router == "least_work":
            best = min(every, key=lambda w: n - cached[w] + computed[w])
        for path in reversed(paths):
            caches[best][path] = None
            caches[best].move_to_end(path)
        while len(caches[best]) > capacity:
            caches[best].popitem(last=False)
        computed[best] += n - cached[best]
        hits.append(cached[best])
        chosen.append(best)
    return hits, chosen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=40),
    st.integers(1, 3),
    st.integers(1, 9),
    st.sampled_from(IN_TURN_ROUTERS),
)
def test_equals_lists_of_blocks(
    prompts: list[list[int]], workers: int, capacity: int, router: str
) -> None:
    tokens = [BLOCK * len(p) - i % 3 for i, p in enumerate(prompts)]
    trie, node = build_trie(_blocks(prompts), BLOCK)
    cached, worker = serve_in_turn(
        trie, node, np.array(tokens, np.int64), workers, capacity, router
    )
    hits, chosen = _plain(prompts, tokens, workers, capacity, router)
    assert cached.tolist() == hits
    assert worker.tolist() == chosen


def test_oldest_blocks_leave_from_the_end() -> None:
    # Five blocks fit. [1, 2, 3] and [1, 7, 8] share a block; the third prompt drops [2, 3] from
    # its end only as far as needed: 3 goes, 2 stays.
    prompts = [[1, 2, 3], [1, 7, 8], [9], [1, 2, 3]]
    trie, node = build_trie(_blocks(prompts), BLOCK)
    tokens = np.array([12, 12, 4, 12])
    cached, _ = serve_in_turn(trie, node, tokens, 1, 5, "round_robin")
    assert cached.tolist() == [0, 4, 0, 8]


def test_one_token_is_always_computed() -> None:
    trie, node = build_trie(_blocks([[1, 2], [1, 2]]), BLOCK)
    cached, _ = serve_in_turn(trie, node, np.array([8, 8]), 1, 10, "least_work")
    assert cached.tolist() == [0, 7]


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_prompt_beyond_the_capacity_keeps_its_first_blocks(capacity: int) -> None:
    trie, node = build_trie(_blocks([[1, 2, 3], [1, 2, 3]]), BLOCK)
    cached, _ = serve_in_turn(trie, node, np.array([12, 12]), 1, capacity, "round_robin")
    assert cached.tolist() == [0, 4 * capacity]
