"""The stream of requests as the kernel reads it, in the names and limits of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sageserve_env._config import ScenarioError
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.build import Chunk
from sageserve_env.simulator.state import Array
from sageserve_traces.source import TraceSource


class Changed(NamedTuple):
    """Requests that were cut or left out, up to some time."""

    truncated_prompts: int
    truncated_outputs: int
    left_out: int


_NONE = Changed(0, 0, 0)
_NO_TIMES = np.zeros(0)


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
        rest = (times[np.searchsorted(times, now_s, side="right") :] for times in self.later_s)
        later = tuple(np.concatenate(pair) for pair in zip(rest, read_s, strict=True))
        return Ahead(self.up_to(now_s), later)  # type: ignore[arg-type]


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


class Feed:
    """Chunks of a trace, bound to a scenario.

    Model, region and tier are indices of the scenario; prompts are cut to the longest the model can
    hold and outputs to the longest allowed (both counted, see `changed`); times are shifted by
    ``offset_s``.
    """

    def __init__(self, source: TraceSource, scenario: Scenario, offset_s: float = 0.0) -> None:
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
        self._longest_output = scenario.batching.max_output_tokens
        self._last_s = offset_s
        self._count_at_last = 0
        self._served_s = -np.inf
        self._ahead = Ahead()
        self._iterator: Iterator[Chunk] = self._read(offset_s, 0)

    def __next__(self) -> Chunk:
        """Return the next chunk; raises StopIteration at the end of the trace."""
        return next(self._iterator)

    def changed(self, now_s: float) -> Changed:
        """Return how many requests that arrived by ``now_s`` were cut or left out."""
        return self._ahead.up_to(now_s)

    def position(self) -> FeedPosition:
        """Return a position for `seek`."""
        return FeedPosition(self._last_s, self._count_at_last, self._served_s, self._ahead)

    def seek(self, position: FeedPosition) -> None:
        """Continue after ``position``, as if nothing later had been read."""
        if position != self.position():
            self._iterator = self._read(position.last_s, position.count_at_last)
        self._last_s, self._count_at_last = position.last_s, position.count_at_last
        self._served_s, self._ahead = position.served_s, position.ahead

    def _mark(self, arrival_s: Array) -> None:
        """Note that rows with these times of the trace have been read."""
        last = float(arrival_s[-1])
        same = int((arrival_s == last).sum())
        self._count_at_last = same + (self._count_at_last if last == self._last_s else 0)
        self._last_s = last

    def _read(self, start_s: float, skip: int) -> Iterator[Chunk]:
        """Yield the chunks from ``start_s`` of the trace on, without the first ``skip`` rows."""
        for part in self.source.chunks(start_s):
            known = min(skip, len(part))
            skip -= known
            if known == len(part):
                continue
            self._mark(part.arrival_s[known:])
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
            model = index["model"]
            prompt, output = part.prompt_tokens, part.output_tokens
            order = getattr(part, "preference", None)
            order = index["region"] if order is None else order
            columns = [arrival, model, index["region"], index["tier"], prompt, output, order]
            columns = [c[known:] for c in columns]
            keep = keep[known:]
            left_out_s = _NO_TIMES
            if not keep.all():
                left_out_s = columns[0][~keep]
                columns = [c[keep] for c in columns]
            limit = self._limit[columns[1]]
            long_prompt, long_output = columns[4] > limit, columns[5] > self._longest_output
            read_s = (columns[0][long_prompt], columns[0][long_output], left_out_s)
            self._ahead = self._ahead.followed(self._served_s, read_s)
            if len(columns[0]):
                self._served_s = float(columns[0][-1])
            columns[4] = np.minimum(columns[4], limit)
            columns[5] = np.minimum(columns[5], self._longest_output)
            first_column = np.ascontiguousarray(columns[0], dtype=np.float64)
            rest = [np.array(c, dtype=np.int32) for c in columns[1:]]
            yield (first_column.copy(), *rest)  # type: ignore[misc]


def _index(names: tuple[str, ...], target: tuple[str, ...]) -> Array:
    """Return the index in ``target`` of each name, -1 where it is missing."""
    return np.array([target.index(n) if n in target else -1 for n in names], dtype=np.int32)
