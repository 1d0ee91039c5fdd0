"""The utilisation of an endpoint, as it is and as it is seen."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, KV, NONE
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
def place_for(s: State, i: int, r: int, batch: int, now_s: float) -> int:
    """Endpoint in region ``r`` that may serve request ``i``, or NONE: a resident stays at home."""
    request = s.request[i]
    if request.resident == 1 and r != request.region:
        return NONE
    return endpoint_for(s, request.model, r, batch, now_s)
