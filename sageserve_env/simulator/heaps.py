"""Two heaps: VMs by next event (four children a node), sequences of a VM by last iteration."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.state import State

SLOT_BITS = 24
SLOT_MASK = (1 << SLOT_BITS) - 1


@jit
def _up(s: State, i: int) -> None:
    key, v = s.heap_s[i], s.heap_vm[i]
    while i > 0:
        parent = (i - 1) >> 2
        if s.heap_s[parent] <= key:
            break
        s.heap_s[i] = s.heap_s[parent]
        s.heap_vm[i] = s.heap_vm[parent]
        s.heap_pos[s.heap_vm[i]] = i
        i = parent
    s.heap_s[i] = key
    s.heap_vm[i] = v
    s.heap_pos[v] = i


@jit
def _down(s: State, i: int) -> None:
    size = s.clock[0].heap_size
    key, v = s.heap_s[i], s.heap_vm[i]
    while True:
        first = 4 * i + 1
        if first >= size:
            break
        child = first
        least = s.heap_s[first]
        for other in range(first + 1, min(first + 4, size)):
            if s.heap_s[other] < least:
                child, least = other, s.heap_s[other]
        if least >= key:
            break
        s.heap_s[i] = least
        s.heap_vm[i] = s.heap_vm[child]
        s.heap_pos[s.heap_vm[i]] = i
        i = child
    s.heap_s[i] = key
    s.heap_vm[i] = v
    s.heap_pos[v] = i


@jit
def schedule(s: State, v: int, time_s: float) -> None:
    """Set the next event of VM ``v``; infinity removes it from the heap."""
    vm = s.vm[v]
    clock = s.clock[0]
    old = vm.event_s
    i = s.heap_pos[v]
    vm.event_s = time_s
    if i == NONE:
        if time_s == INFINITY:
            return
        i = clock.heap_size
        clock.heap_size += 1
        s.heap_s[i] = time_s
        s.heap_vm[i] = v
        _up(s, i)
        return
    if time_s == INFINITY:
        clock.heap_size -= 1
        last = clock.heap_size
        s.heap_pos[v] = NONE
        if i != last:
            s.heap_s[i] = s.heap_s[last]
            s.heap_vm[i] = s.heap_vm[last]
            s.heap_pos[s.heap_vm[i]] = i
            if s.heap_s[i] < old:
                _up(s, i)
            else:
                _down(s, i)
        return
    s.heap_s[i] = time_s
    if time_s < old:
        _up(s, i)
    else:
        _down(s, i)


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
