"""Tries of prompts: paths, merged runs, and reading block ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_traces.errors import TraceError
from sageserve_traces.prefixes import PrefixTrie, build_trie, read_blocks


def test_runs_without_a_branch_are_one_node() -> None:
    # root - (1 2) - (3 4), and (5) below (1 2): four nodes with the root.
    trie, node = build_trie(read_blocks(["1 2 3 4", [1, 2, 5], "", "[1, 2]"]))
    assert len(trie) == 4
    assert trie.depth[node].tolist() == [4, 3, 0, 2]
    assert trie.parent[node[0]] == trie.parent[node[1]] == node[3]


@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=20))
def test_common_ancestors_are_common_prefixes(prompts: list[list[int]]) -> None:
    trie, node = build_trie(read_blocks(prompts))

    def path(n: int) -> list[int]:
        return [n, *path(int(trie.parent[n]))] if n else [0]

    for a, n in zip(prompts, node, strict=True):
        assert trie.depth[n] == len(a)
        for b, m in zip(prompts, node, strict=True):
            common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
            common = min(len(a), len(b)) if common is None else common
            shared = [k for k in path(int(n)) if k in path(int(m))]
            assert trie.depth[shared[0]] == common


def test_blocks_are_cut_to_whole_ones() -> None:
    blocks = read_blocks(["1 2 3", "4"]).cut([2, 5])
    assert blocks.ids.tolist() == [1, 2, 4]
    assert blocks.offsets.tolist() == [0, 2, 3]


def test_unreadable_ids_name_their_row() -> None:
    with pytest.raises(TraceError, match="row 2: block ids '1 x'"):
        read_blocks(["1", "1 x"])


def test_a_trie_has_parents_first() -> None:
    with pytest.raises(TraceError, match="parents before"):
        PrefixTrie(np.array([0, 2, 0], np.int32), np.array([0, 2, 1], np.int32))
