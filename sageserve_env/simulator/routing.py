"""From a request to an endpoint and to an instance: the dispatch to routers and balancers."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.balancing import choose_instance
from sageserve_env.simulator.batching import enqueue
from sageserve_env.simulator.by_prefix import best_for, weighs_prompt
from sageserve_env.simulator.by_score import by_score, region_by_score
from sageserve_env.simulator.by_shares import by_shares
from sageserve_env.simulator.by_threshold import by_threshold
from sageserve_env.simulator.codes import NONE, SHARES
from sageserve_env.simulator.pictures import pictured, take_pictures
from sageserve_env.simulator.prefix_memory import remember
from sageserve_env.simulator.scoring import best_now
from sageserve_env.simulator.signals import turn_ring
from sageserve_env.simulator.slots import append_global, append_transit, pop_global
from sageserve_env.simulator.state import State


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
def _choose_endpoint(s: State, i: int, batch: int, now_s: float) -> int:
    """Endpoint that the router in force gives request ``i``; NONE if none accepts it."""
    c = s.config[0]
    if c.scored == 1:
        return region_by_score(s, i, batch, now_s)
    if c.router == SHARES:
        return by_shares(s, i, batch, now_s)
    return by_threshold(s, i, batch, now_s)


@jit
def _instance_of(s: State, i: int, e: int, now_s: float) -> int:
    """Instance for request ``i`` inside endpoint ``e``, which its own region knows live."""
    if s.config[0].scored == 0:
        return choose_instance(s, e)
    place = int(s.clock[0].chosen)
    if place == NONE and weighs_prompt(s, i):
        place, _ = best_for(s, i, e, now_s)
    elif place == NONE:
        place = best_now(s, e, now_s)
    return int(s.member[e, place])


@jit
def route(s: State, i: int, now_s: float) -> None:
    """Route request ``i``; if no endpoint of its model accepts work, it waits globally."""
    c = s.config[0]
    request = s.request[i]
    batch = 0
    if s.tier[request.tier].interactive == 0 and request.escalated == 0:
        batch = 1
    if c.scored == 1 and c.aged == 0 and c.routing_delay_s == 0.0:
        v = by_score(s, i, batch, now_s)
        if v == NONE:
            append_global(s, i)
        else:
            route_into(s, i, v, now_s)
        return
    e = _choose_endpoint(s, i, batch, now_s)
    while e != NONE and s.endpoint[e].n_members == 0:  # the picture was wrong: now it is known
        s.picture[e].members = 0
        e = _choose_endpoint(s, i, batch, now_s)
    if e == NONE:
        append_global(s, i)
        return
    if pictured(s, request.region, e):
        s.sent[request.region, e] += request.target
        remember(s, i, s.endpoint[e].region)
    if c.routing_delay_s > 0.0:
        request.endpoint = e
        request.key = now_s + c.routing_delay_s
        append_transit(s, i)
        if s.clock[0].transit_head == i:
            s.clock[0].next_other_s = min(s.clock[0].next_other_s, request.key)
    else:
        route_into(s, i, _instance_of(s, i, e, now_s), now_s)


@jit
def arrive_in_region(s: State, i: int, now_s: float) -> None:
    """Give request ``i``, whose routing delay is over, to an instance of its endpoint.

    If none is left there it is routed once more: in the global queue it would wait for the next
    scale-out although another region may accept it.
    """
    e = s.request[i].endpoint
    s.clock[0].chosen = NONE
    if s.endpoint[e].n_members > 0:
        route_into(s, i, _instance_of(s, i, e, now_s), now_s)
    else:
        s.picture[e].members = 0
        route(s, i, now_s)


@jit
def drain_global(s: State, m: int, now_s: float) -> None:
    """Route what waits globally for model ``m``, after an instance of it has become active."""
    for _ in range(s.model[m].n_global):
        route(s, pop_global(s, m), now_s)


@jit
def exchange(s: State, now_s: float) -> None:
    """Let the regions tell each other how they stand; work may now reach what is new to them."""
    take_pictures(s, now_s)
    for m in range(s.model.shape[0]):
        if s.model[m].n_global > 0:
            drain_global(s, m, now_s)
