"""Tries of prompts: paths, merged runs, and reading block ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_traces.errors import TraceError
from sageserve_traces.prefixes import PrefixTrie, build_trie, read_blocks
from sageserve_traces.sources import load_rows


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


def test_files_say_what_prompts_share(tmp_path: Path) -> None:
    mooncake = tmp_path / "m.jsonl"
    mooncake.write_text(
        '{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}\n'
        '{"timestamp": 9, "input_length": 1500, "output_length": 5, "hash_ids": [1, 2, 4]}\n'
    )
    native = tmp_path / "n.csv"
    native.write_text(
        "arrival_s,prompt_tokens,output_tokens,block_ids\n0,1100,5,1 2 3\n9,1500,5,1 2 4\n"
    )
    for path in (mooncake, native):
        trace, _ = load_rows(path)
        assert trace.prefixes is not None and trace.prefix_node is not None
        # Whole blocks only: the third block of both prompts is not full.
        assert trace.prefixes.depth[trace.prefix_node].tolist() == [2, 2]
        assert trace.slice(0.0, 0.005).prefix_node is not None


def test_files_say_which_requests_are_turns_of_a_session(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "arrival_s,prompt_tokens,output_tokens,session,think_s\n"
        "0,600,5,a,0\n1,600,5,b,0\n20,1700,5,a,3.5\n40,700,5,a,1\n"
    )
    trace, _ = load_rows(path)
    assert trace.session is not None and trace.think_s is not None
    assert trace.prefixes is not None and trace.prefix_node is not None
    assert trace.think_s.tolist() == [0, 0, 3.5, 1]
    first, other, second, anew = trace.prefix_node
    assert trace.prefixes.parent[second] == first
    assert trace.prefixes.depth[trace.prefix_node].tolist() == [1, 1, 3, 1]
    assert trace.prefixes.parent[[first, other, anew]].tolist() == [0, 0, 0]
