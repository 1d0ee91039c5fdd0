"""Seeded faults: crashes, evictions of spot VMs, a region outage, stale metrics. Off by default."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.batching import cut_run, part_last_chunk
from sageserve_env.simulator.codes import (
    ACTIVE,
    COLD,
    DRAINING,
    INFINITY,
    LOST,
    NONE,
    SPOT,
)
from sageserve_env.simulator.fleet import become, leave
from sageserve_env.simulator.heaps import NO_ITEM, SLOT_BITS, SLOT_MASK, schedule
from sageserve_env.simulator.prefix import clear
from sageserve_env.simulator.routing import route
from sageserve_env.simulator.signals import utilisation
from sageserve_env.simulator.slots import append_global, pop_global, pop_waiting
from sageserve_env.simulator.state import State


@jit
def _requeue(s: State, i: int) -> None:
    """Reset request ``i``: its KV is lost, tokens already emitted count, all is recomputed."""
    request = s.request[i]
    request.prefilled = 0
    request.chunk = 0
    request.entry = NONE
    request.shared = 0
    request.target = request.prompt + request.emitted
    s.clock[0].requeued += 1
    append_global(s, i)


@jit
def lose_work(s: State, v: int, now_s: float) -> None:
    """Put every request of VM ``v`` into the global queue of its model and empty the VM.

    The run is cut at the last iteration boundary: the tokens up to there have been streamed.
    """
    vm = s.vm[v]
    if vm.run_iterations > 0:
        part_last_chunk(s, v, now_s)
        cut_run(s, v, now_s)  # ends at the first boundary after now: one iteration too many
        if vm.run_decodes == 1:
            vm.iteration += vm.run_iterations + vm.run_tail - 1
    for j in range(vm.n_running):
        item = s.ends[v, j]
        i = item & SLOT_MASK
        s.request[i].emitted = s.request[i].output - ((item >> SLOT_BITS) - vm.iteration)
        _requeue(s, i)
    i = vm.pre_head
    while i != NONE:
        after = s.request[i].next
        _requeue(s, i)
        i = after
    while vm.n_waiting > 0:
        _requeue(s, pop_waiting(s, v))
    vm.n_running = 0
    vm.first_item = NO_ITEM
    vm.n_prefilling = 0
    vm.pre_head = NONE
    vm.pre_tail = NONE
    vm.kv_used = 0
    vm.context_tokens = 0
    vm.queued_tokens = 0
    vm.pending_tokens = 0
    vm.run_iterations = 0
    vm.run_tail = 0
    vm.run_booked = 0
    vm.run_prompts = 0
    clear(s, v)


@jit
def fail_vm(s: State, v: int, state: int, now_s: float) -> None:
    """Take VM ``v`` out of service into ``state``; its requests go to the global queue."""
    vm = s.vm[v]
    if vm.member_pos != NONE:
        leave(s, v)
    if vm.state == ACTIVE or vm.state == DRAINING:
        lose_work(s, v, now_s)
    schedule(s, v, INFINITY)
    become(s, v, state, now_s)
    vm.model = NONE
    vm.fault_s = INFINITY
    s.clock[0].reconcile = 1


@jit
def reroute(s: State, now_s: float) -> None:
    """Route what waits in the global queues again (once each; it may return there)."""
    for m in range(s.model.shape[0]):
        for _ in range(s.model[m].n_global):
            route(s, pop_global(s, m), now_s)


@jit
def fault_event(s: State, now_s: float) -> None:
    """Crash or evict the VMs whose time has come."""
    clock = s.clock[0]
    nearest = INFINITY
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.fault_s <= now_s:
            if vm.state == SPOT:
                clock.evictions += 1
                fail_vm(s, v, COLD, now_s)
            elif vm.state == ACTIVE or vm.state == DRAINING:
                clock.crashes += 1
                fail_vm(s, v, COLD, now_s)
            vm.fault_s = INFINITY
        nearest = min(nearest, vm.fault_s)
    clock.next_fault_s = nearest
    reroute(s, now_s)


@jit
def outage_event(s: State, now_s: float) -> None:
    """Start or end the region outage; VMs come back cold."""
    c = s.config[0]
    clock = s.clock[0]
    starts = now_s < c.outage_end_s
    for v in range(s.vm.shape[0]):
        if s.vm[v].region == c.outage_region:
            if starts:
                fail_vm(s, v, LOST, now_s)
            elif s.vm[v].state == LOST:
                become(s, v, COLD, now_s)
    clock.next_outage_s = c.outage_end_s if starts else INFINITY
    clock.reconcile = 1
    reroute(s, now_s)


@jit
def publish(s: State, now_s: float) -> None:
    """Publish the utilisations that `seen_utilisation` gives until the next time."""
    for e in range(s.endpoint.shape[0]):
        s.endpoint[e].seen = utilisation(s, e, now_s)
    s.clock[0].next_stale_s = now_s + s.config[0].stale_s
