"""`RateCurveTrace`: arrivals that follow a rate curve, tokens from another trace."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from .assignment import assign
from .errors import TraceError
from .streams import Derived
from .trace import RequestTrace
from .transforms import concatenate

FloatArray = npt.NDArray[np.float64]
_BLOCK_S: Final = 600.0


@dataclass(frozen=True, eq=False)
class RateCurveTrace(Derived):
    """Poisson arrivals at a piecewise constant rate; (prompt, output) pairs drawn from a trace.

    Models, regions and tiers are assigned by the seed (`assign`). It streams: requests are made
    ten minutes at a time, each block from its own random numbers.

    Attributes:
        source: Where the token pairs and the names come from.
        rates_per_s: Requests per second of each bin, ``[bins]``.
        bin_s: Width of a bin.
        seed: Seed of arrivals, pairs and assignment.
        horizon_s: Length; None takes the whole curve.
        label: Name for reports.
        weekday: Weekday of time 0.
        hour_utc: Hour of the day of time 0.
        of_split: Split for reports.
    """

    source: RequestTrace
    rates_per_s: FloatArray = field(repr=False)
    bin_s: float
    seed: int = 0
    horizon_s: float | None = None
    label: str = "rate-curve"
    weekday: int = 0
    hour_utc: float = 0.0
    of_split: str = "custom"

    def __post_init__(self) -> None:
        """Check the curve."""
        rates = np.array(self.rates_per_s, dtype=np.float64)
        if rates.ndim != 1 or not len(rates) or not np.isfinite(rates).all() or (rates < 0).any():
            raise TraceError("rate curve: needs a list of finite rates >= 0")
        if not (math.isfinite(self.bin_s) and self.bin_s > 0) or not len(self.source):
            raise TraceError("rate curve: needs bin_s > 0 and a trace with requests")
        rates.flags.writeable = False
        object.__setattr__(self, "rates_per_s", rates)

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.label

    @property
    def split(self) -> str:
        """Split for reports."""
        return self.of_split

    @property
    def start_weekday(self) -> int:
        """Weekday of time 0."""
        return self.weekday

    @property
    def start_hour_utc(self) -> float:
        """Hour of the day of time 0: the curve's, not that of the token pairs."""
        return self.hour_utc

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        whole = len(self.rates_per_s) * self.bin_s
        return whole if self.horizon_s is None else min(whole, self.horizon_s)

    @property
    def content_hash(self) -> str:
        """SHA-256 of curve, pairs and parameters."""
        digest = hashlib.sha256(self.rates_per_s.tobytes())
        calendar = (self.weekday, self.hour_utc)
        parts = (self.source.content_hash, self.bin_s, self.seed, self.duration_s, calendar)
        digest.update(repr(parts).encode())
        return digest.hexdigest()

    def chunks(self, start_s: float = 0.0) -> Iterator[RequestTrace]:
        """Generate the requests from ``start_s`` on."""
        for block in range(
            int(max(start_s, 0.0) // _BLOCK_S), math.ceil(self.duration_s / _BLOCK_S)
        ):
            chunk = self._block(block)
            low = int(np.searchsorted(chunk.arrival_s, start_s))
            if low < len(chunk):
                yield from chunk.chunks(start_s, max(len(chunk), 1))

    def _block(self, block: int) -> RequestTrace:
        rng = np.random.default_rng([self.seed, block])
        begin, end = block * _BLOCK_S, min((block + 1) * _BLOCK_S, self.duration_s)
        first, last = int(begin // self.bin_s), math.ceil(end / self.bin_s - 1e-12)
        edges = np.clip(np.arange(first, last + 1) * self.bin_s, begin, end)
        counts = rng.poisson(self.rates_per_s[first:last] * np.diff(edges))
        low = np.repeat(edges[:-1], counts)
        arrival = np.sort(low + rng.random(len(low)) * np.repeat(np.diff(edges), counts))
        pairs = rng.integers(0, len(self.source), len(arrival))
        zero = np.zeros(len(arrival), dtype=np.int16)
        rows = RequestTrace(
            np.minimum(arrival, np.nextafter(end, 0.0)),
            zero,
            zero,
            zero,
            self.source.prompt_tokens[pairs],
            self.source.output_tokens[pairs],
            models=self.models,
            regions=self.regions,
            tiers=self.tiers,
            duration_s=self.duration_s,
            name=self.name,
            split=self.split,
            start_weekday=self.start_weekday,
            start_hour_utc=self.start_hour_utc,
            mix=self.source.mix,
        )
        return assign(rows, rng)


def reshape_to_rate_curve(
    trace: RequestTrace, rates_per_s: npt.ArrayLike, bin_s: float, seed: int
) -> RequestTrace:
    """Return token pairs of ``trace`` with Poisson arrivals that follow a rate curve, in memory.

    Args:
        trace: Where the (prompt, output) pairs are drawn from.
        rates_per_s: Requests per second of each bin.
        bin_s: Width of a bin in seconds.
        seed: Seed of arrivals, pairs, models, regions and tiers.
    """
    trace.token_mix(0)
    curve = np.asarray(rates_per_s, dtype=np.float64)
    stream = RateCurveTrace(trace, curve, bin_s, seed, label=trace.name)
    return concatenate(stream)
