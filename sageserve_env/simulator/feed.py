"""The stream of requests as the kernel reads it, in the names and limits of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sageserve_env._config import ScenarioError
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.binding import TYPES, bind, can_bind
from sageserve_env.simulator.build import Chunk
from sageserve_env.simulator.producer import Producer
from sageserve_env.simulator.sessions import ClosedSessions, close_sessions
from sageserve_env.simulator.state import Array
from sageserve_traces.prefixes import PrefixTrie
from sageserve_traces.source import TraceSource
from sageserve_traces.trace import RequestTrace


class Changed(NamedTuple):
    """Requests that were cut or left out, up to some time."""

    truncated_prompts: int
    truncated_outputs: int
    left_out: int


_NONE = Changed(0, 0, 0)
_NO_TIMES = np.zeros(0)
_MANY = 1000  # times from which on those that are over are counted and forgotten


@dataclass(frozen=True)
class Ahead:
    """What was changed in rows that were read: how many arrived for sure, and the times of others.

    Rows are read in advance, so what counts is decided when the time is known.
    """

    arrived: Changed = _NONE
    later_s: tuple[Array, Array, Array] = (_NO_TIMES, _NO_TIMES, _NO_TIMES)

    def up_to(self, now_s: float) -> Changed:
        """Return what had arrived by ``now_s``."""
        more = (np.searchsorted(times, now_s, side="right") for times in self.later_s)
        return Changed(*(n + int(m) for n, m in zip(self.arrived, more, strict=True)))

    def followed(self, now_s: float, read_s: tuple[Array, Array, Array]) -> Ahead:
        """Return the same at ``now_s``, with rows that were read since."""
        if not any(map(len, read_s)):
            return self
        later: Any = tuple(np.concatenate(pair) for pair in zip(self.later_s, read_s, strict=True))
        ahead = Ahead(self.arrived, later)
        if sum(map(len, later)) < _MANY:
            return ahead
        rest: Any = tuple(t[np.searchsorted(t, now_s, side="right") :] for t in later)
        return Ahead(ahead.up_to(now_s), rest)


@dataclass(frozen=True)
class FeedPosition:
    """Where a feed stands: time of the last row read and how many rows at that time were.

    ``served_s`` is the last arrival handed out and ``ahead`` what was changed; both follow from
    the first two.
    """

    last_s: float
    count_at_last: int
    served_s: float = field(compare=False)
    ahead: Ahead = field(compare=False)


class Piece(NamedTuple):
    """A chunk and what reading it means for the feed's position."""

    columns: Chunk
    changed_s: tuple[Array, Array, Array]  # arrivals of rows that were cut (2) or left out
    last_s: float  # of the trace
    count_at_last: int  # rows at that time


