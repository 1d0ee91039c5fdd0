"""Sources that change or make another source's requests while it is read."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from .arrays import count_bins
from .demand import DemandSeries
from .errors import TraceError
from .source import TraceSource
from .token_mix import TokenPairs
from .trace import COLUMNS, RequestTrace, trusted
from .transforms import concatenate

#: Burst test of the authors (docs/sources.md, "Workload"): each hour's first minute 8 more times.
BURST_COPIES: Final = 8
BURST_PERIOD_S: Final = 3600.0
BURST_LENGTH_S: Final = 60.0
#: Each copy arrives up to this much after its original, so that nine requests never arrive in the
#: same instant (our assumption (A)).
COPY_DELAY_S: Final = 1.0


class Derived(ABC):
    """What a source on top of another one has in common."""

    source: TraceSource

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.source.name

    @property
    def split(self) -> str:
        """Split of the source."""
        return self.source.split

    @property
    def models(self) -> tuple[str, ...]:
        """Model names."""
        return self.source.models

    @property
    def regions(self) -> tuple[str, ...]:
        """Region names."""
        return self.source.regions

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tier names."""
        return self.source.tiers

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.source.duration_s

    @property
    def start_weekday(self) -> int:
        """Weekday of time 0."""
        return self.source.start_weekday

    @property
    def start_hour_utc(self) -> float:
        """Hour of the day of time 0."""
        return self.source.start_hour_utc

    @property
    @abstractmethod
    def content_hash(self) -> str:
        """SHA-256 of the source's hash and the parameters."""

    @abstractmethod
    def chunks(self, start_s: float = 0.0) -> Iterator[RequestTrace]:
        """Yield the requests from ``start_s`` on."""

    def demand(self, bin_s: float, until_s: float | None = None) -> DemandSeries:
        """Count the requests that the stream will yield."""
        return DemandSeries.of(self, bin_s, until_s)

    def history(self, bin_s: float, before_s: float = 0.0) -> DemandSeries:
        """Return the source's history before time 0, and what this stream did since."""
        past = self.source.history(bin_s)
        bins = min(max(int(before_s // bin_s), 0), count_bins(self.duration_s, bin_s))
        if not bins:
            return past
        return past.concat(self.demand(bin_s, bins * bin_s).window(0.0, bins * bin_s))

    def token_mix(self, model_index: int) -> TokenPairs:
        """Return the source's published mix."""
        return self.source.token_mix(model_index)


@dataclass(frozen=True)
class BurstSource(Derived):
    """A source whose requests of the first minute of each hour come several more times.

    Attributes:
        source: The source underneath; its history stays as it is.
        copies: How many more times.
        seed: Seed of the delays of the copies.
        period_s: An hour.
        length_s: A minute.
    """

    source: TraceSource
    copies: int = BURST_COPIES
    seed: int = 0
    period_s: float = BURST_PERIOD_S
    length_s: float = BURST_LENGTH_S

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.copies < 0 or not 0 < self.length_s <= self.period_s:
            raise TraceError("bursts need copies >= 0 and 0 < length_s <= period_s")

    @property
    def name(self) -> str:
        """Name for reports."""
        return f"{self.source.name}+burst"

    @property
    def content_hash(self) -> str:
        """SHA-256 of the source's hash and the parameters."""
        parts = (self.source.content_hash, self.copies, self.seed, self.period_s, self.length_s)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def chunks(self, start_s: float = 0.0) -> Iterator[RequestTrace]:
        """Yield the requests from ``start_s`` on; chunking changes no request."""
        # The delays of a period's copies come from one generator, in the order of the rows: start
        # reading where the period of the earliest copy that can matter starts.
        begin = max(start_s - COPY_DELAY_S, 0.0) // self.period_s * self.period_s
        period, rng = -1, np.random.default_rng(0)
        held: RequestTrace | None = None
        last: RequestTrace | None = None
        for chunk in self.source.chunks(begin):
            parts = [chunk] if held is None else [held, chunk]
            index = np.floor(chunk.arrival_s / self.period_s).astype(np.int64)
            burst = chunk.arrival_s - index * self.period_s < self.length_s
            for p in np.unique(index[burst]):
                if p != period:
                    period, rng = int(p), np.random.default_rng([self.seed, int(p)])
                rows = np.repeat(np.flatnonzero(burst & (index == p)), self.copies)
                times = chunk.arrival_s[rows] + rng.uniform(0, COPY_DELAY_S, len(rows))
                parts.append(_pick(chunk, rows, times))
            merged = _merge(chunk, parts)
            ready = int(np.searchsorted(merged.arrival_s, chunk.arrival_s[-1], side="right"))
            held, last = _part(merged, ready, len(merged)), chunk
            yield from self._since(_part(merged, 0, ready), start_s)
        if held is not None and last is not None:
            yield from self._since(held, start_s)

    def _since(self, chunk: RequestTrace, start_s: float) -> Iterator[RequestTrace]:
        low = int(np.searchsorted(chunk.arrival_s, start_s))
        high = int(np.searchsorted(chunk.arrival_s, self.duration_s, side="right"))
        if low < high:
            yield _part(chunk, low, high)


def repeat_first_minutes(
    trace: TraceSource, *, copies: int = BURST_COPIES, seed: int = 0
) -> TraceSource:
    """Repeat the first minute of each hour (the authors' burst test).

    Args:
        trace: A trace in memory (gives one) or any other source (gives a stream).
        copies: How many more times each request comes.
        seed: Seed of the delays of the copies, up to one second each.
    """
    burst = BurstSource(trace, copies, seed)
    if not isinstance(trace, RequestTrace):
        return burst
    return replace(concatenate(burst), past=trace.past, known=trace.known)


def _pick(
    chunk: RequestTrace, rows: npt.NDArray[np.int64], times: npt.NDArray[np.float64]
) -> RequestTrace:
    columns = {name: getattr(chunk, name)[rows] for name in COLUMNS[1:]}
    return trusted(chunk, {"arrival_s": times, **columns})


def _part(chunk: RequestTrace, low: int, high: int) -> RequestTrace:
    return trusted(chunk, {name: getattr(chunk, name)[low:high] for name in COLUMNS})


def _merge(like: RequestTrace, parts: list[RequestTrace]) -> RequestTrace:
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS}
    order = np.argsort(columns["arrival_s"], kind="stable")
    return trusted(like, {name: values[order] for name, values in columns.items()})
