"""Instances scored for one request: what they have cached of its prompt counts.

Inside a region the dispatcher knows exactly which instance holds what. Of a region that a gateway
knows by a picture it knows no blocks, so that nothing is taken off there.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE, PREFIX_S
from sageserve_env.simulator.prefix_use import cached_tokens
from sageserve_env.simulator.scoring import be_current, from_order_bits
from sageserve_env.simulator.state import State


@jit
def weighs_prefix(s: State, i: int) -> bool:
    """Whether the score of an instance depends on request ``i``."""
    request = s.request[i]
    if s.config[0].prefix_tokens == 0:
        return False
    return bool(request.node != 0 and s.weight[request.model, PREFIX_S] != 0.0)


@jit
def prefix_score(s: State, i: int, e: int, place: int) -> float:
    """Score of a member of endpoint ``e`` for request ``i``, up to date with `be_current`.

    The prefill that a prefix saves is its tokens over theta of the instance.
    """
    v = int(s.member[e, place])
    saved_s = cached_tokens(s, v, i) / s.profile[s.vm[v].profile].theta
    return float(
        from_order_bits(s.score[e, place]) + s.weight[s.request[i].model, PREFIX_S] * saved_s
    )


@jit
def best_for(s: State, i: int, e: int, now_s: float) -> int:
    """Place of the member of endpoint ``e`` with the least score for request ``i``."""
    be_current(s, e, now_s)
    request = s.request[i]
    weight = s.weight[request.model, PREFIX_S]
    tokens = s.trie[request.node].depth * s.config[0].prefix_tokens
    best, least = NONE, INFINITY
    for place in range(s.endpoint[e].n_members):
        total = from_order_bits(s.score[e, place])
        vm = s.vm[s.member[e, place]]
        most_s = tokens / s.profile[vm.profile].theta
        if total + min(0.0, weight * most_s) >= least:  # it cannot be better whatever it holds
            continue
        total = prefix_score(s, i, e, place)
        if total < least:
            best, least = place, total
    return best
