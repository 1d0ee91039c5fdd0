"""The stream of requests as the kernel reads it, in the names and limits of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sageserve_env._config import ScenarioError
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.build import Chunk
from sageserve_env.simulator.state import Array
from sageserve_traces.source import TraceSource


@dataclass(frozen=True)
class FeedPosition:
    """Where a feed stands: time of the last row read and how many rows at that time were."""

    last_s: float
    count_at_last: int
    truncated: int
    left_out: int


class Feed:
    """Chunks of a trace, bound to a scenario.

    Model, region and tier are indices of the scenario; prompts are cut to the longest the model can
    hold and outputs to the longest allowed (both counted); times are shifted by ``offset_s``.
    """

    def __init__(self, source: TraceSource, scenario: Scenario, offset_s: float = 0.0) -> None:
        """Start at the first request at or after ``offset_s``.

        Raises:
            ScenarioError: If the trace uses a model, region or tier that the scenario lacks.
        """
        self.source = source
        self.offset_s = offset_s
        self.truncated = 0
        self.left_out = 0
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
        self._iterator: Iterator[Chunk] = self._read(offset_s, 0)

    def __next__(self) -> Chunk:
        """Return the next chunk; raises StopIteration at the end of the trace."""
        return next(self._iterator)

    def position(self) -> FeedPosition:
        """Return a position for `seek`."""
        return FeedPosition(self._last_s, self._count_at_last, self.truncated, self.left_out)

    def seek(self, position: FeedPosition) -> None:
        """Continue after ``position``, as if nothing later had been read."""
        self._last_s, self._count_at_last = position.last_s, position.count_at_last
        self.truncated, self.left_out = position.truncated, position.left_out
        self._iterator = self._read(position.last_s, position.count_at_last)

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
            if not keep.all():
                self.left_out += int((~keep).sum())
                columns = [c[keep] for c in columns]
            limit = self._limit[columns[1]]
            self.truncated += int((columns[4] > limit).sum())
            columns[4] = np.minimum(columns[4], limit)
            columns[5] = np.minimum(columns[5], self._longest_output)
            first_column = np.ascontiguousarray(columns[0], dtype=np.float64)
            rest = [np.array(c, dtype=np.int32) for c in columns[1:]]
            yield (first_column.copy(), *rest)  # type: ignore[misc]


def _index(names: tuple[str, ...], target: tuple[str, ...]) -> Array:
    """Return the index in ``target`` of each name, -1 where it is missing."""
    return np.array([target.index(n) if n in target else -1 for n in names], dtype=np.int32)
