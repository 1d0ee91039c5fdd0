"""Scores of instances: the router's weighted sum of features, kept per member of an endpoint.

A score changes only when its instance does, so routing is a search for the least of numbers that
are there. They are kept as integers in the same order (`order_bits`), which a processor compares
several at a time. What depends on the origin too, round trip and penalty, is added per region.
"""

from __future__ import annotations

import numpy as np

from sageserve_env.simulator._handle import in_wide_vectors, rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import (
    INFINITY,
    KV_SHARE,
    NONE,
    PENALTY_S,
    PENDING,
    QUEUE_S,
    ROUND_TRIP_S,
    RUNNING_N,
    SHARES,
    THRESHOLD,
)
from sageserve_env.simulator.heaps import from_time_bits, time_bits
from sageserve_env.simulator.latency import run_time_s
from sageserve_env.simulator.state import State

LARGEST = (1 << 63) - 1
VM_BITS = 24
VM_MASK = (1 << VM_BITS) - 1


@hot
def order_bits(x: float) -> int:
    """Return an integer that is ordered as ``x`` among those of other numbers."""
    bits = np.float64(x).view(np.int64)
    return int(bits ^ ((bits >> np.int64(63)) & np.int64(LARGEST)))


@hot
def from_order_bits(key: int) -> float:
    """Return the number that `order_bits` was given."""
    bits = np.int64(key)
    return float(np.int64(bits ^ ((bits >> np.int64(63)) & np.int64(LARGEST))).view(np.float64))


@hot
def score(s: State, v: int) -> float:
    """Weighted features of VM ``v``, without those of the way to its region."""
    return score_of(s, v, s.vm[v].queued_tokens)


@hot
def score_of(s: State, v: int, queued_tokens: int) -> float:
    """Score of VM ``v`` if so many prompt tokens were queued there."""
    vm = s.vm[v]
    m = vm.model
    w = s.weight
    total = 0.0
    if w[m, QUEUE_S] != 0.0:
        total += w[m, QUEUE_S] * (queued_tokens / s.profile[vm.profile].theta)
    if w[m, RUNNING_N] != 0.0:
        total += w[m, RUNNING_N] * vm.n_running
    if rare(w[m, KV_SHARE] != 0.0):
        total += w[m, KV_SHARE] * ((vm.kv_used + queued_tokens) / vm.kv_capacity)
    if rare(w[m, PENDING] != 0.0):
        total += w[m, PENDING] * vm.pending_tokens
    return total


@hot
def _has_boundary(s: State, v: int) -> bool:
    """Whether the queue of VM ``v`` shortens within its run, before the run's end."""
    vm = s.vm[v]
    return bool(vm.run_prompts > 0 and vm.run_booked + 1 < vm.run_iterations + vm.run_tail)


@hot
def least_score(s: State, v: int) -> int:
    """Least that VM ``v`` can score within its run, as `order_bits`; LARGEST where none changes.

    That is its score with all but the last chunk of a long prompt done.
    """
    vm = s.vm[v]
    if not _has_boundary(s, v):
        return LARGEST
    if s.config[0].never_negative == 0:
        return -LARGEST
    early = vm.run_iterations + vm.run_tail - 1 - vm.run_booked
    return order_bits(score_of(s, v, vm.queued_tokens - early * s.request[vm.pre_head].chunk))


@hot
def region_cost(s: State, m: int, origin: int, region: int) -> float:
    """Weighted features of the way from an origin to a region."""
    trip = s.weight[m, ROUND_TRIP_S] * s.round_trip[origin, region]
    return float(trip + s.weight[m, PENALTY_S] * s.routing[m, origin, region])


@hot
def next_boundary_s(s: State, v: int) -> float:
    """Time at which the queue of VM ``v`` shortens next within its run; infinite if it does not.

    Only a run of several iterations with one prompt has such times. Its last iteration ends with
    the run and is booked there.
    """
    vm = s.vm[v]
    if not _has_boundary(s, v):
        return INFINITY
    return float(vm.run_start_s + run_time_s(vm.run_base_s, vm.run_growth_s, vm.run_booked + 1))


