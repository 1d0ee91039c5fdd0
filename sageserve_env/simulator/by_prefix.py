"""Instances scored for one request: what they have cached of its prompt counts.

Inside a region the dispatcher knows exactly which instance holds what. Of a region that a gateway
knows by a picture it knows what it has sent there itself (`prefix_memory`).
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE, PREFIX_S
from sageserve_env.simulator.holders import all_listed, listed, may_hold
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.prefix import ROOT
from sageserve_env.simulator.prefix_memory import remembered
from sageserve_env.simulator.prefix_use import cached_tokens
from sageserve_env.simulator.scoring import be_current, best_now, from_order_bits
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
def elsewhere_s(s: State, i: int, region: int, most_s: float) -> float:
    """Weighted prefill seconds that a region of which only a picture is known saves request ``i``.

    They are those of the slowest VM type, for what the gateway has sent there itself, or 0 where
    even the whole prompt would make up for no more than ``most_s``.
    """
    weight = s.weight[s.request[i].model, PREFIX_S]
    whole = int(s.request[i].node)
    if weight * _most_saved_s(s, i, whole) > most_s:
        return 0.0
    node = remembered(s, i, region)
    tokens = min(int(s.trie[node].depth) * s.config[0].prefix_tokens, int(s.request[i].target) - 1)
    return float(weight * _saved_s(s, int(s.model[s.request[i].model].reference), tokens))


@jit
def _most_saved_s(s: State, i: int, node: int) -> float:
    """Prefill seconds that the prompt of request ``i`` up to ``node`` saves at most anywhere."""
    request = s.request[i]
    tokens = min(int(s.trie[node].depth) * s.config[0].prefix_tokens, int(request.target) - 1)
    types, most_s = s.start_s.shape[1], 0.0
    for g in range(types):
        most_s = max(most_s, _saved_s(s, request.model * types + g, tokens))
    return most_s


@jit
def best_for(s: State, i: int, e: int, now_s: float) -> tuple[int, float]:
    """Place of the member of endpoint ``e`` with the least score for request ``i``, and that score.

    From the end of the prompt back to its start, the instances that hold it so far are scored. The
    others hold no more than the node that was reached: none of them is looked at where that cannot
    make up for the best score found.
    """
    be_current(s, e, now_s)
    weight = s.weight[s.request[i].model, PREFIX_S]
    node = int(s.request[i].node)
    if weight > 0.0:
        return _better_of_all(s, i, e, node, -INFINITY, NONE, INFINITY)
    first = best_now(s, e, now_s)
    floor = from_order_bits(s.score[e, first])
    best, least = NONE, INFINITY
    scored = 0
    while node != ROOT:
        holders = int(s.trie[node].holders)
        if holders > scored:
            scored = holders
            saved = weight * _most_saved_s(s, i, node)
            if floor + saved > least:
                return best, least
            if all_listed(s, node):
                for k in range(holders):
                    vm = s.vm[listed(s, node, k)]
                    if vm.endpoint == e and vm.member_pos != NONE:
                        place = int(vm.member_pos)
                        total = _score_below(s, i, e, place, node)
                        if total < least or (total == least and place < best):
                            best, least = place, total
            else:
                if may_hold(s, int(s.member[e, first]), node):  # if so, mostly the best
                    total = _score_below(s, i, e, first, node)
                    if total < least or (total == least and first < best):
                        best, least = first, total
                best, least = _better_of_all(s, i, e, node, saved, best, least)
        node = int(s.trie[node].parent)
    if floor < least or (floor == least and first < best):
        return first, floor
    return best, least


@jit
def _better_of_all(
    s: State, i: int, e: int, node: int, saved: float, best: int, least: float
) -> tuple[int, float]:
    """Member of endpoint ``e`` that scores less than ``best`` does, ``least``; or these.

    Where members can score no less than their own score and ``saved``, those that hold nothing of
    ``node`` are left out; ``saved`` of minus infinity: all are scored.
    """
    for place in range(s.endpoint[e].n_members):
        lower = from_order_bits(s.score[e, place]) + saved
        if lower < least or (lower == least and place < best):
            if saved > -INFINITY and not may_hold(s, int(s.member[e, place]), node):
                continue
            total = _score_below(s, i, e, place, node)
            if total < least or (total == least and place < best):
                best, least = place, total
    return best, least
