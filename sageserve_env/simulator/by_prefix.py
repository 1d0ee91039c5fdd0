"""Instances scored for one request: what its prompt costs there, what they have cached of it.

Inside a region the dispatcher knows exactly which instance holds what. Of a region that a gateway
knows by a picture it knows what it has sent there itself (`prefix_memory`).
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE, PREFIX_S, PROMPT_S
from sageserve_env.simulator.holders import all_listed, listed, may_hold
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.prefix import ROOT
from sageserve_env.simulator.prefix_memory import remembered
from sageserve_env.simulator.prefix_use import cached_tokens
from sageserve_env.simulator.scoring import be_current, best_now, from_order_bits
from sageserve_env.simulator.state import State


@jit
def weighs_prompt(s: State, i: int) -> bool:
    """Whether the score of an instance depends on request ``i``."""
    request = s.request[i]
    if s.weight[request.model, PROMPT_S] != 0.0:
        return True
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
def _prompt_cost(s: State, i: int, profile: int) -> float:
    """Weighted prefill seconds of request ``i``, nothing cached."""
    weight = s.weight[s.request[i].model, PROMPT_S]
    if weight == 0.0:
        return 0.0
    return float(weight * prefill_s(s, profile, float(s.request[i].target)))


@jit
def _score_below(s: State, i: int, e: int, place: int, node: int) -> float:
    """Score of a member of endpoint ``e`` that holds nothing of the prompt below ``node``."""
    v = int(s.member[e, place])
    profile = int(s.vm[v].profile)
    total = from_order_bits(s.score[e, place]) + _prompt_cost(s, i, profile)
    if node == ROOT:
        return float(total)
    saved_s = _saved_s(s, profile, cached_tokens(s, v, i, node))
    return float(total + s.weight[s.request[i].model, PREFIX_S] * saved_s)


@jit
def prefix_score(s: State, i: int, e: int, place: int) -> float:
    """Score of a member of endpoint ``e`` for request ``i``, up to date with `be_current`."""
    return _score_below(s, i, e, place, int(s.request[i].node))


@jit
def elsewhere(s: State, i: int, e: int, most: float) -> float:
    """Weighted prefill seconds of request ``i`` at an endpoint of which only a picture is known.

    They are those of the slowest VM type at the speed of the mean instance: the whole prompt less
    what the gateway has sent there itself, which is left out where even all of it would make up for
    no more than ``most``.
    """
    m = s.request[i].model
    reference, picture = int(s.model[m].reference), s.picture[e]
    slower = s.profile[reference].theta * picture.members / picture.theta
    total = _prompt_cost(s, i, reference) * slower
    weight, whole = s.weight[m, PREFIX_S], int(s.request[i].node)
    if weight == 0.0 or whole == ROOT or s.config[0].prefix_tokens == 0:
        return float(total)
    if total + weight * _most_saved_s(s, i, whole) > most:
        return float(total)
    node = remembered(s, i, int(s.endpoint[e].region))
    tokens = min(int(s.trie[node].depth) * s.config[0].prefix_tokens, int(s.request[i].target) - 1)
    return float(total + weight * slower * _saved_s(s, reference, tokens))


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
    if s.config[0].prefix_tokens == 0 or weight == 0.0:
        node = ROOT
    if weight > 0.0:
        return _better_of_all(s, i, e, node, -INFINITY, NONE, INFINITY)
    first, floor = _best_of_none(s, i, e, now_s)
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
def _best_of_none(s: State, i: int, e: int, now_s: float) -> tuple[int, float]:
    """Place of the member that scores least where none has cached anything, and that score."""
    if s.weight[s.request[i].model, PROMPT_S] == 0.0:
        first = best_now(s, e, now_s)
        return first, from_order_bits(s.score[e, first])
    best, least = NONE, INFINITY
    profile, cost = NONE, 0.0
    for place in range(s.endpoint[e].n_members):
        other = int(s.vm[s.member[e, place]].profile)
        if other != profile:
            profile, cost = other, _prompt_cost(s, i, other)
        total = from_order_bits(s.score[e, place]) + cost
        if total < least:
            best, least = place, total
    return best, least


@jit
def _better_of_all(
    s: State, i: int, e: int, node: int, saved: float, best: int, least: float
) -> tuple[int, float]:
    """Member of endpoint ``e`` that scores less than ``best`` does, ``least``; or these.

    Where members can score no less than their own score and ``saved``, those that hold nothing of
    ``node`` are left out; ``saved`` of minus infinity: all are scored.
    """
    profile, cost = NONE, 0.0
    for place in range(s.endpoint[e].n_members):
        other = int(s.vm[s.member[e, place]].profile)
        if other != profile:
            profile, cost = other, _prompt_cost(s, i, other)
        lower = from_order_bits(s.score[e, place]) + cost + saved
        if lower < least or (lower == least and place < best):
            if saved > -INFINITY and not may_hold(s, int(s.member[e, place]), node):
                continue
            total = _score_below(s, i, e, place, node)
            if total < least or (total == least and place < best):
                best, least = place, total
    return best, least
