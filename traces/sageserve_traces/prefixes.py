"""Shared beginnings of prompts: paths of blocks in one trie, so that a prompt is one node of it.

A prompt is a list of block ids, each for the same number of tokens. Prompts that begin with the
same ids share these nodes. Runs of blocks that all prompts pass as a whole are one node, so that a
path is a few nodes long where it is hundreds of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import TraceError

Ints = npt.NDArray[np.int64]

#: Tokens of a block in files that hold block ids.
BLOCK_TOKENS = 512

#: Node of a prompt that shares nothing.
ROOT = 0


@dataclass(frozen=True, eq=False)
class PrefixTrie:
    """Nodes of a trie; node 0 is the root, and parents come before their children.

    Attributes:
        parent: Node above, ``int32 [nodes]``; 0 for the root itself.
        depth: Blocks from the start of the prompt to the end of the node, ``int32 [nodes]``.
        block_tokens: Tokens of a block.
    """

    parent: npt.NDArray[np.int32]
    depth: npt.NDArray[np.int32]
    block_tokens: int = 512

    def __post_init__(self) -> None:
        """Check the nodes.

        Raises:
            TraceError: If they are no trie.
        """
        parent, depth = self.parent, self.depth
        below = np.arange(1, len(parent))
        if len(parent) != len(depth) or not len(parent) or parent[0] != 0 or depth[0] != 0:
            raise TraceError("a trie of prefixes starts with its root: parent 0, depth 0")
        if (parent[1:] < 0).any() or (parent[1:] >= below).any():
            raise TraceError("a trie of prefixes has parents before their children")
        if (depth[1:] <= depth[parent[1:]]).any():
            raise TraceError("each node of a trie of prefixes is deeper than its parent")
        if self.block_tokens < 1:
            raise TraceError(f"block_tokens must be at least 1, got {self.block_tokens}")

    def __len__(self) -> int:
        """Return the number of nodes, the root included."""
        return len(self.parent)

    def blocks_of(self, node: npt.NDArray[np.int32]) -> Blocks:
        """Return ids of the blocks of prompts; each block of the trie has its own, from 0."""
        base = self.depth[self.parent]  # where a node begins in its prompt, in blocks
        first = np.cumsum(self.depth - base) - (self.depth - base)  # id of its first block
        offsets = np.append(0, np.cumsum(self.depth[node], dtype=np.int64))
        ids = np.empty(int(offsets[-1]), dtype=np.int64)
        at, begin = node.astype(np.int64), offsets[:-1]
        while len(at):  # all prompts a node up at a time
            below = at != ROOT
            at, begin = at[below], begin[below]
            length = (self.depth - base)[at]
            within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
            ids[np.repeat(begin + base[at], length) + within] = (
                np.repeat(first[at], length) + within
            )
            at = self.parent[at].astype(np.int64)
        return Blocks(ids, offsets)


def check_nodes(
    name: str,
    node: npt.NDArray[np.int32],
    prompt_tokens: npt.NDArray[np.int32],
    trie: PrefixTrie | None,
) -> None:
    """Check the nodes of prompts.

    Raises:
        TraceError: If there is no such node, or it is deeper than its prompt.
    """
    if trie is None:
        raise TraceError(f"trace {name!r}: prefix_node needs prefixes, the trie of its nodes")
    bad = np.flatnonzero((node < 0) | (node >= len(trie)))
    if not len(bad):
        depth = trie.depth[node].astype(np.int64)
        bad = np.flatnonzero(depth * trie.block_tokens > prompt_tokens)
    if len(bad):
        raise TraceError(
            f"trace {name!r}: row {bad[0]}, column prefix_node: {node[bad[0]]} is no node of the "
            "trie, or has more whole blocks than the prompt"
        )


@dataclass(frozen=True)
class Blocks:
    """Block ids of many prompts, one after the other.

    Attributes:
        ids: Block ids, ``int64``.
        offsets: Prompt ``i`` has ``ids[offsets[i]:offsets[i + 1]]``, ``int64 [n + 1]``.
    """

    ids: Ints
    offsets: Ints

    @property
    def lengths(self) -> Ints:
        """Blocks of each prompt, ``int64 [n]``."""
        return np.diff(self.offsets)

    def cut(self, lengths: npt.ArrayLike) -> Blocks:
        """Return the same with at most so many blocks of each prompt."""
        kept = np.minimum(self.lengths, lengths)
        place = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths)
        return Blocks(
            self.ids[place < np.repeat(kept, self.lengths)], np.append(0, np.cumsum(kept))
        )

    def take(self, rows: npt.NDArray[np.bool_]) -> Blocks:
        """Return those of some prompts."""
        return Blocks(
            self.ids[np.repeat(rows, self.lengths)], np.append(0, np.cumsum(self.lengths[rows]))
        )


def read_blocks(cells: Iterable[Any]) -> Blocks:
    """Return block ids of cells that hold a list each, as such or as a text of whole numbers.

    Raises:
        TraceError: With the row (from 1) of the first cell that is neither.
    """
    parts: list[Sequence[int]] = []
    for row, cell in enumerate(cells, 1):
        try:
            if cell is None:
                parts.append(())
            elif isinstance(cell, str):
                text = cell.strip().strip("[]").replace(",", " ")
                parts.append([int(word) for word in text.split()])
            else:
                parts.append([int(word) for word in cell])
        except (TypeError, ValueError):
            raise TraceError(
                f"row {row}: block ids {str(cell)[:40]!r} are no list of whole numbers"
            ) from None
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    ids = np.fromiter((i for part in parts for i in part), np.int64, int(lengths.sum()))
    return Blocks(ids, np.append(0, np.cumsum(lengths)))


def build_trie(blocks: Blocks, block_tokens: int = 512) -> tuple[PrefixTrie, npt.NDArray[np.int32]]:
    """Return the trie of all prompts, and the node where each prompt ends, ``int32 [n]``."""
    _, code = np.unique(blocks.ids, return_inverse=True)
    distinct = int(code.max(initial=0)) + 1
    lengths = blocks.lengths
    node = np.zeros(len(lengths), dtype=np.int64)
    parents: list[Ints] = [np.zeros(1, dtype=np.int64)]
    n_nodes = 1
    rows = np.flatnonzero(lengths > 0)
    level = 0
    while len(rows):  # one level of the trie after the other
        key = node[rows] * distinct + code[blocks.offsets[rows] + level]
        found, inverse = np.unique(key, return_inverse=True)
        parents.append(found // distinct)
        node[rows] = n_nodes + inverse
        n_nodes += len(found)
        level += 1
        rows = rows[lengths[rows] > level]
    return _merged(parents, node, block_tokens)


def session_paths(
    session: Ints, prompt_tokens: npt.NDArray[np.int32], block_tokens: int = BLOCK_TOKENS
) -> tuple[PrefixTrie, npt.NDArray[np.int32]]:
    """Return the trie of sessions whose turns go on from the prompt before, and the nodes.

    A turn that is no longer than the one before it in whole blocks begins anew (our assumption);
    sessions share nothing with each other.

    Args:
        session: Session of each request, in order of arrival, [n].
        prompt_tokens: Tokens of each prompt, [n].
        block_tokens: Tokens of a block.
    """
    n = len(session)
    order = np.lexsort((np.arange(n), session))
    blocks = (prompt_tokens[order] // block_tokens).astype(np.int64)
    goes_on = np.zeros(n, dtype=bool)
    goes_on[1:] = (session[order][1:] == session[order][:-1]) & (blocks[1:] > blocks[:-1])
    has_node = blocks > 0
    number = np.where(has_node, np.cumsum(has_node), ROOT)
    above = np.where(goes_on, np.append(ROOT, number[:-1]), ROOT)
    trie = PrefixTrie(
        np.append(ROOT, above[has_node]).astype(np.int32),
        np.append(0, blocks[has_node]).astype(np.int32),
        block_tokens,
    )
    node = np.empty(n, dtype=np.int32)
    node[order] = number
    return trie, node


def _merged(
    parents: list[Ints], node: Ints, block_tokens: int
) -> tuple[PrefixTrie, npt.NDArray[np.int32]]:
    """Merge each node that no prompt ends at with its only child."""
    parent = np.concatenate(parents)
    level = np.repeat(np.arange(len(parents)), [len(part) for part in parents])
    kept = np.bincount(parent[1:], minlength=len(parent)) != 1
    kept[node] = True
    kept[ROOT] = True
    above = parent.copy()
    first = 0
    for part in parents:  # parents come a level before their children
        mine = slice(first, first + len(part))
        above[mine] = np.where(kept[parent[mine]], parent[mine], above[parent[mine]])
        first += len(part)
    number = np.cumsum(kept) - 1
    trie = PrefixTrie(
        number[above[kept]].astype(np.int32), level[kept].astype(np.int32), block_tokens
    )
    return trie, number[node].astype(np.int32)
