"""The pool of request slots and the intrusive lists that run through it."""

from __future__ import annotations

from sageserve_env.simulator._handle import prefetch, rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import FREE, GLOBAL, HELD, INFINITY, NONE, TRANSIT
from sageserve_env.simulator.memory import LINE_BYTES
from sageserve_env.simulator.state import State


@hot
def take_slot(s: State) -> int:
    """Take a free slot; the caller has checked that there is one."""
    clock = s.clock[0]
    i = clock.free_head
    if rare(i == NONE):
        i = clock.n_touched
        clock.n_touched += 1
        return int(i)
    clock.free_head = s.request[i].next
    clock.n_free -= 1
    if clock.free_head != NONE:  # the next arrival's
        prefetch(s.request, clock.free_head, 0)
        prefetch(s.request, clock.free_head, LINE_BYTES)
    return int(i)


@hot
def free_slot(s: State, i: int) -> None:
    """Give a slot back."""
    clock = s.clock[0]
    request = s.request[i]
    request.state = FREE
    request.vm = NONE
    request.next = clock.free_head
    clock.free_head = i
    clock.n_free += 1


@hot
def _after(s: State, i: int, other: int) -> bool:
    """Whether request ``i`` comes after ``other`` in queue order."""
    a, b = s.request[i].key, s.request[other].key
    return bool(a > b or (a == b and s.request[i].id > s.request[other].id))


@hot
def insert_waiting(s: State, v: int, i: int) -> None:
    """Insert request ``i`` into the waiting list of VM ``v`` in key order, from the back."""
    vm = s.vm[v]
    request = s.request[i]
    at = vm.wait_tail
    while at != NONE and not _after(s, i, at):
        at = s.request[at].prev
    request.prev = at
    if at == NONE:
        request.next = vm.wait_head
        vm.wait_head = i
    else:
        request.next = s.request[at].next
        s.request[at].next = i
    if request.next == NONE:
        vm.wait_tail = i
    else:
        s.request[request.next].prev = i
    vm.n_waiting += 1


@hot
def pop_waiting(s: State, v: int) -> int:
    """Remove and return the head of the waiting list of VM ``v``."""
    vm = s.vm[v]
    i = vm.wait_head
    vm.wait_head = s.request[i].next
    if vm.wait_head == NONE:
        vm.wait_tail = NONE
    else:
        s.request[vm.wait_head].prev = NONE
    vm.n_waiting -= 1
    return int(i)


@hot
def insert_prefilling(s: State, v: int, i: int, before: int) -> None:
    """Insert request ``i`` into the prefilling list of VM ``v`` before ``before`` (NONE: last)."""
    vm = s.vm[v]
    request = s.request[i]
    request.next = before
    if before == NONE:
        request.prev = vm.pre_tail
        vm.pre_tail = i
    else:
        request.prev = s.request[before].prev
        s.request[before].prev = i
    if request.prev == NONE:
        vm.pre_head = i
    else:
        s.request[request.prev].next = i
    vm.n_prefilling += 1


@hot
def remove_prefilling(s: State, v: int, i: int) -> None:
    """Remove request ``i`` from the prefilling list of VM ``v``."""
    vm = s.vm[v]
    request = s.request[i]
    if request.prev == NONE:
        vm.pre_head = request.next
    else:
        s.request[request.prev].next = request.next
    if request.next == NONE:
        vm.pre_tail = request.prev
    else:
        s.request[request.next].prev = request.prev
    vm.n_prefilling -= 1


@jit
def lane_of(s: State, i: int) -> int:
    """Queue of the NIW manager that request ``i`` waits in: alike in objective and in residency.

    Each is in order of arrival and so of deadline. Lanes are those of the first objective, for
    requests that any region may serve and then by region, those of the second, and so on.
    """
    request = s.request[i]
    lane = 0
    for c in range(s.tier[request.tier].choices):
        if s.objectives[request.tier, c] == request.objective_s:
            lane = c
    if s.config[0].residency == 1:
        lane *= 1 + s.round_trip.shape[0]
        if request.resident == 1:
            lane += 1 + request.region
    return lane


@jit
def append_held(s: State, i: int) -> None:
    """Append request ``i`` to the NIW manager's queue of its model."""
    request = s.request[i]
    model = s.model[request.model]
    lane = s.held[request.model, lane_of(s, i)]
    request.state = HELD
    request.next = NONE
    if lane.tail == NONE:
        lane.head = i
    else:
        s.request[lane.tail].next = i
    lane.tail = i
    model.n_held += 1
    model.held_tokens += request.prompt


@jit
def first_held(s: State, m: int, r: int) -> int:
    """Lane of model ``m`` whose head is due first and may be served in region ``r``, or NONE.

    With ``r`` NONE in any region.
    """
    best, least = NONE, INFINITY
    places = 1 + s.round_trip.shape[0] if s.config[0].residency == 1 else 1
    for lane in range(s.held.shape[1]):
        head = s.held[m, lane].head
        if head != NONE and (r == NONE or lane % places == 0 or lane % places == 1 + r):
            due_s = s.request[head].arrival_s + s.request[head].objective_s
            if due_s < least:
                best, least = lane, due_s
    return best


@jit
def pop_held(s: State, m: int, lane: int) -> int:
    """Remove and return the oldest request of a lane of the NIW manager of model ``m``."""
    model, queue = s.model[m], s.held[m, lane]
    i = queue.head
    queue.head = s.request[i].next
    if queue.head == NONE:
        queue.tail = NONE
    model.n_held -= 1
    model.held_tokens -= s.request[i].prompt
    return int(i)


@jit
def append_global(s: State, i: int) -> None:
    """Append request ``i`` to the global queue of its model."""
    request = s.request[i]
    model = s.model[request.model]
    request.state = GLOBAL
    request.vm = NONE
    request.next = NONE
    if model.global_tail == NONE:
        model.global_head = i
    else:
        s.request[model.global_tail].next = i
    model.global_tail = i
    model.n_global += 1


@jit
def pop_global(s: State, m: int) -> int:
    """Remove and return the oldest request of the global queue of model ``m``."""
    model = s.model[m]
    i = model.global_head
    model.global_head = s.request[i].next
    if model.global_head == NONE:
        model.global_tail = NONE
    model.n_global -= 1
    return int(i)


@jit
def append_transit(s: State, i: int) -> None:
    """Append request ``i`` to those on their way to a region."""
    clock = s.clock[0]
    request = s.request[i]
    request.state = TRANSIT
    request.next = NONE
    if clock.transit_tail == NONE:
        clock.transit_head = i
    else:
        s.request[clock.transit_tail].next = i
    clock.transit_tail = i


@jit
def pop_transit(s: State) -> int:
    """Remove and return the first request on its way to a region."""
    clock = s.clock[0]
    i = clock.transit_head
    clock.transit_head = s.request[i].next
    if clock.transit_head == NONE:
        clock.transit_tail = NONE
    return int(i)
