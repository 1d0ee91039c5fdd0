"""From one decision to the next: all models in one loop, or one model after the other.

What a model does between two decisions mostly changes nothing for another one: it has its own
endpoints, VMs and queues. Simulated by itself it finds what it needs in the processor's cache, and
its tournament is smaller. A *part* is the state as such a model sees it, with a clock and a
tournament of its own (`_handle.Handle.part`); what both ways leave behind is the same to the bit,
but for the numbers of request slots and of admissions, which are names.

Models meet where VMs change hands, where something is drawn from the common generator, and at the
clocks of faults, pictures and sessions. Scenarios with the latter have no parts (``build``);
whether VMs may change hands is looked at here, interval by interval.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sageserve_env.simulator._handle import part_of
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import APART, DONE, INFINITY, NEED_CHUNK, NEED_SLOTS
from sageserve_env.simulator.events import simulate
from sageserve_env.simulator.heaps import plant, plant_parts
from sageserve_env.simulator.metrics import bill
from sageserve_env.simulator.slots import free_slot, take_slot
from sageserve_env.simulator.state import State


@jit
def advance(s: State, until_s: float) -> int:
    """Process every event up to and including ``until_s``.

    Args:
        s: The state; changed in place.
        until_s: End of the interval.

    Returns:
        ``DONE``, or ``NEED_CHUNK`` / ``NEED_SLOTS`` when the caller has to supply more of either
        and call again, or ``APART`` when it has to let threads run `simulate_parts` and call again.
    """
    clock = s.clock[0]
    more = True
    while more:
        n = s.arrival_s.shape[0]
        if clock.apart == 0:
            if clock.cursor == n and clock.exhausted == 0:
                return NEED_CHUNK
            end = _arrived_by(s, until_s)
            if not _may_part(s, end):
                clock.end = n
                status = simulate(s, until_s)
                if status != DONE:
                    return status
                break
            clock.end, clock.end_s = end, until_s
            if end == n and clock.exhausted == 0:
                clock.end_s = min(until_s, s.arrival_s[n - 1])
            _link_arrivals(s)
            if not _give_slots(s):
                return NEED_SLOTS
            _open(s)
            if s.config[0].shared == 1:
                clock.apart = 1
                return APART
            _one_by_one(s)
        clock.apart = 0
        _close(s)
        more = clock.end == n and clock.exhausted == 0
    clock.now_s = until_s
    for v in range(s.vm.shape[0]):
        bill(s, v, until_s)
    return DONE


@jit
def _arrived_by(s: State, until_s: float) -> int:
    """Return the first request of the current piece of the trace that arrives later."""
    low, high = s.clock[0].cursor, s.arrival_s.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if s.arrival_s[middle] <= until_s:
            low = middle + 1
        else:
            high = middle
    return int(low)


@jit
def _may_part(s: State, end: int) -> bool:
    """Whether models cannot meet up to request ``end``.

    They meet where a VM that is given up can go to a model that waits for one, or draws how long it
    holds its weights. And the manager of batch work, which looks at whole seconds, would look at a
    request that arrives at one at once or a second later, by what it holds of other models.
    """
    c, clock = s.config[0], s.clock[0]
    parts = s.part_clock.shape[0]
    if parts == 0 or end - clock.cursor < c.apart_from or clock.reconcile == 1:
        return False
    draining, met = 0, True
    for e in range(s.target.shape[0]):
        for g in range(s.target.shape[1]):
            draining += s.draining[e, g]
            if s.active[e, g] + s.pending[e, g] != s.target[e, g]:
                met = False
    if draining > 0 and (c.fading_per_s > 0.0 or not met):
        return False
    for i in range(clock.cursor, end):
        if s.arrival_s[i] == math.floor(s.arrival_s[i]):
            if s.tier[s.arrival_tier[i]].interactive == 0:
                return False
    return True


@jit
def _link_arrivals(s: State) -> None:
    """Link the arrivals of each model in the interval, and count them."""
    end = s.clock[0].end
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        part.n_due = 0
        part.first_due = end
    for i in range(end - 1, s.clock[0].cursor - 1, -1):
        part = s.part_clock[s.arrival_model[i], 0]
        s.arrival_next[i] = part.first_due
        part.first_due = i
        part.n_due += 1


@jit
def _give_slots(s: State) -> bool:
    """Give each part a slot for each of its arrivals; False if there are not enough."""
    clock = s.clock[0]
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        while part.n_free < part.n_due:
            if clock.n_free == 0 and clock.n_touched == s.request.shape[0]:
                return False
            free_slot(part_of(s, m), take_slot(s))
    return True


@jit
def _open(s: State) -> None:
    """Set clocks and tournaments of the parts to the start of the interval."""
    clock = s.clock[0]
    plant_parts(s)
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        part.now_s = clock.now_s
        part.cursor, part.end = part.first_due, clock.end
        part.sequence = clock.sequence + part.first_due - clock.cursor
        part.next_tick_s = clock.next_tick_s if s.model[m].n_held > 0 else INFINITY
        part.next_other_s = part.next_tick_s
        part.admissions = clock.admissions


@jit
def _one_by_one(s: State) -> None:
    """Simulate one model after the other.

    The last one, whose data is still in the cache, is the first of the next interval.
    """
    clock = s.clock[0]
    last = s.part_clock.shape[0] - 1
    for i in range(last + 1):
        simulate(part_of(s, i if clock.first_part == 0 else last - i), clock.end_s)
    clock.first_part = last - clock.first_part


@jit
def simulate_parts(s: State, models: NDArray[np.int64]) -> None:
    """Simulate some models; other threads may simulate others at the same time."""
    for i in range(models.shape[0]):
        simulate(part_of(s, models[i]), s.clock[0].end_s)


@jit
def _close(s: State) -> None:
    """Set the clock of all to the end of the interval, and add what the models have counted."""
    clock = s.clock[0]
    clock.sequence += clock.end - clock.cursor
    clock.cursor = clock.end
    clock.now_s = clock.end_s
    clock.next_tick_s = INFINITY
    admissions = clock.admissions  # with which each model began to number its own
    for m in range(s.part_clock.shape[0]):
        part = s.part_clock[m, 0]
        clock.admissions += part.admissions - admissions
        clock.next_tick_s = min(clock.next_tick_s, part.next_tick_s)
        clock.arrived += part.arrived
        clock.completed += part.completed
        clock.refused += part.refused
        clock.preemptions += part.preemptions
        clock.escalated += part.escalated
        clock.events += part.events
        part.arrived = part.completed = part.refused = 0
        part.preemptions = part.escalated = part.events = 0
    clock.next_other_s = clock.next_tick_s
    plant(s)
