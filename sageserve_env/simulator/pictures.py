"""What a gateway knows of an endpoint: the live one at home, a picture of it elsewhere.

Inside a region the dispatcher knows its instances and what it has sent them. Every
``routing.region_age_s`` the regions tell each other the aggregates of their endpoints; until the
next time a gateway knows of another region these and the prompt tokens that it has sent there since
itself. So what it knows is at most that old. Where the metrics themselves are stale
(``faults.stale_metrics_s``), a router that scores knows its own region that way too.
"""

from __future__ import annotations

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import (
    INFINITY,
    KV,
    KV_SHARE,
    NONE,
    PENDING,
    QUEUE_S,
    RUNNING_N,
)
from sageserve_env.simulator.scoring import be_current
from sageserve_env.simulator.signals import seen_utilisation
from sageserve_env.simulator.state import State


@hot
def pictured(s: State, origin: int, e: int) -> bool:
    """Whether the gateway of region ``origin`` knows endpoint ``e`` by its picture only."""
    c = s.config[0]
    if rare(c.aged == 1):
        if c.region_age_s > 0.0 and s.endpoint[e].region != origin:
            return True
        return bool(c.stale_s > 0.0 and c.scored == 1)
    return False


@hot
def known_members(s: State, origin: int, e: int) -> int:
    """Accepting instances of endpoint ``e``, as the gateway of ``origin`` knows them."""
    if pictured(s, origin, e):
        return int(s.picture[e].members)
    return int(s.endpoint[e].n_members)


@jit
def known_utilisation(s: State, origin: int, e: int, now_s: float) -> float:
    """Utilisation of endpoint ``e``, as the gateway of ``origin`` knows it."""
    if not pictured(s, origin, e):
        return seen_utilisation(s, e, now_s)
    picture = s.picture[e]
    if picture.members == 0:
        return INFINITY
    sent = s.sent[origin, e]
    if s.config[0].utilisation == KV:
        return float(picture.used + sent / picture.kv_capacity)
    kv = (picture.kv_used + sent) / picture.kv_capacity
    return float(max(kv, picture.used + sent / (60.0 * picture.theta)))


@jit
def known_score(s: State, origin: int, m: int, e: int) -> float:
    """Score of an instance of endpoint ``e`` by its picture: that of the mean one.

    What the gateway has sent there since counts as queued.
    """
    picture, w = s.picture[e], s.weight
    sent = s.sent[origin, e]
    total = 0.0
    if w[m, QUEUE_S] != 0.0:
        total += w[m, QUEUE_S] * ((picture.queued_tokens + sent) / picture.theta)
    if w[m, RUNNING_N] != 0.0:
        total += w[m, RUNNING_N] * (picture.running / picture.members)
    if w[m, KV_SHARE] != 0.0:
        held = picture.kv_used + picture.queued_tokens + sent
        total += w[m, KV_SHARE] * (held / picture.kv_capacity)
    if w[m, PENDING] != 0.0:
        total += w[m, PENDING] * ((picture.pending_tokens + sent) / picture.members)
    return total


@jit
def take_pictures(s: State, now_s: float) -> None:
    """Publish the aggregates of every endpoint; what was sent counts from now on."""
    for e in range(s.endpoint.shape[0]):
        be_current(s, e, now_s)
        endpoint, picture = s.endpoint[e], s.picture[e]
        picture.members = endpoint.n_members
        picture.used = seen_utilisation(s, e, now_s)
        picture.theta = endpoint.theta
        picture.kv_used = endpoint.kv_used
        picture.kv_capacity = endpoint.kv_capacity
        picture.queued_tokens = endpoint.queued_tokens
        picture.running = 0
        picture.pending_tokens = 0
        for place in range(endpoint.n_members):
            vm = s.vm[s.member[e, place]]
            picture.running += vm.n_running
            picture.pending_tokens += vm.pending_tokens
        for origin in range(s.sent.shape[0]):
            s.sent[origin, e] = 0
    clock = s.clock[0]
    clock.next_picture_s = (int(now_s / s.config[0].picture_s + 0.5) + 1) * s.config[0].picture_s


@jit
def _endpoint_for(s: State, origin: int, m: int, r: int, batch: int, now_s: float) -> int:
    """Endpoint of (model, region) that work of a class goes to; NONE if none accepts.

    Work goes to the first pool of its class and spills to the second when the first has no
    accepting instance or is at the spill threshold, as the gateway of ``origin`` knows them.
    """
    base = (m * s.round_trip.shape[0] + r) * s.config[0].pools
    e = int(base + s.pools[batch, 0])
    if s.pools[batch, 1] == NONE:
        return e if known_members(s, origin, e) > 0 else NONE
    spill = int(base + s.pools[batch, 1])
    if known_members(s, origin, spill) == 0:
        return e if known_members(s, origin, e) > 0 else NONE
    if known_members(s, origin, e) == 0:
        return spill
    if known_utilisation(s, origin, e, now_s) >= s.config[0].spill_threshold:
        return spill
    return e


@jit
def place_for(s: State, i: int, r: int, batch: int, now_s: float) -> int:
    """Endpoint in region ``r`` that may serve request ``i``, or NONE: a resident stays at home."""
    request = s.request[i]
    if request.resident == 1 and r != request.region:
        return NONE
    return _endpoint_for(s, request.region, request.model, r, batch, now_s)
