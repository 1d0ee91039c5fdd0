"""Instances scored for one request: what they have cached of its prompt counts.

Inside a region the dispatcher knows exactly which instance holds what. Of a region that a gateway
knows by a picture it knows no blocks, so that nothing is taken off there.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE, PREFIX_S
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.prefix import common_node
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
def _saved_s(s: State, profile: int, tokens: int) -> float:
    """Prefill seconds that the first ``tokens`` of a prompt need by themselves."""
    if tokens <= 0:
        return 0.0
    return float(prefill_s(s, profile, float(tokens)) - prefill_s(s, profile, 1.0))


@jit
def _score_below(s: State, i: int, e: int, place: int, node: int) -> float:
    """Score of a member of endpoint ``e`` that holds nothing of the prompt below ``node``."""
    v = int(s.member[e, place])
    saved_s = _saved_s(s, int(s.vm[v].profile), cached_tokens(s, v, i, node))
    return float(
        from_order_bits(s.score[e, place]) + s.weight[s.request[i].model, PREFIX_S] * saved_s
    )


@jit
def prefix_score(s: State, i: int, e: int, place: int) -> float:
    """Score of a member of endpoint ``e`` for request ``i``, up to date with `be_current`."""
    return _score_below(s, i, e, place, int(s.request[i].node))


@jit
def best_for(s: State, i: int, e: int, now_s: float) -> int:
    """Place of the member of endpoint ``e`` with the least score for request ``i``.

    Most of a prompt is held by one instance, if by any: it is scored first. The others hold no more
    than the nodes that several do, so what they could save at most is little.
    """
    be_current(s, e, now_s)
    request = s.request[i]
    weight = s.weight[request.model, PREFIX_S]
    block = s.config[0].prefix_tokens
    own = common_node(s, int(request.node), 1)
    shared = common_node(s, own, 2)
    best, least, single = NONE, INFINITY, NONE
    if own != shared:
        v = int(s.trie[own].holder_sum)
        if s.vm[v].endpoint == e and s.vm[v].member_pos != NONE:
            best = single = int(s.vm[v].member_pos)
            least = _score_below(s, i, e, single, own)
    tokens = min(int(s.trie[shared].depth) * block, int(request.target) - 1)
    last, most_s = NONE, 0.0
    for place in range(s.endpoint[e].n_members):
        if place == single:
            continue
        total = from_order_bits(s.score[e, place])
        profile = int(s.vm[s.member[e, place]].profile)
        if profile != last:
            last, most_s = profile, _saved_s(s, profile, tokens)
        if total + min(0.0, weight * most_s) > least:  # it cannot be better whatever it holds
            continue
        total = _score_below(s, i, e, place, shared)
        if total < least or (total == least and place < best):
            best, least = place, total
    return best