class Feed:
    """Chunks of a trace, bound to a scenario.

    Model, region and tier are indices of the scenario; prompts are cut to the longest the model can
    hold and outputs to the longest allowed (both counted, see `changed`); times are shifted by
    ``offset_s``. With ``ahead`` the next chunk is made in a thread; the chunks are the same.
    """

    def __init__(
        self,
        source: TraceSource,
        scenario: Scenario,
        offset_s: float = 0.0,
        *,
        ahead: bool = False,
    ) -> None:
        """Start at the first request at or after ``offset_s``.

        Raises:
            ScenarioError: If the trace uses a model, region or tier that the scenario lacks.
        """
        self.source = source
        self.offset_s = offset_s
        workload = scenario.workload
        renamed = tuple(workload.rename_models.get(n, n) for n in source.models)
        self._subset = workload.subset
        self._names = {
            "model": _index(renamed, scenario.models),
            "region": _index(source.regions, scenario.region_names),
            "tier": _index(source.tiers, scenario.tier_names),
        }
        self._known = {"model": renamed, "region": source.regions, "tier": source.tiers}
        self._limit = scenario.max_context_tokens
        self.prefixes = _prefixes(source, scenario)
        self.sessions: ClosedSessions | None = None
        self._rows = source
        if workload.sessions == "closed":
            self.sessions = close_sessions(source, self.prefixes is not None)
            self._rows = self.sessions.first
        self._longest_output = scenario.batching.max_output_tokens
        self._last_s = offset_s
        self._count_at_last = 0
        self._served_s = -np.inf
        self._ahead = Ahead()
        self._read_ahead = ahead
        self._pieces = self._from(offset_s, 0)

    def __next__(self) -> Chunk:
        """Return the next chunk; raises StopIteration at the end of the trace."""
        if self._pieces.forked:
            self._pieces = self._from(self._last_s, self._count_at_last)
        piece = next(self._pieces)
        before = self._count_at_last if piece.last_s == self._last_s else 0
        self._last_s, self._count_at_last = piece.last_s, piece.count_at_last + before
        self._ahead = self._ahead.followed(self._served_s, piece.changed_s)
        if len(piece.columns[0]):
            self._served_s = float(piece.columns[0][-1])
        return piece.columns

    def read_ahead(self) -> bool:
        """Make the next chunk now; return False where it is made or being made already."""
        return self._pieces.make_next()

    def _from(self, start_s: float, skip: int) -> Producer[Piece]:
        return Producer(self._read(start_s, skip), ahead=self._read_ahead)

    def changed(self, now_s: float) -> Changed:
        """Return how many requests that arrived by ``now_s`` were cut or left out."""
        return self._ahead.up_to(now_s)

    def position(self) -> FeedPosition:
        """Return a position for `seek`."""
        return FeedPosition(self._last_s, self._count_at_last, self._served_s, self._ahead)

    def seek(self, position: FeedPosition) -> None:
        """Continue after ``position``, as if nothing later had been read."""
        if position != self.position():
            self._pieces = self._from(position.last_s, position.count_at_last)
        self._last_s, self._count_at_last = position.last_s, position.count_at_last
        self._served_s, self._ahead = position.served_s, position.ahead

    def _read(self, start_s: float, skip: int) -> Iterator[Piece]:
        """Yield the chunks from ``start_s`` of the trace on, without the first ``skip`` rows."""
        for part in self._rows.chunks(start_s):
            known = min(skip, len(part))
            skip -= known
            if known == len(part):
                continue
            last_s = float(part.arrival_s[-1])
            count = len(part) - max(known, int(np.searchsorted(part.arrival_s, last_s)))
            bound = self._bound(part) if known == 0 else None
            columns, changed_s = bound or self._renamed(part, known)
            yield Piece(columns, changed_s, last_s, count)

    def _bound(self, part: RequestTrace) -> tuple[Chunk, tuple[Array, Array, Array]] | None:
        """Bind a chunk in one pass; None where it takes more than that."""
        given = [getattr(part, name) for name in TYPES]
        if getattr(part, "preference", None) is not None or not can_bind(given):
            return None
        n = len(part)
        row = np.empty(n, np.int32)
        filled: list[Array] = [np.empty(n), *(np.empty(n, np.int32) for _ in range(6))]
        rows_cut = np.empty(n, np.int32)
        limits = (self._limit, self._longest_output, self.offset_s, self._subset)
        arguments: list[Any] = [*given, *self._names.values(), *limits, row, *filled, rows_cut]
        kept, cut = bind(*arguments)
        if kept < 0:
            return None
        bound: list[Array] = [*filled, self._nodes(part), self._turns(part)]
        prompt, output = part.prompt_tokens, part.output_tokens
        long_prompts_s = long_outputs_s = left_out_s = _NO_TIMES
        if kept < n:
            row = row[:kept]
            bound = [*(c[:kept] for c in filled), *(c[row] for c in bound[-2:])]
            prompt, output = prompt[row], output[row]
            left_out_s = np.delete(part.arrival_s, row) - self.offset_s
        columns: Chunk = tuple(bound)  # type: ignore[assignment]
        if cut > 0:
            rows_cut = rows_cut[:cut]
            at_s, limit = columns[0][rows_cut], self._limit[columns[1][rows_cut]]
            long_prompts_s = at_s[prompt[rows_cut] > limit]
            long_outputs_s = at_s[output[rows_cut] > self._longest_output]
        return columns, (long_prompts_s, long_outputs_s, left_out_s)

    def _nodes(self, part: RequestTrace) -> Array:
        """Return the node of each prompt in `prefixes`, int32; zeros where nothing is shared."""
        if self.prefixes is None or part.prefix_node is None:
            return _the_same(0, len(part))
        return part.prefix_node

    def _turns(self, part: RequestTrace) -> Array:
        """Return the turn after each request, int32; -1 where sessions are open."""
        if self.sessions is None or part.session is None:
            return _the_same(-1, len(part))
        return part.session.astype(np.int32)

    def _renamed(self, part: RequestTrace, known: int) -> tuple[Chunk, tuple[Array, Array, Array]]:
        """Bind a chunk without its first ``known`` rows, leaving out what the scenario lacks."""
        index = {}
        keep = np.ones(len(part), dtype=bool)
        for column, table in self._names.items():
            index[column] = table[getattr(part, column)]
            missing = index[column] < 0
            if missing.any():
                if not self._subset:
                    first = getattr(part, column)[int(np.argmax(missing))]
                    raise ScenarioError(
                        f"trace {self.source.name!r}: {column} {self._known[column][first]!r} "
                        "is not in the scenario; add it, map it with workload.rename_models, "
                        "or set workload.subset to leave such requests out"
                    )
                keep &= ~missing
        arrival = part.arrival_s - self.offset_s
        prompt, output = part.prompt_tokens, part.output_tokens
        order = getattr(part, "preference", None)
        order = index["region"] if order is None else order
        columns = [arrival, *(index[c] for c in self._names), prompt, output, order]
        columns += [self._nodes(part), self._turns(part)]
        columns = [c[known:] for c in columns]
        keep = keep[known:]
        left_out_s = _NO_TIMES
        if not keep.all():
            left_out_s = columns[0][~keep]
            columns = [c[keep] for c in columns]
        limit = self._limit[columns[1]]
        long_prompt, long_output = columns[4] > limit, columns[5] > self._longest_output
        changed_s = (columns[0][long_prompt], columns[0][long_output], left_out_s)
        columns[4] = np.minimum(columns[4], limit)
        columns[5] = np.minimum(columns[5], self._longest_output)
        rest = [np.array(c, dtype=np.int32) for c in columns[1:]]
        return (np.array(columns[0], dtype=np.float64), *rest), changed_s  # type: ignore[return-value]


def _the_same(value: int, n: int) -> Array:
    """Return ``n`` times the same number, int32, of one array that is kept; not to be written."""
    if len(_kept.get(value, ())) < n:
        _kept[value] = np.full(n, value, dtype=np.int32)
        _kept[value].flags.writeable = False
    return _kept[value][:n]


_kept: dict[int, Array] = {}


def _prefixes(source: TraceSource, scenario: Scenario) -> PrefixTrie | None:
    """Return the trie of a trace's prompts where the scenario has prefix caches.

    Raises:
        ScenarioError: If the trace has blocks of another size.
    """
    trie: PrefixTrie | None = getattr(source, "prefixes", None)
    batching = scenario.batching
    if batching.prefix_cache == "none" or trie is None:
        return None
    if trie.block_tokens != batching.prefix_block_tokens:
        raise ScenarioError(
            f"trace {source.name!r} has blocks of {trie.block_tokens} tokens: set "
            f"batching.prefix_block_tokens to that, it is {batching.prefix_block_tokens}"
        )
    return trie


def _index(names: tuple[str, ...], target: tuple[str, ...]) -> Array:
    """Return the index in ``target`` of each name, -1 where it is missing."""
    return np.array([target.index(n) if n in target else -1 for n in names], dtype=np.int32)
