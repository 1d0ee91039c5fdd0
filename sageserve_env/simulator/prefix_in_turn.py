"""Prefix caches without time: prompts one after the other to the caches of some workers.

What a router and a capacity are worth on a trace, before any queue; the caches are those of the
simulator (`prefix`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.prefix import (
    Caches,
    cache_arrays,
    deepest,
    depth_of,
    evict,
    extend,
    pin,
    trie_array,
    unpin,
)
from sageserve_traces.prefixes import PrefixTrie

IN_TURN_ROUTERS = ("round_robin", "longest_prefix", "prefix_if_half", "least_work")
ROUND_ROBIN, LONGEST_PREFIX, PREFIX_IF_HALF, LEAST_WORK = range(4)


def serve_in_turn(
    trie: PrefixTrie,
    node: NDArray[np.int32],
    prompt: NDArray[np.int64],
    workers: int,
    capacity_blocks: int,
    router: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Serve prompts in their order, each at the worker that the router chooses.

    A hit is the leading run of held blocks; the last token of a prompt is always computed. All
    blocks of a prompt are used, its end first, so its end is the oldest; of a prompt beyond the
    capacity its first blocks stay. Routers: ``longest_prefix`` the most cached tokens, the fewest
    computed so far of equals; ``prefix_if_half`` that one if it holds over half of its blocks, else
    the worker with the fewest computed tokens; ``least_work`` the fewest tokens to compute plus
    tokens computed beyond the least loaded worker. The first of equals.

    Args:
        trie: Blocks of all prompts.
        node: Node of each prompt, [n].
        prompt: Tokens of each prompt, [n].
        workers: How many caches.
        capacity_blocks: Blocks that each holds.
        router: One of `IN_TURN_ROUTERS`.

    Returns:
        Cached tokens and worker of each prompt, int64 [n] each.
    """
    entries = max(1, min(capacity_blocks, len(trie)))
    caches = Caches(trie=trie_array(trie.parent, trie.depth), **cache_arrays(workers, entries))
    cached, worker = np.zeros(len(node), np.int64), np.zeros(len(node), np.int64)
    code = IN_TURN_ROUTERS.index(router)
    computed = np.zeros(workers, np.int64)
    _serve(caches, node, prompt, code, trie.block_tokens, capacity_blocks, computed, cached, worker)
    return cached, worker


@jit
def _cached_tokens(s: Caches, w: int, node: int, prompt: int, block_tokens: int) -> int:
    blocks = depth_of(s, w, deepest(s, w, node))
    return int(min(blocks * block_tokens, prompt - 1))


@jit
def _choose(
    s: Caches,
    i: int,
    node: int,
    prompt: int,
    router: int,
    block_tokens: int,
    computed: NDArray[np.int64],
) -> int:
    """Worker of the prompt that is number ``i``."""
    workers = len(computed)
    if router == ROUND_ROBIN:
        return i % workers
    least, idle = computed[0], 0
    for w in range(workers):
        if computed[w] < least:
            least, idle = computed[w], w
    best, most, work, blocks = 0, -1, 0, 0
    for w in range(workers):
        cached = _cached_tokens(s, w, node, prompt, block_tokens)
        if router == LEAST_WORK:
            mine = prompt - cached + computed[w] - least
            if w == 0 or mine < work:
                best, work = w, mine
        elif cached > most or (cached == most and computed[w] < computed[best]):
            best, most = w, cached
    if router == PREFIX_IF_HALF:
        blocks = depth_of(s, best, deepest(s, best, node))
    if router == PREFIX_IF_HALF and 2 * blocks <= s.trie[node].depth:
        return idle
    return best


@jit
def _serve(
    s: Caches,
    node: NDArray[np.int32],
    prompt: NDArray[np.int64],
    router: int,
    block_tokens: int,
    capacity: int,
    computed: NDArray[np.int64],
    cached: NDArray[np.int64],
    worker: NDArray[np.int64],
) -> None:
    for i in range(len(node)):
        w = _choose(s, i, node[i], prompt[i], router, block_tokens, computed)
        k = deepest(s, w, node[i])
        hit = min(depth_of(s, w, k) * block_tokens, prompt[i] - 1)
        depth = min(s.trie[node[i]].depth, capacity)
        pin(s, w, k, -1)
        evict(s, w, max(0, capacity - depth))
        unpin(s, w, extend(s, w, node[i], k, depth))
        cached[i] = hit
        worker[i] = w
        computed[w] += prompt[i] - hit
