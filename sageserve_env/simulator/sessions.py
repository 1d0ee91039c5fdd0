"""Closed sessions: a turn arrives some time after the answer before it has reached the user.

Turns that somebody thinks about are a binary heap by time, ties by turn. A session ends with its
last turn, or where a turn is refused (our assumption).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sageserve_env._config import ScenarioError
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.state import TURN, Array, State
from sageserve_traces.source import TraceSource
from sageserve_traces.trace import RequestTrace, trusted


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
    names = ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")
    columns = {name: getattr(source, name)[is_first] for name in names}
    first = trusted(
        source,
        columns,
        session=after[is_first],
        prefix_node=None if node is None else node[is_first],
    )
    return ClosedSessions(first, turns, int(is_first.sum()))


@jit
def _before(s: State, a: int, b: int) -> bool:
    one, other = s.thinking[a], s.thinking[b]
    return bool(one.time_s < other.time_s or (one.time_s == other.time_s and one.turn < other.turn))


@jit
def _move(s: State, source: int, target: int) -> None:
    a, b = s.thinking[source], s.thinking[target]
    b.time_s = a.time_s
    b.turn = a.turn
    b.model = a.model
    b.region = a.region
    b.tier = a.tier
    b.preference = a.preference


@jit
def _swap(s: State, a: int, b: int) -> None:
    spare = s.thinking.shape[0] - 1  # beyond every entry
    _move(s, a, spare)
    _move(s, b, a)
    _move(s, spare, b)


@jit
def think(s: State, i: int, answered_s: float) -> None:
    """Let the user of request ``i``, answered at ``answered_s``, think of the next turn."""
    request, clock = s.request[i], s.clock[0]
    if request.turn == NONE:
        return
    k = int(clock.n_thinking)
    clock.n_thinking += 1
    item = s.thinking[k]
    item.time_s = answered_s + s.turn[request.turn].think_s
    item.turn = request.turn
    item.model = request.model
    item.region = request.region
    item.tier = request.tier
    item.preference = request.preference
    while k > 0 and _before(s, k, (k - 1) // 2):
        _swap(s, k, (k - 1) // 2)
        k = (k - 1) // 2
    clock.next_turn_s = s.thinking[0].time_s
    clock.next_other_s = min(clock.next_other_s, clock.next_turn_s)


@jit
def pop_turn(s: State) -> int:
    """Take the turn that is due first out of the heap; return the place where it can be read."""
    clock = s.clock[0]
    clock.n_thinking -= 1
    n = int(clock.n_thinking)
    if n > 0:
        _swap(s, 0, n)
    k = 0
    while 2 * k + 1 < n:
        least = 2 * k + 1
        if least + 1 < n and _before(s, least + 1, least):
            least += 1
        if not _before(s, least, k):
            break
        _swap(s, k, least)
        k = least
    clock.next_turn_s = INFINITY if n == 0 else s.thinking[0].time_s
    return n
