"""From a request to an endpoint (four routers) and to an instance (four balancers)."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.batching import enqueue, settle
from sageserve_env.simulator.codes import (
    INFINITY,
    JSQ,
    KV,
    LEAST_KV,
    LEAST_WAIT,
    LEAST_WAIT_KV,
    NONE,
    ROUND_ROBIN,
    THRESHOLD,
)
from sageserve_env.simulator.rng import uniform
from sageserve_env.simulator.slots import append_global, append_transit, pop_global
from sageserve_env.simulator.state import State


@jit
def turn_ring(s: State, e: int, now_s: float) -> None:
    """Drop what was routed to endpoint ``e`` more than 60 s ago."""
    endpoint = s.endpoint[e]
    second = int(now_s)
    if second - endpoint.ring_second >= 60:
        for i in range(60):
            s.ring[e, i] = 0
        endpoint.ring_tokens = 0
        endpoint.ring_second = second
    while endpoint.ring_second < second:
        endpoint.ring_second += 1
        i = endpoint.ring_second % 60
        endpoint.ring_tokens -= s.ring[e, i]
        s.ring[e, i] = 0


@jit
def utilisation(s: State, e: int, now_s: float) -> float:
    """Utilisation of endpoint ``e`` now; infinite without an active instance.

    ``kv``: reserved KV over capacity. ``load``: the larger of that and (prompt tokens routed in the
    last 60 s + queued) / (60 s x theta x active instances).
    """
    endpoint = s.endpoint[e]
    if endpoint.n_members == 0:
        return INFINITY
    kv = endpoint.kv_used / endpoint.kv_capacity
    if s.config[0].utilisation == KV:
        return float(kv)
    turn_ring(s, e, now_s)
    load = (endpoint.ring_tokens + endpoint.queued_tokens) / (60.0 * endpoint.theta)
    return float(max(kv, load))


@jit
def seen_utilisation(s: State, e: int, now_s: float) -> float:
    """Utilisation as published, which is old when metrics are stale.

    The threshold and the spill rule, the NIW manager, scalers and views see it; ``least_wait``
    compares expected waits, which are current.
    """
    if s.config[0].stale_s > 0.0 and s.endpoint[e].n_members > 0:
        return float(s.endpoint[e].seen)
    return utilisation(s, e, now_s)


@jit
def endpoint_for(s: State, m: int, r: int, batch: int, now_s: float) -> int:
    """Endpoint of (model, region) that work of a class goes to; NONE if none accepts.

    Work goes to the first pool of its class and spills to the second when the first has no
    accepting instance or is at the spill threshold.
    """
    base = (m * s.round_trip.shape[0] + r) * s.config[0].pools
    e = int(base + s.pools[batch, 0])
    if s.pools[batch, 1] == NONE:
        return e if s.endpoint[e].n_members > 0 else NONE
    spill = int(base + s.pools[batch, 1])
    if s.endpoint[spill].n_members == 0:
        return e if s.endpoint[e].n_members > 0 else NONE
    if s.endpoint[e].n_members == 0:
        return spill
    if seen_utilisation(s, e, now_s) >= s.config[0].spill_threshold:
        return spill
    return e


@jit
def _by_threshold(s: State, i: int, batch: int, now_s: float) -> int:
    request = s.request[i]
    best, least = NONE, INFINITY
    for j in range(s.round_trip.shape[0]):
        r = s.orders[request.preference, j]
        e = endpoint_for(s, request.model, r, batch, now_s)
        if e != NONE:
            used = seen_utilisation(s, e, now_s)
            if used < s.config[0].threshold:
                return e
            if best == NONE or used < least:  # the utilisation seen may be infinite when stale
                best, least = e, used
    return best


@jit
def _by_shares(s: State, i: int, batch: int, now_s: float) -> int:
    """Smooth weighted round robin over the shares; skips regions that cannot take the request.

    If no region with a share can, the first in the order of preference that can takes it.
    """
    request = s.request[i]
    m, o = request.model, request.region
    best, most, other = NONE, -INFINITY, NONE
    destination = NONE
    total = 0.0
    for j in range(s.round_trip.shape[0]):
        r = s.orders[request.preference, j]
        e = endpoint_for(s, m, r, batch, now_s)
        if e != NONE:
            share = s.routing[m, o, r]
            if share > 0.0:
                s.credit[m, o, r] += share
                total += share
                if s.credit[m, o, r] > most:
                    best, most, destination = e, s.credit[m, o, r], r
            elif other == NONE:
                other = e
    if destination == NONE:
        return other
    s.credit[m, o, destination] -= total
    return best


@jit
def set_router(s: State, router: int) -> None:
    """Put a router into force; expected waits are computed anew where they count memory or did."""
    before = s.config[0].router
    s.config[0].router = router
    if router != before and (router == LEAST_WAIT_KV or before == LEAST_WAIT_KV):
        for v in range(s.vm.shape[0]):
            settle(s, v, s.vm[v].kv_used, s.vm[v].queued_tokens)
        for e in range(s.endpoint.shape[0]):
            s.endpoint[e].best = NONE


@jit
def least_wait_member(s: State, e: int) -> int:
    """Place of the member of endpoint ``e`` with the least expected wait, the first of equals."""
    best = int(s.endpoint[e].best)
    if best != NONE:
        return best
    best = 0
    least = s.member[e, 0].wait_s
    for j in range(1, s.endpoint[e].n_members):
        if s.member[e, j].wait_s < least:
            best, least = j, s.member[e, j].wait_s
    s.endpoint[e].best = best
    return best


@jit
def _by_least_wait(s: State, i: int, batch: int, now_s: float) -> int:
    """Return the VM with the least expected wait plus penalty over all regions."""
    request = s.request[i]
    m, o = request.model, request.region
    best, least = NONE, INFINITY
    for r in range(s.round_trip.shape[0]):
        e = endpoint_for(s, m, r, batch, now_s)
        if e != NONE:
            j = least_wait_member(s, e)
            wait = s.member[e, j].wait_s + s.routing[m, o, r]
            if wait < least:
                best, least = s.member[e, j].vm, wait
    return best


@jit
def choose_instance(s: State, e: int) -> int:
    """Choose an accepting instance of endpoint ``e``, which has one, by the balancer."""
    n = s.endpoint[e].n_members
    balancer = s.config[0].balancer
    best = 0
    if balancer == JSQ:
        fewest = s.member[e, 0].pending
        for j in range(1, n):
            pending = s.member[e, j].pending
            if pending <= fewest:
                if pending < fewest or s.member[e, j].vm < s.member[e, best].vm:
                    best, fewest = j, pending
    elif balancer == ROUND_ROBIN:
        best = s.endpoint[e].round_robin % n
        s.endpoint[e].round_robin = best + 1
    elif balancer == LEAST_KV:
        least = INFINITY
        for j in range(n):
            vm = s.vm[s.member[e, j].vm]
            used = vm.kv_used / vm.kv_capacity
            if used < least:
                best, least = j, used
    else:
        best = int(uniform(s) * n)
        other = int(uniform(s) * n)
        if s.member[e, other].pending < s.member[e, best].pending:
            best = other
    return int(s.member[e, best].vm)


@jit
def route_into(s: State, i: int, v: int, now_s: float) -> None:
    """Book request ``i`` as routed to the endpoint of VM ``v`` and queue it there."""
    e = s.vm[v].endpoint
    turn_ring(s, e, now_s)
    endpoint = s.endpoint[e]
    endpoint.ring_tokens += s.request[i].target
    s.ring[e, endpoint.ring_second % 60] += s.request[i].target
    enqueue(s, v, i, now_s)


@jit
def route(s: State, i: int, now_s: float) -> None:
    """Route request ``i``; if no endpoint of its model accepts work, it waits globally."""
    c = s.config[0]
    request = s.request[i]
    batch = 0
    if s.tier[request.tier].interactive == 0 and request.escalated == 0:
        batch = 1
    waits = c.router == LEAST_WAIT or c.router == LEAST_WAIT_KV
    if waits and c.routing_delay_s == 0.0:
        v = _by_least_wait(s, i, batch, now_s)
        if v == NONE:
            append_global(s, i)
        else:
            route_into(s, i, v, now_s)
        return
    if c.router == THRESHOLD:
        e = _by_threshold(s, i, batch, now_s)
    elif waits:
        v = _by_least_wait(s, i, batch, now_s)
        e = NONE if v == NONE else s.vm[v].endpoint
    else:
        e = _by_shares(s, i, batch, now_s)
    if e == NONE:
        append_global(s, i)
    elif c.routing_delay_s > 0.0:
        request.endpoint = e
        request.key = now_s + c.routing_delay_s
        append_transit(s, i)
        if s.clock[0].transit_head == i:
            s.clock[0].next_other_s = min(s.clock[0].next_other_s, request.key)
    else:
        route_into(s, i, choose_instance(s, e), now_s)


@jit
def arrive_in_region(s: State, i: int, now_s: float) -> None:
    """Give request ``i``, whose routing delay is over, to an instance of its endpoint.

    If none is left there it is routed once more: in the global queue it would wait for the next
    scale-out although another region may accept it.
    """
    e = s.request[i].endpoint
    if s.endpoint[e].n_members > 0:
        route_into(s, i, choose_instance(s, e), now_s)
    else:
        route(s, i, now_s)


@jit
def drain_global(s: State, m: int, now_s: float) -> None:
    """Route what waits globally for model ``m``, after an instance of it has become active."""
    for _ in range(s.model[m].n_global):
        route(s, pop_global(s, m), now_s)
