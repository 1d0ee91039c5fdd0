"""What a gateway remembers of prompts that it has sent to other regions.

It learns nothing of their caches, however old. But it knows where it has sent a prompt itself, and
takes that region to hold it still (our assumption): the next turn of a session finds back to it. A
bit of ``sent`` in a node stands for an origin and a region, so that a bit is set in all nodes above
too. Clusters of more than `MOST_REGIONS` regions remember nothing.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.prefix import ROOT
from sageserve_env.simulator.state import State

MOST_REGIONS = 7  # 7 x 7 bits


@jit
def remember(s: State, i: int, region: int) -> None:
    """Note that request ``i`` is sent to another region."""
    regions = s.round_trip.shape[0]
    if s.config[0].prefix_tokens == 0 or regions > MOST_REGIONS:
        return
    bit = 1 << (s.request[i].region * regions + region)
    node = int(s.request[i].node)
    while node != ROOT and s.trie[node].sent & bit == 0:
        s.trie[node].sent |= bit
        node = int(s.trie[node].parent)


@jit
def remembered(s: State, i: int, region: int) -> int:
    """Deepest node on the path of request ``i`` that its gateway has sent to ``region``."""
    regions = s.round_trip.shape[0]
    node = int(s.request[i].node)
    if regions > MOST_REGIONS:
        return ROOT
    bit = 1 << (s.request[i].region * regions + region)
    while node != ROOT and s.trie[node].sent & bit == 0:
        node = int(s.trie[node].parent)
    return node
