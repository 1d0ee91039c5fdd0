"""Two priority queues: VMs by next event, and the sequences of a VM by their last iteration.

The VMs' queue is a tournament with eight children a node, which fill one cache line. Every place
holds a time and the VM it belongs to: places 8 (j - 6) to 8 (j - 6) + 7 are the children of place
j, the root is place ``ROOT``, and VM v is at ``clock.first_leaf + v``. A place above the leaves
holds the earliest of its children, of equals that of the lower VM. Times are kept as the 64 bits
of the float, which for numbers that are not negative are ordered as the numbers are: integers are
compared without branches. A change walks from the leaf towards the root, up to where the winner
stays the same.
"""

from __future__ import annotations

import numpy as np

from sageserve_env.simulator._jit import hot
from sageserve_env.simulator.state import State

ROOT = 7
SLOT_BITS = 24
SLOT_MASK = (1 << SLOT_BITS) - 1
NO_ITEM = (1 << 63) - 1  # first of no sequences


@hot
def time_bits(time_s: float) -> int:
    """Return the bits of a time that is not negative; they are ordered as the times are."""
    return int(np.float64(time_s).view(np.int64))


@hot
def from_time_bits(bits: int) -> float:
    """Return the time that `time_bits` was given."""
    return float(np.int64(bits).view(np.float64))


@hot
def next_event_s(s: State) -> float:
    """Return the time of the earliest VM event; infinite when there is none."""
    return from_time_bits(s.tree_time[ROOT])


@hot
def schedule(s: State, v: int, time_s: float) -> None:
    """Set the next event of VM ``v``; infinity means that it has none."""
    s.vm[v].event_s = time_s
    times, winners = s.tree_time, s.tree_vm
    j = s.clock[0].first_leaf + v
    times[j] = time_bits(time_s)
    while j > ROOT:
        c = j & ~7
        # A knock-out of three rounds; the left one of equals wins.
        t0, t2, t4, t6 = times[c], times[c + 2], times[c + 4], times[c + 6]
        t1, t3, t5, t7 = times[c + 1], times[c + 3], times[c + 5], times[c + 7]
        i0 = c + 1 if t1 < t0 else c
        i2 = c + 3 if t3 < t2 else c + 2
        i4 = c + 5 if t5 < t4 else c + 4
        i6 = c + 7 if t7 < t6 else c + 6
        t0, t2, t4, t6 = min(t0, t1), min(t2, t3), min(t4, t5), min(t6, t7)
        i0 = i2 if t2 < t0 else i0
        i4 = i6 if t6 < t4 else i4
        t0, t4 = min(t0, t2), min(t4, t6)
        i0 = i4 if t4 < t0 else i0
        t0 = min(t0, t4)
        j = (j >> 3) + ROOT - 1
        winner = winners[i0]
        if times[j] == t0 and winners[j] == winner:
            return
        times[j] = t0
        winners[j] = winner


@hot
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
    s.vm[v].first_item = s.ends[v, 0]


@hot
def remove_sequence(s: State, v: int, size: int, i: int) -> None:
    """Remove the sequence at place ``i`` of the heap of VM ``v``; 0 is the first to end."""
    last = size - 1
    item = s.ends[v, last]
    if i == last:
        s.vm[v].first_item = NO_ITEM if last == 0 else s.ends[v, 0]
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
    s.vm[v].first_item = s.ends[v, 0]
