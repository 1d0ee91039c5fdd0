"""Closed sessions: a turn arrives some time after the answer before it has reached the user.

Turns that somebody thinks about are a binary heap by time, ties by turn. A session ends with its
last turn, or where a turn is refused (our assumption).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sageserve_env._config import ScenarioError
from sageserve_env.simulator._handle import prefetch
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.state import TURN, Array, State
from sageserve_traces.source import TraceSource
from sageserve_traces.trace import RequestTrace, take


class ClosedSessions(NamedTuple):
    """The sessions of a trace.

    ``first`` has the first turn of each; its column ``session`` says which turn comes next, an
    index of ``turns``, -1 for none.
    """

    first: RequestTrace
    turns: Array  # TURN [requests]
    sessions: int


def close_sessions(source: TraceSource, prefixes: bool) -> ClosedSessions:
    """Return the sessions of a trace, whose arrivals but the first of each do not count.

    Args:
        source: A trace in memory with sessions and think times.
        prefixes: Whether nodes of its prompts are used.

    Raises:
        ScenarioError: If it has none.
    """
    if not isinstance(source, RequestTrace) or source.session is None or source.think_s is None:
        raise ScenarioError(
            f"workload: sessions: closed: trace {source.name!r} has no columns session and think_s "
            "in memory; set workload.sessions to open, or give a trace that has them"
        )
    n = len(source)
    order = np.lexsort((np.arange(n), source.session))
    same = source.session[order][1:] == source.session[order][:-1]
    after = np.full(n, NONE, dtype=np.int64)
    after[order[:-1][same]] = order[1:][same]
    is_first = np.ones(n, dtype=bool)
    is_first[order[1:][same]] = False
    turns = np.zeros(n, dtype=TURN)
    turns["think_s"], turns["next"] = source.think_s, after
    turns["prompt"], turns["output"] = source.prompt_tokens, source.output_tokens
    node = source.prefix_node if prefixes else None
    if node is not None:
        turns["node"] = node
    held = None if node is None else node[is_first]
    first = take(source, is_first, session=after[is_first], think_s=None, prefix_node=held)
    return ClosedSessions(first, turns, int(is_first.sum()))


@jit
def _before(s: State, k: int, time_s: float, turn: int) -> bool:
    """Whether entry ``k`` of the heap comes before a turn at some time."""
    item = s.thinking[k]
    return bool(item.time_s < time_s or (item.time_s == time_s and item.turn < turn))


@jit
def _move(s: State, source: int, target: int) -> None:
    a, b = s.thinking[source], s.thinking[target]
    b.time_s = a.time_s
    b.turn = a.turn
    b.model = a.model
    b.region = a.region
    b.tier = a.tier
    b.preference = a.preference
    b.node = a.node


@jit
def think(s: State, i: int, answered_s: float) -> None:
    """Let the user of request ``i``, answered at ``answered_s``, think of the next turn."""
    request, clock = s.request[i], s.clock[0]
    if request.turn == NONE:
        return
    turn = s.turn[request.turn]
    time_s = answered_s + turn.think_s
    k = int(clock.n_thinking)
    clock.n_thinking += 1
    while k > 0 and not _before(s, (k - 1) // 2, time_s, request.turn):
        _move(s, (k - 1) // 2, k)
        k = (k - 1) // 2
    item = s.thinking[k]
    item.time_s = time_s
    item.turn = request.turn
    item.model = request.model
    item.region = request.region
    item.tier = request.tier
    item.preference = request.preference
    item.node = turn.node
    clock.next_turn_s = s.thinking[0].time_s
    clock.next_other_s = min(clock.next_other_s, clock.next_turn_s)


@jit
def pop_turn(s: State) -> int:
    """Take the turn that is due first out of the heap; return the place where it can be read."""
    clock = s.clock[0]
    clock.n_thinking -= 1
    n = int(clock.n_thinking)
    popped = int(s.thinking.shape[0]) - 1  # beyond every entry
    _move(s, 0, popped)
    if n == 0:
        clock.next_turn_s = INFINITY
        return popped
    last = s.thinking[n]
    k = 0
    while 2 * k + 1 < n:
        least = 2 * k + 1
        other = s.thinking[least]
        if least + 1 < n and _before(s, least + 1, other.time_s, other.turn):
            least += 1
        if not _before(s, least, last.time_s, last.turn):
            break
        _move(s, least, k)
        k = least
    _move(s, n, k)
    first = s.thinking[0]
    clock.next_turn_s = first.time_s
    prefetch(s.turn, first.turn, 0)  # what the next call will lead to
    prefetch(s.trie, first.node, 0)
    return popped
