"""What running requests do with the prefix cache of their instance, and how memory is shared.

KV tokens in use (``kv_used``) are those that requests have for themselves, and those of pinned
blocks, each counted once however many requests share it; unpinned blocks lie in the rest. A request
pins what it finds of its prompt when it is admitted and computes what comes after, one token at
least. When its prefill ends, the other whole blocks of its prompt become the cache's. They stay
when it ends, until memory is needed. What it has generated is not kept (our assumption).
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import NONE
from sageserve_env.simulator.counters import ASKED_TOKENS, FOUND_TOKENS
from sageserve_env.simulator.metrics import turn_window
from sageserve_env.simulator.prefix import (
    deepest,
    depth_of,
    evict,
    extend,
    pin,
    pinned_depth,
    unpin,
)
from sageserve_env.simulator.state import State


@jit
def name_path(s: State, i: int, node: int) -> None:
    """Note the path of an arriving prompt; of one that was cut, the nodes that it has in full."""
    request = s.request[i]
    while s.trie[node].depth * s.config[0].prefix_tokens > request.prompt:
        node = int(s.trie[node].parent)
    request.node = node
    request.entry = NONE
    request.shared = 0
    request.cached = NONE


@jit
def shared_tokens(s: State, v: int, i: int) -> int:
    """KV tokens that request ``i`` needs no memory for on VM ``v``: others pin these blocks."""
    k = deepest(s, v, s.request[i].node)
    return pinned_depth(s, v, k) * int(s.config[0].prefix_tokens)


@jit
def cached_tokens(s: State, v: int, i: int, node: int) -> int:
    """Prompt tokens of request ``i`` that VM ``v``, which holds nothing below ``node``, has."""
    request = s.request[i]
    blocks = depth_of(s, v, deepest(s, v, node))
    return int(min(blocks * s.config[0].prefix_tokens, request.target - 1))


@jit
def make_room(s: State, v: int) -> None:
    """Drop what memory that is in use leaves no room for."""
    vm = s.vm[v]
    evict(s, v, (vm.kv_capacity - vm.kv_used) // s.config[0].prefix_tokens)


@jit
def take_prefix(s: State, v: int, i: int) -> None:
    """Let request ``i``, whose memory has just been reserved on VM ``v``, use what is cached."""
    vm, request = s.vm[v], s.request[i]
    k = deepest(s, v, request.node)
    depth = depth_of(s, v, k)
    others = depth - pin(s, v, k, NONE)
    vm.kv_used -= others * s.config[0].prefix_tokens
    request.entry = k
    request.shared = depth
    cached = min(depth * s.config[0].prefix_tokens, request.target - 1)
    request.prefilled = cached
    vm.queued_tokens -= cached
    make_room(s, v)
    if request.cached == NONE:
        request.cached = cached
        s.clock[0].found_tokens += cached
        s.clock[0].asked_tokens += request.prompt
        row = turn_window(s, vm.endpoint, s.clock[0].now_s)
        s.recent[vm.endpoint, row, FOUND_TOKENS] += cached
        s.recent[vm.endpoint, row, ASKED_TOKENS] += request.prompt
        if s.config[0].keep_records == 1:
            s.record[request.id, 4] = cached


@jit
def store_prefix(s: State, v: int, i: int) -> None:
    """Give the whole blocks of a prompt that has been computed to the cache, still pinned."""
    request = s.request[i]
    if request.node == 0:
        return
    k = deepest(s, v, request.node)
    present = depth_of(s, v, k)
    twice = present - request.shared - pin(s, v, k, request.entry)
    s.vm[v].kv_used -= twice * s.config[0].prefix_tokens  # others have stored these meanwhile
    depth = s.trie[request.node].depth
    request.entry = extend(s, v, request.node, k, depth)
    request.shared = depth


@jit
def leave_prefix(s: State, v: int, i: int) -> None:
    """Give back what request ``i`` pins; its own tokens and these have left ``kv_used`` already."""
    vm, request = s.vm[v], s.request[i]
    kept = request.shared - unpin(s, v, request.entry)
    vm.kv_used += kept * s.config[0].prefix_tokens  # others pin them
    request.entry = NONE
    request.shared = 0
