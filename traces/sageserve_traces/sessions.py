"""`make_sessions`: a day of conversations and agents, turn by turn, with what their prompts share.

Sessions begin as a Poisson process over the hours of the day; then all of them take their turns
together, so that the work is a few array operations for each turn. The trace is made as a whole, as
the simulator needs it (a stream is not supported), and the last one is kept. The time of a turn is
that of an open loop: answers are taken to need `ANSWER_S` and `ANSWER_TOKEN_S` a token; in a closed
loop the simulator takes the real ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .demand import DemandSeries
from .global_traffic import GLOBAL
from .global_traffic import REGIONS as REGIONS
from .latents import stream
from .names import SECONDS_PER_DAY, TIERS, split_of_seed
from .prefixes import BLOCK_TOKENS, PrefixTrie
from .session_law import KINDS, Lognormal, Sessions
from .trace import RequestTrace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NAME: Final = "sessions"
ANSWER_S, ANSWER_TOKEN_S = 0.5, 0.01  # (A) time to the first token, and per token
MOST_TURNS = 200
LEVEL_SIGMA = 0.15  # (A) of the logarithm of a day's level
_STREAM = 0x5E55  # of random numbers


def _drawn(law: Lognormal, n: int, rng: np.random.Generator) -> Floats:
    return np.minimum(law.median * np.exp(law.sigma * rng.standard_normal(n)), law.most)


def _tokens(law: Lognormal, n: int, rng: np.random.Generator) -> Ints:
    return np.maximum(np.rint(_drawn(law, n, rng)), 1).astype(np.int64)


def _rates(kind: Sessions, minutes: int, start_hour_utc: float, level: float) -> Floats:
    """Return sessions a minute, [minutes, R]."""
    m = GLOBAL.models.index(kind.model)
    hour = start_hour_utc + (np.arange(minutes)[:, None] + 0.5) / 60.0 - GLOBAL.phase_h[0]
    low = np.floor(hour).astype(np.int64)
    part = hour - low
    curve = GLOBAL.diurnal[0, m]
    shape = curve[low % 24] * (1.0 - part) + curve[(low + 1) % 24] * part
    rates: Floats = 60.0 * kind.sessions_per_s * level * shape * GLOBAL.region_shares[0]
    return rates


class _Nodes:
    """A trie that grows turn by turn: parents come before their children."""

    def __init__(self) -> None:
        self.parents = [np.zeros(1, np.int32)]
        self.depths = [np.zeros(1, np.int32)]
        self.count = 1

    def below(self, parent: Ints, parent_depth: Ints, depth: Ints) -> Ints:
        """Return the nodes of prompts that go on from ``parent``, new where they are deeper."""
        deeper = depth > parent_depth
        node = parent.copy()
        node[deeper] = self.count + np.arange(int(deeper.sum()))
        self.parents.append(parent[deeper].astype(np.int32))
        self.depths.append(depth[deeper].astype(np.int32))
        self.count += int(deeper.sum())
        return node

    def trie(self) -> PrefixTrie:
        """Return all nodes."""
        parent, depth = np.concatenate(self.parents), np.concatenate(self.depths)
        return PrefixTrie(parent, depth, BLOCK_TOKENS)


def _turns(
    kind: Sessions, start_s: Floats, length_s: float, nodes: _Nodes, rng: np.random.Generator
) -> Iterator[tuple[Ints, dict[str, npt.NDArray[Any]]]]:
    """Yield turn by turn the sessions, indices of ``start_s``, that take it from 0 to ``length_s``.

    With them come the columns of their requests.
    """
    n = len(start_s)
    zero = np.zeros(1, np.int64)
    shared_depth = zero + kind.shared_tokens // BLOCK_TOKENS
    shared = nodes.below(zero, zero, shared_depth)
    tokens = kind.shared_tokens + kind.group_tokens
    group_depth = np.full(kind.groups, tokens // BLOCK_TOKENS)
    groups = nodes.below(
        np.repeat(shared, kind.groups), np.repeat(shared_depth, kind.groups), group_depth
    )
    chance = np.arange(1, kind.groups + 1.0) ** -kind.group_power
    group = rng.choice(kind.groups, n, p=chance / chance.sum())
    base = np.full(n, tokens)
    root, root_depth = groups[group], group_depth[group]
    if kind.own_tokens is not None:
        base += _tokens(kind.own_tokens, n, rng)
        root = nodes.below(root, root_depth, base // BLOCK_TOKENS)
        root_depth = np.maximum(root_depth, base // BLOCK_TOKENS)
    first, last = kind.restart_turns
    restart = np.where(
        rng.random(n) < kind.restart_share, rng.integers(first, last + 1, n), MOST_TURNS
    )
    alive = np.arange(n)
    now_s, context = start_s.copy(), base.copy()
    node, depth = root.copy(), root_depth.copy()
    think_s = np.zeros(n)
    for turn in range(MOST_TURNS):
        anew = restart[alive] == turn
        again = alive[anew]
        context[again], node[again], depth[again] = base[again], root[again], root_depth[again]
        prompt = context[alive] + _tokens(kind.new_tokens, len(alive), rng)
        fits = prompt <= kind.most_tokens
        alive, prompt = alive[fits], prompt[fits]
        if not len(alive):
            break
        output = _tokens(kind.output_tokens, len(alive), rng)
        blocks = prompt // BLOCK_TOKENS
        node[alive] = nodes.below(node[alive], depth[alive], blocks)
        depth[alive] = np.maximum(depth[alive], blocks)
        inside = (now_s[alive] >= 0) & (now_s[alive] < length_s)
        taken = alive[inside]
        yield (
            taken,
            {
                "arrival_s": now_s[taken],
                "prompt_tokens": prompt[inside].astype(np.int32),
                "output_tokens": output[inside].astype(np.int32),
                "prefix_node": node[taken].astype(np.int32),
                "think_s": think_s[taken],
            },
        )
        context[alive] = prompt + output
        tool = rng.random(len(alive)) < kind.tool_share
        gap_s = np.where(
            tool, _drawn(kind.tool_s, len(alive), rng), _drawn(kind.human_s, len(alive), rng)
        )
        think_s[alive] = gap_s
        now_s[alive] += gap_s + ANSWER_S + ANSWER_TOKEN_S * output
        full = context[alive] / kind.most_tokens
        ends = rng.random(len(alive)) < kind.end_chance * (1.0 + kind.end_growth * full)
        alive = alive[~ends]


@lru_cache(maxsize=1)  # episodes on the same day follow each other
def make_sessions(
    seed: int,
    length_s: float = SECONDS_PER_DAY,
    scale: float = 1.0,
    *,
    start_hour_utc: float = 0.0,
    history_days: float = 7.0,
    kinds: tuple[Sessions, ...] = KINDS,
) -> RequestTrace:
    """Return a seeded trace of sessions.

    Sessions that began up to an hour before time 0 are in it with the turns that come later.

    Args:
        seed: Trace seed.
        length_s: Length in seconds.
        scale: Factor on the rate of new sessions.
        start_hour_utc: Hour of time 0.
        history_days: Days before time 0 of which the demand is known.
        kinds: Laws of the sessions.
    """
    models = tuple(dict.fromkeys(kind.model for kind in kinds))
    before_s = 3600.0
    nodes, begun = _Nodes(), 0
    parts: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    for k, kind in enumerate(kinds):
        rng = stream(_STREAM, seed, k)
        level = scale * float(np.exp(LEVEL_SIGMA * rng.standard_normal() - LEVEL_SIGMA**2 / 2))
        minutes = int(np.ceil((length_s + before_s) / 60.0))
        rates = _rates(kind, minutes, start_hour_utc - before_s / 3600.0, level)
        counts = rng.poisson(rates)
        minute, region = (np.repeat(a.ravel(), counts.ravel()) for a in np.indices(counts.shape))
        start_s = 60.0 * (minute + rng.random(len(minute))) - before_s
        names = (models.index(kind.model), TIERS.index(kind.tier))
        for session, turn in _turns(kind, start_s, length_s, nodes, rng):
            turn["session"] = begun + session
            turn["region"] = region[session].astype(np.int16)
            turn["model"], turn["tier"] = (np.full(len(session), n, np.int16) for n in names)
            for key, values in turn.items():
                parts[key].append(values)
        begun += len(start_s)
    order = np.argsort(np.concatenate(parts["arrival_s"]), kind="stable")
    columns: dict[str, Any] = {key: np.concatenate(parts.pop(key))[order] for key in list(parts)}
    return RequestTrace(
        **columns,
        models=models,
        regions=REGIONS,
        tiers=TIERS,
        duration_s=length_s,
        name=NAME,
        split=split_of_seed(seed),
        start_hour_utc=start_hour_utc % 24,
        past=_past(kinds, models, columns, seed, scale, start_hour_utc, history_days),
        prefixes=nodes.trie(),
    )


def _past(
    kinds: tuple[Sessions, ...],
    models: tuple[str, ...],
    columns: dict[str, npt.NDArray[Any]],
    seed: int,
    scale: float,
    start_hour_utc: float,
    days: float,
) -> DemandSeries | None:
    """Return the demand of days before time 0: Poisson counts of mean turns and tokens (A)."""
    minutes = int(days * SECONDS_PER_DAY // 60)
    if not minutes:
        return None
    shape = (minutes, len(models), len(REGIONS), len(TIERS))
    requests, prompt, output = (np.zeros(shape) for _ in range(3))
    rng = stream(_STREAM, seed, len(kinds))
    for kind in kinds:
        m, t = models.index(kind.model), TIERS.index(kind.tier)
        mine = (columns["model"] == m) & (columns["tier"] == t)
        if not mine.any():
            continue
        turns = mine.sum() / max(1, np.count_nonzero(np.bincount(columns["session"][mine])))
        whole = int(np.ceil(days))
        levels = np.exp(LEVEL_SIGMA * rng.standard_normal(whole) - LEVEL_SIGMA**2 / 2)
        level = np.repeat(levels, minutes // whole + 1)[:minutes, None]
        rates = level * turns * _rates(kind, minutes, start_hour_utc - 24.0 * days, scale)
        counts = rng.poisson(rates).astype(np.float64)
        requests[:, m, :, t] += counts
        prompt[:, m, :, t] += counts * columns["prompt_tokens"][mine].mean()
        output[:, m, :, t] += counts * columns["output_tokens"][mine].mean()
    names = (models, REGIONS, TIERS)
    return DemandSeries(-60.0 * minutes, 60.0, requests, prompt, output, *names)
