"""Prefix caches: which blocks of prompts an instance still holds, least recently used out first.

A prompt is a node of a trie of blocks (`sageserve_traces.prefixes`). An instance holds the first
``held`` blocks of some nodes, each of which is an entry. Requests that run there pin the entries of
their paths; entries that nobody pins stand in a list from the oldest to the newest, and blocks
leave from the end of the oldest. A request gives its path back from its end to the start, so the
end is older: a node is never held without all of its ancestors. Matching thus needs the deepest
entry of a path only, and ``up`` leads from there to the start.

``cache`` CACHE [V], ``entry`` ENTRY [V, C] and ``bucket`` int32 [V, B] (heads of the chains of a
hash table over nodes, B a power of two) are arrays of the state; ``trie`` TRIE [nodes] has parent
and depth of every node, and who holds some of it (`holders`). Rules: docs/sources.md, "Prefixes and
sessions".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sageserve_env.simulator._handle import Handle, prefetch
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import NONE
from sageserve_env.simulator.holders import crowd_array, forget_holder, list_holder
from sageserve_env.simulator.state import CACHE, ENTRY, TRIE

Array = np.ndarray[Any, Any]

ROOT = 0
_HASH = 0x9E3779B1


class Caches(Handle):
    """Caches without a cluster around them; the kernels here take it or a whole state."""

    trie: Array  # TRIE [nodes]
    cache: Array  # CACHE [V]
    entry: Array  # ENTRY [V, C]
    bucket: Array  # i4 [V, B]
    crowd: Array  # i8 [rows, words]

    FIELDS = (
        ("trie", TRIE, 1),
        ("cache", CACHE, 1),
        ("entry", ENTRY, 2),
        ("bucket", np.dtype(np.int32), 2),
        ("crowd", np.dtype(np.int64), 2),
    )


def cache_arrays(instances: int, entries: int) -> dict[str, Array]:
    """Return the arrays of empty caches.

    Args:
        instances: V.
        entries: Most entries of an instance, C: no entry holds less than a block.
    """
    # Most entries hold several blocks, so that there are far fewer; short tables stay near.
    buckets = 1 << max(1, entries // 4 - 1).bit_length() if entries else 0
    cache = np.zeros(instances, dtype=CACHE)
    cache["oldest"] = cache["newest"] = cache["free_head"] = NONE
    return {
        "cache": cache,
        "entry": np.zeros((instances, entries), dtype=ENTRY),
        "bucket": np.full((instances, buckets), NONE, dtype=np.int32),
        "crowd": crowd_array(instances if entries else 0),
    }


def trie_array(parent: Array, depth: Array) -> Array:
    """Return the nodes of a trie as the kernels read them."""
    trie = np.zeros(len(parent), dtype=TRIE)
    trie["parent"], trie["depth"] = parent, depth
    return trie


@jit
def _bucket_of(s: Any, node: int) -> int:
    word = (int(node) * _HASH) & 0xFFFFFFFF
    return int((word ^ (word >> 15)) & (s.bucket.shape[1] - 1))


@jit
def find(s: Any, v: int, node: int) -> int:
    """Entry of a node at instance ``v``; NONE if it holds nothing of it."""
    k = int(s.bucket[v, _bucket_of(s, node)])
    while k != NONE and s.entry[v, k].node != node:
        k = int(s.entry[v, k].chain)
    return k


@jit
def deepest(s: Any, v: int, node: int) -> int:
    """Entry of the deepest node on the path to ``node`` that instance ``v`` holds; or NONE."""
    while node != ROOT:
        trie = s.trie[node]
        if trie.holders > 0:
            k = find(s, v, node)
            if k != NONE:
                return k
        node = int(trie.parent)
    return NONE


@jit
def depth_of(s: Any, v: int, k: int) -> int:
    """Blocks from the start of the prompt that entry ``k`` stands for; 0 for NONE."""
    if k == NONE:
        return 0
    entry = s.entry[v, k]
    return int(s.trie[s.trie[entry.node].parent].depth + entry.held)


@jit
def _leave_list(s: Any, v: int, k: int) -> None:
    """Take entry ``k`` out of the list of those that nobody pins."""
    entry, cache = s.entry[v, k], s.cache[v]
    if entry.older == NONE:
        cache.oldest = entry.newer
    else:
        s.entry[v, entry.older].newer = entry.newer
    if entry.newer == NONE:
        cache.newest = entry.older
    else:
        s.entry[v, entry.newer].older = entry.older


@jit
def _join_list(s: Any, v: int, k: int) -> None:
    """Put entry ``k`` at the newest end of the list."""
    entry, cache = s.entry[v, k], s.cache[v]
    entry.older = cache.newest
    entry.newer = NONE
    if cache.newest == NONE:
        cache.oldest = k
    else:
        s.entry[v, cache.newest].newer = k
    cache.newest = k


@jit
def pinned_depth(s: Any, v: int, k: int) -> int:
    """Blocks of the path that ends in entry ``k`` which some request pins already."""
    while k != NONE and s.entry[v, k].pins == 0:
        k = int(s.entry[v, k].up)
    return depth_of(s, v, k)


@jit
def pin(s: Any, v: int, k: int, stop: int) -> int:
    """Pin entry ``k`` and those above it before ``stop``; returns the blocks nobody pinned."""
    taken = 0
    while k != stop:
        entry = s.entry[v, k]
        if entry.pins == 0:
            _leave_list(s, v, k)
            taken += entry.held
        entry.pins += 1
        k = int(entry.up)
    s.cache[v].evictable -= taken
    return taken


@jit
def unpin(s: Any, v: int, k: int) -> int:
    """Give the path that ends in entry ``k`` back; returns the blocks that nobody pins now."""
    freed = 0
    while k != NONE:
        entry = s.entry[v, k]
        entry.pins -= 1
        if entry.pins == 0:
            _join_list(s, v, k)
            freed += entry.held
        k = int(entry.up)
    s.cache[v].evictable += freed
    return freed


@jit
def _new_entry(s: Any, v: int, node: int, held: int) -> int:
    """Make a pinned entry of a node that instance ``v`` does not hold."""
    cache = s.cache[v]
    k = int(cache.free_head)
    if k == NONE:
        k = int(cache.n_touched)
        cache.n_touched += 1
    else:
        cache.free_head = s.entry[v, k].chain
    entry = s.entry[v, k]
    entry.node = node
    entry.held = held
    entry.pins = 1
    list_holder(s, v, node)
    place = _bucket_of(s, node)
    entry.chain = s.bucket[v, place]
    s.bucket[v, place] = k
    return k


@jit
def extend(s: Any, v: int, node: int, k: int, depth: int) -> int:
    """Hold the path to ``node`` up to ``depth`` blocks.

    Args:
        s: The caches.
        v: Instance.
        node: Node of the prompt.
        k: Its `deepest` entry, pinned; or NONE.
        depth: Blocks that are to be held of the path.

    Returns:
        The deepest entry now; what is new is pinned once.
    """
    top = ROOT
    if k != NONE:
        entry = s.entry[v, k]
        top = int(entry.node)
        above = s.trie[top].parent
        entry.held = max(entry.held, min(depth, s.trie[top].depth) - s.trie[above].depth)
    last, child = k, NONE
    while node != top:
        above = int(s.trie[node].parent)
        base = s.trie[above].depth
        if base < depth:
            made = _new_entry(s, v, node, min(depth, s.trie[node].depth) - base)
            if child == NONE:
                last = made
            else:
                s.entry[v, child].up = made
            child = made
        node = above
    if child != NONE:
        s.entry[v, child].up = k
    return last


@jit
def _drop_entry(s: Any, v: int, k: int) -> None:
    """Remove an entry that holds nothing any more."""
    _leave_list(s, v, k)
    forget_holder(s, v, int(s.entry[v, k].node))
    place = _bucket_of(s, s.entry[v, k].node)
    at = int(s.bucket[v, place])
    if at == k:
        s.bucket[v, place] = s.entry[v, k].chain
    else:
        while s.entry[v, at].chain != k:
            at = int(s.entry[v, at].chain)
        s.entry[v, at].chain = s.entry[v, k].chain
    s.entry[v, k].chain = s.cache[v].free_head
    s.entry[v, k].held = 0
    s.cache[v].free_head = k


@jit
def evict(s: Any, v: int, most: int) -> None:
    """Drop the oldest blocks until at most so many are held that nobody pins."""
    cache = s.cache[v]
    while cache.evictable > most:
        k = int(cache.oldest)
        entry = s.entry[v, k]
        out = min(entry.held, cache.evictable - most)
        entry.held -= out
        cache.evictable -= out
        if entry.held == 0:
            _drop_entry(s, v, k)
            if cache.oldest != NONE:  # what the next call will read
                prefetch(s.trie, s.entry[v, cache.oldest].node, 0)


@jit
def clear(s: Any, v: int) -> None:
    """Empty the cache of instance ``v``; whoever pinned something has forgotten it."""
    cache = s.cache[v]
    if cache.n_touched == 0:
        return
    for place in range(s.bucket.shape[1]):
        s.bucket[v, place] = NONE
    for k in range(cache.n_touched):
        if s.entry[v, k].held > 0:
            forget_holder(s, v, int(s.entry[v, k].node))
        s.entry[v, k].held = 0
    cache.oldest = NONE
    cache.newest = NONE
    cache.free_head = NONE
    cache.n_touched = 0
    cache.evictable = 0