@jit
def _book_chunks(s: State, v: int, now_s: float) -> None:
    """Take the prompt chunks that VM ``v`` has finished in its run out of the queue."""
    vm = s.vm[v]
    request = s.request[vm.pre_head]
    queued_before = vm.queued_tokens
    while next_boundary_s(s, v) <= now_s:
        request.prefilled += request.chunk
        vm.queued_tokens -= request.chunk
        vm.run_booked += 1
    settle(s, v, vm.kv_used, queued_before)


@jit
def _book_due(s: State, e: int, now_s: float) -> None:
    """Book the chunks of endpoint ``e`` that are done, earliest first: mostly those of one VM."""
    in_wide_vectors()
    n = (s.endpoint[e].n_members + 7) & ~7
    now = time_bits(now_s)
    while True:
        least = s.boundary[e, 0]
        for j in range(n):
            least = min(least, s.boundary[e, j])
        if least > now:
            break
        place = n
        for j in range(n):
            place = min(place, j if s.boundary[e, j] == least else n)
        _book_chunks(s, s.member[e, place], now_s)
    s.endpoint[e].next_boundary_s = from_time_bits(least)


@hot
def be_current(s: State, e: int, now_s: float) -> None:
    """Book what has left the queues of endpoint ``e`` by now, where scores count them.

    An event stands for many iterations of an instance. Without this its queue would stay as long
    as it was at the start of the run, for minutes with a long prompt.
    """
    if s.endpoint[e].next_boundary_s <= now_s and s.config[0].timely == 1:
        _book_due(s, e, now_s)


@hot
def settle(s: State, v: int, kv_before: int, queued_before: int) -> None:
    """Carry what changed on VM ``v`` to its endpoint and to the routing keys."""
    vm = s.vm[v]
    place = vm.member_pos
    if rare(place == NONE):
        return
    e = vm.endpoint
    endpoint = s.endpoint[e]
    endpoint.kv_used += vm.kv_used - kv_before
    endpoint.queued_tokens += vm.queued_tokens - queued_before
    s.jsq[e, place] = vm.pending_tokens << VM_BITS | v
    if rare(s.config[0].scored == 0):
        return
    key = order_bits(score(s, v))
    before = s.score[e, place]
    s.score[e, place] = key
    best = endpoint.best
    if best == place:
        if key > before:
            endpoint.best = NONE
    elif best != NONE:
        least = s.score[e, best]
        if key < least or (key == least and place < best):
            endpoint.best = place
    if s.config[0].timely == 1 and (_has_boundary(s, v) or s.lower[e, place] != LARGEST):
        _note_boundary(s, v)


@jit
def _note_boundary(s: State, v: int) -> None:
    """Note when the queue of member ``v`` shortens next and how little it can score then."""
    vm = s.vm[v]
    e, place = vm.endpoint, vm.member_pos
    endpoint = s.endpoint[e]
    boundary_s = next_boundary_s(s, v)
    lower = least_score(s, v)
    s.boundary[e, place] = time_bits(boundary_s)
    s.lower[e, place] = lower
    endpoint.next_boundary_s = min(endpoint.next_boundary_s, boundary_s)
    if endpoint.best != NONE and lower <= s.score[e, endpoint.best]:
        endpoint.best_until_s = min(endpoint.best_until_s, boundary_s)


@hot
def _least_score(s: State, e: int) -> int:
    """Least score of the members of endpoint ``e``."""
    best = int(s.endpoint[e].best)
    if best != NONE:
        return int(s.score[e, best])
    n = (s.endpoint[e].n_members + 7) & ~7
    least = s.score[e, 0]
    for j in range(n):
        least = min(least, s.score[e, j])
    return int(least)


