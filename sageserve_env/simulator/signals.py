"""The utilisation of an endpoint, as it is and as it is seen."""

from __future__ import annotations

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, KV
from sageserve_env.simulator.scoring import be_current
from sageserve_env.simulator.state import State


@jit
def turn_ring(s: State, e: int, now_s: float) -> None:
    """Drop what was routed to endpoint ``e`` more than 60 s ago."""
    endpoint = s.endpoint[e]
    second = int(now_s)
    if rare(second - endpoint.ring_second >= 60):
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
    be_current(s, e, now_s)
    load = (endpoint.ring_tokens + endpoint.queued_tokens) / (60.0 * endpoint.theta)
    return float(max(kv, load))


@jit
def seen_utilisation(s: State, e: int, now_s: float) -> float:
    """Utilisation as published, which is old when metrics are stale.

    The threshold and the spill rule, the NIW manager, scalers and views see it; routers that score
    see pictures instead (``pictures``).
    """
    if s.config[0].stale_s > 0.0 and s.endpoint[e].n_members > 0:
        return float(s.endpoint[e].seen)
    return utilisation(s, e, now_s)


@jit
def seen_below(s: State, e: int, bound: float, now_s: float) -> bool:
    """Whether the utilisation of endpoint ``e`` as published is below ``bound``.

    Queues are brought up to date only where that decides: until then they are too long.
    """
    endpoint = s.endpoint[e]
    c = s.config[0]
    if endpoint.n_members == 0 or c.utilisation == KV or c.stale_s > 0.0:
        return bool(seen_utilisation(s, e, now_s) < bound)
    if endpoint.kv_used / endpoint.kv_capacity >= bound:
        return False
    turn_ring(s, e, now_s)
    if (endpoint.ring_tokens + endpoint.queued_tokens) / (60.0 * endpoint.theta) < bound:
        return True
    return bool(utilisation(s, e, now_s) < bound)
