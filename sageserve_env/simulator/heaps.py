"""Two priority queues: VMs by next event, and the sequences of a VM by their last iteration.

The VMs' queue is a tournament tree: VM v is leaf v, every inner node holds the earlier event of its
two children (of equals, that of the lower VM), and the root the next event of all. A change walks
from the leaf towards the root and stops where the winner stays the same.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State

SLOT_BITS = 24
SLOT_MASK = (1 << SLOT_BITS) - 1


@jit
def schedule(s: State, v: int, time_s: float) -> None:
    """Set the next event of VM ``v``; infinity means that it has none."""
    s.vm[v].event_s = time_s
    i = (s.tree_s.shape[0] >> 1) + v
    s.tree_s[i] = time_s
    earliest, winner = time_s, v
    while i > 1:
        other = i ^ 1
        other_s = s.tree_s[other]
        if other_s < earliest or (other_s == earliest and s.tree_vm[other] < winner):
            earliest, winner = other_s, s.tree_vm[other]
        i >>= 1
        if s.tree_s[i] == earliest and s.tree_vm[i] == winner:
            return
        s.tree_s[i] = earliest
        s.tree_vm[i] = winner


@jit
def push_sequence(s: State, v: int, size: int, end_iteration: int, slot: int) -> None:
    """Add a sequence to the heap of VM ``v``, which holds ``size`` sequences."""
    item = (end_iteration << SLOT_BITS) | slot
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if s.ends[v, parent] <= item:
            break
        s.ends[v, i] = s.ends[v, parent]
        i = parent
    s.ends[v, i] = item


@jit
def remove_sequence(s: State, v: int, size: int, i: int) -> None:
    """Remove the sequence at place ``i`` of the heap of VM ``v``; 0 is the first to end."""
    last = size - 1
    item = s.ends[v, last]
    if i == last:
        return
    while i > 0 and s.ends[v, (i - 1) >> 1] > item:
        s.ends[v, i] = s.ends[v, (i - 1) >> 1]
        i = (i - 1) >> 1
    while True:
        child = 2 * i + 1
        if child >= last:
            break
        if child + 1 < last and s.ends[v, child + 1] < s.ends[v, child]:
            child += 1
        if s.ends[v, child] >= item:
            break
        s.ends[v, i] = s.ends[v, child]
        i = child
    s.ends[v, i] = item