@hot
def best_now(s: State, e: int, now_s: float) -> int:
    """Place of the member of endpoint ``e`` with the least score at this moment.

    The one that was found last stays the best until a score changes, or until the queue of a member
    shortens that could then score less.
    """
    endpoint = s.endpoint[e]
    if endpoint.best != NONE and (s.config[0].timely == 0 or endpoint.best_until_s > now_s):
        return int(endpoint.best)
    return _find_best(s, e, now_s)


@jit
def _find_best(s: State, e: int, now_s: float) -> int:
    """Bring members up to date, the most promising first, until no other can be the best.

    Where scores count no queues there is nothing to bring up to date.
    """
    in_wide_vectors()
    n = (s.endpoint[e].n_members + 7) & ~7
    now = time_bits(now_s)
    while True:
        limit = _least_score(s, e)
        never = time_bits(INFINITY)
        until, place = never, n
        for j in range(n):  # all are read: no branch
            key, boundary, lower = s.score[e, j], s.boundary[e, j], s.lower[e, j]
            place = min(place, j if key == limit else n)
            until = min(until, boundary if lower <= limit else never)
        s.endpoint[e].best = place
        if until > now or s.config[0].timely == 0:
            s.endpoint[e].best_until_s = from_time_bits(until)
            return int(place)
        candidate = LARGEST
        for j in range(n):
            boundary, lower = s.boundary[e, j], s.lower[e, j]
            candidate = min(candidate, lower if boundary <= now else LARGEST)
        due = n
        for j in range(n):
            boundary, lower = s.boundary[e, j], s.lower[e, j]
            due = min(due, j if (lower == candidate) & (boundary <= now) else n)
        _book_chunks(s, s.member[e, due], now_s)


@hot
def shortest_queue(s: State, e: int) -> int:
    """VM of endpoint ``e`` with the fewest pending tokens, the lowest of equals."""
    n = (s.endpoint[e].n_members + 7) & ~7
    fewest = s.jsq[e, 0]
    for j in range(n):
        fewest = min(fewest, s.jsq[e, j])
    return int(fewest & VM_MASK)


@jit
def set_router(s: State, router: int) -> None:
    """Put a router and its weights into force; `refresh_scores` must follow before any routing."""
    s.config[0].router = router
    s.config[0].scored = 0 if router == THRESHOLD or router == SHARES else 1
    for m in range(s.weight.shape[0]):
        for f in range(s.weight.shape[1]):
            s.weight[m, f] = s.router_row[router, f]


@jit
def set_discipline(s: State, discipline: int) -> None:
    """Put a discipline into force for what is queued from now on."""
    s.config[0].discipline = discipline
    for m in range(s.order.shape[0]):
        for f in range(s.order.shape[1]):
            s.order[m, f] = s.order_row[discipline, f]


@jit
def refresh_scores(s: State) -> None:
    """Compute all scores anew if the weights in force are not those they were computed with."""
    if s.config[0].scored == 0:
        s.keyed[0, 0] = np.nan
        s.config[0].timely = 0
        return
    same = True
    for m in range(s.weight.shape[0]):
        for f in range(s.weight.shape[1]):
            if s.keyed[m, f] != s.weight[m, f]:
                same = False
                s.keyed[m, f] = s.weight[m, f]
    if same:
        return
    timely, never_negative = 0, 1
    for m in range(s.weight.shape[0]):
        if s.weight[m, QUEUE_S] != 0.0 or s.weight[m, KV_SHARE] != 0.0:
            timely = 1
        for f in (QUEUE_S, RUNNING_N, KV_SHARE, PENDING):
            if s.weight[m, f] < 0.0:
                never_negative = 0
    s.config[0].timely = timely
    s.config[0].never_negative = never_negative
    for e in range(s.endpoint.shape[0]):
        s.endpoint[e].best = NONE
        s.endpoint[e].next_boundary_s = INFINITY
        s.endpoint[e].best_until_s = INFINITY
    for v in range(s.vm.shape[0]):
        settle(s, v, s.vm[v].kv_used, s.vm[v].queued_tokens)
