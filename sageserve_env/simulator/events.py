"""The event loop: the earliest of the next VM event, the next arrival and the other clocks."""

from __future__ import annotations

from sageserve_env.simulator._handle import prefetch, rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.admission import refused
from sageserve_env.simulator.batching import instance_event, is_empty
from sageserve_env.simulator.codes import (
    ACTIVE,
    DONE,
    DRAINING,
    INFINITY,
    NEED_CHUNK,
    NEED_SLOTS,
    NONE,
)
from sageserve_env.simulator.faults import fault_event, outage_event, publish
from sageserve_env.simulator.fleet import ready_event, reconcile, retire
from sageserve_env.simulator.heaps import ROOT, next_event_s
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.memory import LINE_BYTES
from sageserve_env.simulator.metrics import book_arrival
from sageserve_env.simulator.niw import hold, visit
from sageserve_env.simulator.prefix_use import name_path
from sageserve_env.simulator.rng import OBJECTIVE, RESIDENT, draw
from sageserve_env.simulator.routing import arrive_in_region, exchange, route
from sageserve_env.simulator.sessions import pop_turn
from sageserve_env.simulator.slots import pop_transit, take_slot
from sageserve_env.simulator.state import State


@jit
def _fetch_arrivals(s: State, c: int) -> None:
    """Ask for the columns of the requests that arrive from ``c`` on, a line of each."""
    prefetch(s.arrival_s, c, 0)
    prefetch(s.arrival_s, c, LINE_BYTES)
    prefetch(s.arrival_model, c, 0)
    prefetch(s.arrival_region, c, 0)
    prefetch(s.arrival_tier, c, 0)
    prefetch(s.arrival_prompt, c, 0)
    prefetch(s.arrival_output, c, 0)
    prefetch(s.arrival_order, c, 0)
    prefetch(s.arrival_node, c, 0)
    prefetch(s.arrival_turn, c, 0)
    if s.clock[0].part != NONE:
        prefetch(s.arrival_next, c, 0)


@hot
def _arrive(s: State, c: int, now_s: float) -> None:
    """Take request ``c`` of the current piece of the trace into a slot and route or hold it."""
    i = take_slot(s)
    request = s.request[i]
    request.model = s.arrival_model[c]
    request.region = s.arrival_region[c]
    request.tier = s.arrival_tier[c]
    request.prompt = s.arrival_prompt[c]
    request.output = s.arrival_output[c]
    request.preference = s.arrival_order[c]
    request.turn = s.arrival_turn[c]
    _enter(s, i, s.arrival_node[c], now_s)


@jit
def _take_turn(s: State, now_s: float) -> None:
    """Let the next turn of a session arrive."""
    k = pop_turn(s)
    i = take_slot(s)
    request, thought = s.request[i], s.thinking[k]
    turn = s.turn[thought.turn]
    request.model = thought.model
    request.region = thought.region
    request.tier = thought.tier
    request.preference = thought.preference
    request.prompt = min(turn.prompt, s.model[request.model].longest_prompt)
    request.output = min(turn.output, s.config[0].longest_output)
    request.turn = turn.next
    _enter(s, i, turn.node, now_s)


@hot
def _enter(s: State, i: int, node: int, now_s: float) -> None:
    """Route or hold the arriving request in slot ``i``; its own columns are filled in."""
    clock = s.clock[0]
    request = s.request[i]
    request.arrival_s = now_s
    request.id = clock.sequence
    clock.sequence += 1
    clock.arrived += 1
    request.target = request.prompt
    request.prefilled = 0
    request.chunk = 0
    request.emitted = 0
    request.escalated = 0
    request.first_token_s = -1.0
    if rare(s.config[0].prefix_tokens > 0):
        name_path(s, i, node)
    request.vm = NONE
    request.endpoint = NONE
    tier = s.tier[request.tier]
    request.resident = 0
    if rare(s.config[0].residency == 1):
        if draw(s, request.id, RESIDENT) < s.resident[request.region]:
            request.resident = 1
    request.objective_s = tier.objective_s
    if rare(tier.choices > 0):
        choice = int(draw(s, request.id, OBJECTIVE) * tier.choices)
        request.objective_s = s.objectives[request.tier, choice]
    if tier.ttft == 1:
        alone = prefill_s(s, s.model[request.model].reference, float(request.prompt))
        request.objective_s = max(tier.objective_s, s.config[0].slo_scale * alone)
    book_arrival(s, i, now_s)
    if rare(s.config[0].admission == 1):
        if refused(s, i, now_s):
            return
    if tier.interactive == 1:
        route(s, i, now_s)
    else:
        hold(s, i, now_s)


