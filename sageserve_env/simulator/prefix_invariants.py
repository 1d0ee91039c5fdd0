"""What must hold of the prefix cache of an instance at any time, checked slowly and in full."""

from __future__ import annotations

import numpy as np

from sageserve_env.simulator.codes import NONE
from sageserve_env.simulator.holders import CROWD, LISTED, listed, may_hold
from sageserve_env.simulator.prefix import find
from sageserve_env.simulator.state import Array, State


def _require(condition: object, text: str) -> None:
    if not condition:
        raise AssertionError(f"invariant: prefix cache: {text}")


def _path(s: State, node: int) -> list[int]:
    """Return the nodes from ``node`` up, without the root."""
    found = []
    while node != 0:
        found.append(node)
        node = int(s.trie[node]["parent"])
    return found


def check_holders(s: State) -> None:
    """Raise ``AssertionError`` unless every node knows how many hold it, and some of these."""
    holders: dict[int, set[int]] = {}
    for v in range(len(s.cache)):
        entry = s.entry[v, : int(s.cache[v]["n_touched"])]
        for node in entry["node"][entry["held"] > 0]:
            holders.setdefault(int(node), set()).add(v)
    count = np.zeros(len(s.trie), dtype=np.int64)
    for node, vms in holders.items():
        count[node] = len(vms)
        if s.trie[node]["n_listed"] == CROWD:
            row = {v for v in range(len(s.cache)) if may_hold(s, v, node)}
            _require(row == vms and len(row) > LISTED, "the row of a node is that of its holders")
            continue
        listing = [listed(s, node, k) for k in range(int(s.trie[node]["n_listed"]))]
        _require(len(set(listing)) == len(listing), "a holder is listed once")
        _require(vms.issuperset(listing), "those that are listed are holders")
    _require((count == s.trie["holders"]).all(), "holders of nodes are counted")
    _require((s.trie["n_listed"] <= count).all(), "no others are listed")


def cache_tokens(s: State, v: int, users: Array) -> int:
    """Return what the cache of VM ``v`` adds to the KV tokens of the requests that run there.

    Args:
        s: The state.
        v: VM.
        users: Requests that hold memory there.

    Raises:
        AssertionError: With the first invariant that does not hold.
    """
    cache, block = s.cache[v], int(s.config[0]["prefix_tokens"])
    entries = [k for k in range(int(cache["n_touched"])) if s.entry[v, k]["held"] > 0]
    nodes = {int(s.entry[v, k]["node"]): k for k in entries}
    _require(len(nodes) == len(entries), "a node has one entry")
    pins = dict.fromkeys(entries, 0)
    for request in users:
        for node in (
            _path(s, int(s.entry[v, request["entry"]]["node"]))
            if (request["entry"] != NONE)
            else []
        ):
            _require(node in nodes, "what a request pins is held")
            pins[nodes[node]] += 1
    for k in entries:
        entry = s.entry[v, k]
        node = int(entry["node"])
        above = int(s.trie[node]["parent"])
        _require(find(s, v, node) == k, "entries are found by their nodes")
        _require(pins[k] == int(entry["pins"]), "pins are counted")
        length = int(s.trie[node]["depth"]) - int(s.trie[above]["depth"])
        _require(0 < int(entry["held"]) <= length, "no more is held than there is")
        if above != 0:
            _require(above in nodes and int(entry["up"]) == nodes[above], "ancestors are held")
            full = int(s.trie[above]["depth"] - s.trie[s.trie[above]["parent"]]["depth"])
            _require(int(s.entry[v, nodes[above]]["held"]) == full, "and in full")
        else:
            _require(int(entry["up"]) == NONE, "the first node has none above")
    listed: list[int] = []
    at = int(cache["oldest"])
    while at != NONE and len(listed) <= len(entries):
        listed.append(at)
        at = int(s.entry[v, at]["newer"])
    _require(sorted(listed) == [k for k in entries if pins[k] == 0], "what nobody pins is listed")
    held = {k: int(s.entry[v, k]["held"]) for k in entries}
    evictable = sum(held[k] for k in listed)
    _require(evictable == int(cache["evictable"]), "evictable blocks are counted")
    room = int(s.vm[v]["kv_capacity"]) - int(s.vm[v]["kv_used"])
    _require(evictable * block <= max(0, room), "the cache lies in free memory")
    pinned = sum(held[k] for k in entries if pins[k] > 0)
    return block * (pinned - int(np.asarray(users["shared"]).sum()))
