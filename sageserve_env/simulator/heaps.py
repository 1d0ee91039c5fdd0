"""Two priority queues: VMs by next event, and the sequences of a VM by their last iteration.

The VMs' queue is a tournament with eight children a node, which fill one cache line. Every place
holds a time and the VM it belongs to: places 8 (j - 6) to 8 (j - 6) + 7 are the children of place
j, the root is place ``ROOT``, and VM v is at ``leaf[v]``. A place above the leaves holds the
earliest of its children, of equals that of the lower VM. Times are kept as the 64 bits of the
float, which for numbers that are not negative are ordered as the numbers are: integers are compared
without branches. A change walks from the leaf towards the root, up to where the winner stays the
same.
"""

from __future__ import annotations

import numpy as np

from sageserve_env.simulator._handle import part_of
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import INFINITY, NONE
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
    j = s.leaf[v]
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


@jit
def first_leaf(leaves: int) -> int:
    """Return the place of the first of so many leaves, behind all inner places."""
    inner, room = 0, 1
    while room < leaves:
        inner, room = inner + room, 8 * room
    return ROOT + inner


@jit
def plant(s: State) -> None:
    """Set the tournament of all VMs up anew."""
    first = first_leaf(s.vm.shape[0])
    for v in range(s.vm.shape[0]):
        _plant_leaf(s, v, first + v)
    _play(s, first, first + s.vm.shape[0])


@jit
def plant_parts(s: State) -> None:
    """Set up the tournament of each part: of the VMs of its model that belong to an endpoint."""
    for m in range(s.part_clock.shape[0]):
        s.part_clock[m, 0].first_leaf = 0
    for e in range(s.target.shape[0]):
        part = s.part_clock[s.endpoint[e].model, 0]
        for g in range(s.target.shape[1]):
            part.first_leaf += s.active[e, g] + s.draining[e, g] + s.pending[e, g]
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        part.first_leaf = part.end_leaf = first_leaf(part.first_leaf)
    for v in range(s.vm.shape[0]):
        e = s.vm[v].endpoint
        if e != NONE:
            m = s.endpoint[e].model
            part = s.part_clock[m, 0]
            _plant_leaf(part_of(s, m), v, part.end_leaf)
            part.end_leaf += 1
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        _play(part_of(s, m), part.first_leaf, part.end_leaf)


@hot
def _plant_leaf(s: State, v: int, place: int) -> None:
    s.tree_time[place] = time_bits(s.vm[v].event_s)
    s.tree_vm[place] = v
    s.leaf[v] = place


@jit
def _play(s: State, first: int, end: int) -> None:
    """Fill a tournament above its leaves, which begin at place ``first``, and their last line."""
    times, winners = s.tree_time, s.tree_vm
    while True:  # level by level, each in whole lines
        while end & 7 != 0 or end == first:
            times[end] = time_bits(INFINITY)
            winners[end] = 0
            end += 1
        if first == ROOT:
            return
        for line in range(first, end, 8):
            best = line
            for j in range(line + 1, line + 8):
                if times[j] < times[best]:
                    best = j
            above = (line >> 3) + ROOT - 1
            times[above] = times[best]
            winners[above] = winners[best]
        first, end = (first >> 3) + ROOT - 1, (end >> 3) + ROOT - 1


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
    # Down along the earlier children to the end, without branches that depend on them, then up to
    # the place of the last one, which is mostly there.
    child = 2 * i + 1
    while child + 1 < last:
        first, second = s.ends[v, child], s.ends[v, child + 1]
        child += 1 if second < first else 0
        s.ends[v, i] = min(first, second)
        i = child
        child = 2 * i + 1
    if child < last:
        s.ends[v, i] = s.ends[v, child]
        i = child
    while i > 0 and s.ends[v, (i - 1) >> 1] > item:
        s.ends[v, i] = s.ends[v, (i - 1) >> 1]
        i = (i - 1) >> 1
    s.ends[v, i] = item
    s.vm[v].first_item = s.ends[v, 0]
