"""Who holds some of a node of the prefix trie, so that a router need not ask every instance.

Up to three holders are listed in the node itself, 21 bits each. Of a node that more hold, a bit set
over all VMs is kept: a row of ``crowd`` int64 [rows, words], which the node names. Where no row is
free, what the node lists is not complete (`all_listed`) until it has no holder left.

Row 0 is never a node's: its first two words are the head of the rows that were given back (each
names the next in its first word) and how many were ever used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import NONE

Array = np.ndarray[Any, Any]

LISTED = 3
CROWD = NONE  # ``n_listed`` of a node that has a row
ROWS = 4096
_VM_BITS = 21
_VM_MASK = (1 << _VM_BITS) - 1


def crowd_array(instances: int) -> Array:
    """Return the bit sets for so many VMs, all free, int64 [rows, words]."""
    crowd = np.zeros((ROWS, 2 + instances // 63), dtype=np.int64)
    crowd[0, 1] = 1
    return crowd


@jit
def listed(s: Any, node: int, place: int) -> int:
    """One of the listed holders of a node."""
    return int((s.trie[node].listed >> (_VM_BITS * place)) & _VM_MASK)


@jit
def all_listed(s: Any, node: int) -> bool:
    """Whether all holders of a node are listed."""
    return bool(s.trie[node].n_listed == s.trie[node].holders)


@jit
def may_hold(s: Any, v: int, node: int) -> bool:
    """Whether VM ``v`` holds some of a node that has more holders than it lists, or may do so."""
    trie = s.trie[node]
    if trie.n_listed != CROWD:
        return True
    return bool((s.crowd[trie.listed, v // 63] >> (v % 63)) & 1)


@jit
def list_holder(s: Any, v: int, node: int) -> None:
    """Note that VM ``v`` holds some of a node."""
    trie = s.trie[node]
    if trie.holders == LISTED and trie.n_listed == LISTED:
        _give_row(s, node)
    trie.holders += 1
    if trie.n_listed == CROWD:
        s.crowd[trie.listed, v // 63] |= 1 << (v % 63)
    elif trie.n_listed < LISTED:
        trie.listed |= int(v) << (_VM_BITS * int(trie.n_listed))
        trie.n_listed += 1


@jit
def forget_holder(s: Any, v: int, node: int) -> None:
    """Note that VM ``v`` holds nothing of a node any more."""
    trie = s.trie[node]
    trie.holders -= 1
    if trie.n_listed == CROWD:
        s.crowd[trie.listed, v // 63] &= ~(1 << (v % 63))
        if trie.holders == LISTED:
            _take_row(s, node)
        return
    for place in range(trie.n_listed):
        if listed(s, node, place) == v:
            trie.n_listed -= 1
            left = int(trie.n_listed)
            trie.listed += (listed(s, node, left) - int(v)) << (_VM_BITS * place)
            trie.listed &= (1 << (_VM_BITS * left)) - 1
            return


@jit
def _give_row(s: Any, node: int) -> None:
    """Move the listed holders of a node to a row, if one is free."""
    row = int(s.crowd[0, 0])
    if row != 0:
        s.crowd[0, 0] = s.crowd[row, 0]
        s.crowd[row, 0] = 0
    elif s.crowd[0, 1] < s.crowd.shape[0]:
        row = int(s.crowd[0, 1])
        s.crowd[0, 1] += 1
    else:
        return
    trie = s.trie[node]
    for place in range(LISTED):
        v = listed(s, node, place)
        s.crowd[row, v // 63] |= 1 << (v % 63)
    trie.n_listed = CROWD
    trie.listed = row


@jit
def _take_row(s: Any, node: int) -> None:
    """List the holders of a node, which are few again, and give its row back."""
    trie = s.trie[node]
    row = int(trie.listed)
    trie.n_listed = 0
    trie.listed = 0
    for w in range(s.crowd.shape[1]):
        word = int(s.crowd[row, w])
        v = 63 * w
        while word != 0:
            if word & 1 == 1:
                trie.listed |= v << (_VM_BITS * int(trie.n_listed))
                trie.n_listed += 1
            word >>= 1
            v += 1
        s.crowd[row, w] = 0
    s.crowd[row, 0] = s.crowd[0, 0]
    s.crowd[0, 0] = row
