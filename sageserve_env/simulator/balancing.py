"""The instance inside an endpoint, where the router has chosen the endpoint only.

The table of balancers is ``policies/balancers.py``.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, JSQ, LEAST_KV, ROUND_ROBIN
from sageserve_env.simulator.rng import uniform
from sageserve_env.simulator.scoring import shortest_queue
from sageserve_env.simulator.state import State


@jit
def choose_instance(s: State, e: int) -> int:
    """Choose an accepting instance of endpoint ``e``, which has one, by the balancer."""
    balancer = s.config[0].balancer
    if balancer == JSQ:
        return shortest_queue(s, e)
    if balancer == ROUND_ROBIN:
        return _in_turn(s, e)
    if balancer == LEAST_KV:
        return _least_kv(s, e)
    return _two_choices(s, e)


@jit
def _in_turn(s: State, e: int) -> int:
    place = s.endpoint[e].round_robin % s.endpoint[e].n_members
    s.endpoint[e].round_robin = place + 1
    return int(s.member[e, place])


@jit
def _least_kv(s: State, e: int) -> int:
    best, least = 0, INFINITY
    for j in range(s.endpoint[e].n_members):
        vm = s.vm[s.member[e, j]]
        used = vm.kv_used / vm.kv_capacity
        if used < least:
            best, least = j, used
    return int(s.member[e, best])


@jit
def _two_choices(s: State, e: int) -> int:
    n = s.endpoint[e].n_members
    one = s.member[e, int(uniform(s) * n)]
    other = s.member[e, int(uniform(s) * n)]
    if s.vm[other].pending_tokens < s.vm[one].pending_tokens:
        return int(other)
    return int(one)
