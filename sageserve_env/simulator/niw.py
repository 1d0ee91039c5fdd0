"""The manager of non-interactive work: held centrally per model, pulled when there is room.

At each visit an endpoint pulls one request per active instance while its utilisation is below its
release ceiling, two while it is also below the ceiling for two (paper: 60 % and 50 %). Work that
has waited for the escalation time is routed like interactive work. Nothing is served before it
arrives, because it comes from the trace like every other request.
"""

from __future__ import annotations

import math

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.balancing import choose_instance
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.routing import route, route_into
from sageserve_env.simulator.signals import seen_below
from sageserve_env.simulator.slots import append_held, first_held, pop_held
from sageserve_env.simulator.state import State


@jit
def hold(s: State, i: int, now_s: float) -> None:
    """Take request ``i`` into the manager's queue; it looks at multiples of its interval."""
    append_held(s, i)
    clock = s.clock[0]
    if clock.next_tick_s == INFINITY:
        interval = s.config[0].pull_interval_s
        clock.next_tick_s = max(now_s, math.ceil(now_s / interval) * interval)
        clock.next_other_s = min(clock.next_other_s, clock.next_tick_s)


@jit
def _pull(s: State, e: int, now_s: float) -> None:
    """Let endpoint ``e`` pull what it has room for."""
    c = s.config[0]
    endpoint = s.endpoint[e]
    m = endpoint.model
    pulled = 0
    while s.model[m].n_held > 0 and pulled < 2 * endpoint.n_members:
        allowed = 0
        if seen_below(s, e, endpoint.release - c.pull_gap, now_s):
            allowed = 2 * endpoint.n_members
        elif seen_below(s, e, endpoint.release, now_s):
            allowed = endpoint.n_members
        if pulled >= allowed:
            return
        lane = first_held(s, m, endpoint.region)
        if lane == NONE:
            return
        route_into(s, pop_held(s, m, lane), choose_instance(s, e), now_s)
        pulled += 1


@jit
def _escalate(s: State, m: int, now_s: float) -> None:
    """Route the requests of model ``m`` that have waited long enough as interactive work."""
    for lane in range(s.held.shape[1]):
        while s.held[m, lane].head != NONE:
            head = s.held[m, lane].head
            if now_s - s.request[head].arrival_s < s.config[0].escalate_after_s:
                break
            i = pop_held(s, m, lane)
            s.request[i].escalated = 1
            s.clock[0].escalated += 1
            route(s, i, now_s)


@jit
def visit(s: State, now_s: float) -> None:
    """Let the manager visit all endpoints, starting with another region each time.

    That is an event for each model of which it holds requests.
    """
    clock = s.clock[0]
    n_endpoints = s.endpoint.shape[0]
    held = 0
    clock.events -= 1  # the event loop counts one
    for m in range(s.model.shape[0]):
        if clock.part != NONE and m != clock.part:
            continue
        if s.model[m].n_held > 0:
            clock.events += 1
            _escalate(s, m, now_s)
            per_model = n_endpoints // s.model.shape[0]
            start = int(now_s / s.config[0].pull_interval_s) % per_model
            for j in range(per_model):
                e = m * per_model + (start + j) % per_model
                if s.endpoint[e].batch == 1 and s.endpoint[e].n_members > 0:
                    _pull(s, e, now_s)
            held += s.model[m].n_held
    clock.next_tick_s = INFINITY
    if held > 0:
        clock.next_tick_s = now_s + s.config[0].pull_interval_s