@jit
def _next_other(s: State) -> None:
    """Recompute the earliest of the clocks that are neither VM events nor arrivals."""
    clock = s.clock[0]
    nearest = min(min(clock.next_tick_s, clock.next_fault_s), clock.next_outage_s)
    nearest = min(nearest, min(clock.next_stale_s, clock.next_picture_s))
    nearest = min(nearest, clock.next_turn_s)
    if clock.transit_head != NONE:
        nearest = min(nearest, s.request[clock.transit_head].key)
    clock.next_other_s = nearest


@jit
def _other_event(s: State, now_s: float) -> None:
    """Handle one of the rarer events that is due now."""
    clock = s.clock[0]
    if clock.transit_head != NONE and s.request[clock.transit_head].key <= now_s:
        arrive_in_region(s, pop_transit(s), now_s)
    elif clock.next_turn_s <= now_s:
        _take_turn(s, now_s)
    elif clock.next_stale_s <= now_s:
        publish(s, now_s)
    elif clock.next_picture_s <= now_s:
        exchange(s, now_s)
    elif clock.next_outage_s <= now_s:
        outage_event(s, now_s)
    elif clock.next_fault_s <= now_s:
        fault_event(s, now_s)
    else:
        visit(s, now_s)
    _next_other(s)


@hot
def _vm_event(s: State, v: int, now_s: float) -> None:
    """Handle the next event of VM ``v``: the end of a run or of a scale-out."""
    state = s.vm[v].state
    if rare(state != ACTIVE and state != DRAINING):
        ready_event(s, v, now_s)
        return
    instance_event(s, v, now_s)
    if rare(state == DRAINING):
        if is_empty(s, v):
            retire(s, v, now_s)


@hot
def _next_arrival(s: State) -> None:
    """Go on to the next request of the trace, or of the model that is simulated by itself."""
    clock = s.clock[0]
    line = clock.cursor >> 4  # sixteen fill a line
    if clock.part == NONE:
        clock.cursor += 1
    else:
        after = s.arrival_next[clock.cursor]
        clock.sequence += after - clock.cursor - 1  # one is counted already
        clock.cursor = after
    if rare(clock.cursor >> 4 != line) and clock.cursor + 32 < s.arrival_s.shape[0]:
        _fetch_arrivals(s, (clock.cursor & ~15) + 32)


@jit
def simulate(s: State, until_s: float) -> int:
    """Process every event up to and including ``until_s``, of all models or of a part's.

    Simultaneous events are taken in the order VM events, other clocks, arrivals.

    Args:
        s: The state or a part of it; changed in place.
        until_s: End of the interval.

    Returns:
        ``DONE``, or ``NEED_CHUNK`` / ``NEED_SLOTS`` when the caller has to supply more of either
        and call again.
    """
    clock = s.clock[0]
    while True:
        arrival_s = INFINITY
        if clock.cursor < clock.end:
            arrival_s = s.arrival_s[clock.cursor]
        elif clock.exhausted == 0:
            return NEED_CHUNK
        vm_s = next_event_s(s)
        prefetch(s.vm, s.tree_vm[ROOT], 0)
        prefetch(s.vm, s.tree_vm[ROOT], LINE_BYTES)
        if vm_s <= arrival_s and vm_s <= clock.next_other_s:
            if rare(vm_s > until_s):
                return DONE
            clock.now_s = vm_s
            _vm_event(s, s.tree_vm[ROOT], vm_s)
        elif rare(clock.next_other_s <= arrival_s):
            if clock.next_other_s > until_s:
                return DONE
            if (
                clock.next_turn_s <= clock.next_other_s
                and clock.n_free == 0
                and clock.n_touched == s.request.shape[0]
            ):
                return NEED_SLOTS
            clock.now_s = clock.next_other_s
            _other_event(s, clock.next_other_s)
        else:
            if rare(arrival_s > until_s):
                return DONE
            if rare(clock.n_free == 0):
                if clock.n_touched == s.request.shape[0]:
                    return NEED_SLOTS
            clock.now_s = arrival_s
            _arrive(s, clock.cursor, arrival_s)
            _next_arrival(s)
        clock.events += 1
        if rare(clock.reconcile == 1):
            if clock.part == NONE:
                reconcile(s, clock.now_s)
            clock.reconcile = 0  # a part has nothing that is unmet
