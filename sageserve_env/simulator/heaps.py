"""Two priority queues: VMs by next event, and the sequences of a VM by their last iteration.

The VMs' queue is a tournament tree with four children a node: VM v is leaf v, every inner node
holds the earliest event of its children (of equals, that of the lower VM), and the root the next
event of all. A change walks from the leaf towards the root, up to where the winner stays the same.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State

SLOT_BITS = 24
SLOT_MASK = (1 << SLOT_BITS) - 1
NEVER = 1 << 60  # iteration in which the first of no sequences ends


@jit
def schedule(s: State, v: int, time_s: float) -> None:
    """Set the next event of VM ``v``; infinity means that it has none."""
    s.vm[v].event_s = time_s
    times, winners = s.tree_s, s.tree_vm
    i = s.clock[0].first_leaf + v
    times[i] = time_s
    while i > 0:
        i = (i - 1) >> 2
        best = 4 * i + 1
        earliest = times[best]
        for child in range(best + 1, best + 4):
            if times[child] < earliest:
                best, earliest = child, times[child]
        if times[i] == earliest and winners[i] == winners[best]:
            return
        times[i] = earliest
        winners[i] = winners[best]


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
    s.vm[v].first_end = min(s.vm[v].first_end, end_iteration)


@jit
def remove_sequence(s: State, v: int, size: int, i: int) -> None:
    """Remove the sequence at place ``i`` of the heap of VM ``v``; 0 is the first to end."""
    last = size - 1
    item = s.ends[v, last]
    if i == last:
        s.vm[v].first_end = NEVER if last == 0 else s.ends[v, 0] >> SLOT_BITS
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
    s.vm[v].first_end = s.ends[v, 0] >> SLOT_BITS
