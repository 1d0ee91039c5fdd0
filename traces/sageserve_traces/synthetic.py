"""`SyntheticTrace`: a workload that is generated while it is read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import latents, rows
from .arrays import count_bins
from .demand import DemandSeries
from .errors import TraceError
from .global_traffic import GLOBAL, GLOBAL_FLASH, GLOBAL_SCHEDULED, PAIR, SOLO
from .names import SECONDS_PER_DAY, split_of_seed
from .o365 import O365
from .token_mix import MAX_PAIRS, TokenPairs
from .trace import RequestTrace, trusted
from .traffic import NIW, Traffic

TRAFFIC: Final[dict[str, Traffic]] = {
    t.name: t for t in (O365, GLOBAL, GLOBAL_FLASH, GLOBAL_SCHEDULED, PAIR, SOLO)
}
"""The workloads that can be generated, by the name of their trace."""

_BLOCK_S = 60.0 * rows.BLOCK_MIN
_BLOCKS_PER_DAY = latents.MINUTES // rows.BLOCK_MIN
_REDRAW_BITS = 32  # seeds of traces are smaller
_LAST_WORKDAY_START = 5  # a one-day trace starts on Monday to Friday


@dataclass(frozen=True)
class SyntheticTrace:
    """A seeded workload of several models, regions and tiers that streams.

    Requests are generated ten simulated minutes at a time, so memory does not grow with the
    length. The same seed gives the same requests whatever the number of days, and the same
    latent processes run through `history` (the days before time 0) and the stream.

    Attributes:
        seed: Trace seed: train 0-999, validation 1000-1999, test 2000-2999.
        days: Length in days, may be a fraction.
        scale: Factor on all rates. For ``o365`` 1 is the published week (7.1M requests a week,
            1.22M on a weekday, see `expected_requests`), 9.7 the ten million a day of the
            abstract.
        start_weekday: Weekday of time 0, 0 = Monday. None: seeded among Monday to Friday for a
            trace of at most one day, Monday for a longer one.
        start_hour_utc: Hour of the day of time 0; a whole number of minutes.
        split: None takes the split of the seed.
        history_days: Days of demand that `history` gives before time 0.
        workload: Name of the workload, a key of `TRAFFIC`.
        redraw: 0 is the seed's own requests; other numbers draw other requests at the same rates
            of every minute, the history being the same.
    """

    seed: int
    days: float = 1.0
    scale: float = 1.0
    start_weekday: int = None  # type: ignore[assignment]  # filled in __post_init__
    start_hour_utc: float = 0.0
    split: str = None  # type: ignore[assignment]  # filled in __post_init__
    history_days: float = 14.0
    workload: str = "o365"
    redraw: int = 0
    _cache: dict[Any, DemandSeries] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the parameters and fill in the seeded ones.

        Raises:
            TraceError: If a parameter is out of range.
        """
        if self.workload not in TRAFFIC:
            raise TraceError(
                f"workload {self.workload!r} cannot be generated; known: {', '.join(TRAFFIC)}"
            )
        if isinstance(self.seed, bool) or int(self.seed) != self.seed or self.seed < 0:
            raise TraceError(
                f"{self.workload}: seed must be a whole number >= 0, got {self.seed!r}"
            )
        object.__setattr__(self, "seed", int(self.seed))
        for key, low in (("days", 0.0), ("scale", 0.0), ("history_days", -1.0)):
            value = getattr(self, key)
            if not (math.isfinite(value) and value > low):
                raise TraceError(f"{self.workload}: {key} must be a positive number, got {value!r}")
        minute = self.start_hour_utc * 60
        if not 0 <= self.start_hour_utc < 24 or abs(minute - round(minute)) > 1e-6:
            raise TraceError(
                f"{self.workload}: start_hour_utc must be in [0, 24), a whole number of minutes, "
                f"got {self.start_hour_utc!r}"
            )
        if self.start_weekday is None:
            drawn = latents.stream(latents.WEEKDAY, self.seed).integers(_LAST_WORKDAY_START)
            object.__setattr__(self, "start_weekday", int(drawn) if self.days <= 1 else 0)
        if not 0 <= self.start_weekday <= 6:
            raise TraceError(
                f"{self.workload}: start_weekday must be 0-6, got {self.start_weekday!r}"
            )
        if self.split is None:
            object.__setattr__(self, "split", split_of_seed(self.seed))

    @property
    def _requests_seed(self) -> int:
        return self.seed + (self.redraw << _REDRAW_BITS)

    @property
    def traffic(self) -> Traffic:
        """The law of the requests."""
        return TRAFFIC[self.workload]

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.workload

    @property
    def models(self) -> tuple[str, ...]:
        """Model names."""
        return self.traffic.models

    @property
    def regions(self) -> tuple[str, ...]:
        """Region names."""
        return self.traffic.regions

    @property
    def tiers(self) -> tuple[str, ...]:
        """The three tiers."""
        return self.traffic.tiers

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.days * SECONDS_PER_DAY)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the parameters and of the version of the generator."""
        parts = (self.traffic.version, self.seed, self.days, self.scale, self.start_weekday)
        text = repr((*parts, self.start_hour_utc, self.history_days))
        if self.workload != "o365":  # whose hash is published without its name
            text = f"{self.workload} {text}"
        if self.redraw:
            text += f" redraw {self.redraw}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def expected_requests(self) -> float:
        """Mean number of requests over all seeds (exact for whole days from midnight)."""
        whole = math.ceil(self.days)
        mean = self.traffic.expected_requests(whole, self.start_weekday, self.scale)
        return mean * self.days / whole

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parameters, not the cached series."""
        keys = ("seed", "days", "scale", "start_weekday", "start_hour_utc", "split")
        return (
            SyntheticTrace,
            (*(getattr(self, k) for k in keys), self.history_days, self.workload),
        )

    # ------------------------------------------------------------------ the stream

    @property
    def _start_minute(self) -> int:
        """Minutes from midnight of day 0 to time 0."""
        return round(self.start_hour_utc * 60)

    def _rates(self, day: int) -> npt.NDArray[np.float64]:
        weekday = (self.start_weekday + day) % 7
        return latents.day_rates(self.traffic, self.seed, day, weekday, self.scale)

    def chunks(
        self, start_s: float = 0.0, max_requests: int | None = None
    ) -> Iterator[RequestTrace]:
        """Generate the requests from ``start_s`` on, ten simulated minutes at a time.

        Args:
            start_s: First arrival time to include.
            max_requests: Split chunks that are larger; changes no request.

        Yields:
            Read-only chunks with absolute trace times.
        """
        offset_s = 60.0 * self._start_minute  # midnight of day 0 to time 0
        first = int((max(start_s, 0.0) + offset_s) // _BLOCK_S)
        last = math.ceil((self.duration_s + offset_s) / _BLOCK_S - 1e-9)
        day, empty = None, RequestTrace.empty(self)
        for block in range(first, last):
            if block // _BLOCKS_PER_DAY != day:
                day = block // _BLOCKS_PER_DAY
                rates = self._rates(day)
                counts = rows.day_counts(self._requests_seed, day, rates)
                cdf = np.cumsum(rates, axis=3)
                cdf = cdf[..., :-1] / cdf[..., -1:]
            low = block % _BLOCKS_PER_DAY * rows.BLOCK_MIN
            span = slice(low, low + rows.BLOCK_MIN)
            columns = dict(
                rows.block_rows(self.traffic, self._requests_seed, block, counts[span], cdf[span])
            )
            arrival = columns["arrival_s"]
            arrival += block * _BLOCK_S - offset_s
            begin = int(np.searchsorted(arrival, max(start_s, 0.0)))
            end = int(np.searchsorted(arrival, self.duration_s))
            if begin > 0 or end < len(arrival):
                columns = {key: values[begin:end] for key, values in columns.items()}
            if end > begin:
                chunk = trusted(empty, columns)
                yield from [chunk] if max_requests is None else chunk.chunks(0.0, max_requests)

    def materialise(self) -> RequestTrace:
        """Generate all requests into one `RequestTrace`, with its past and token mix attached."""
        from .transforms import concatenate

        return concatenate(self)

    # ------------------------------------------------------------------ binned

    def demand(self, bin_s: float, until_s: float | None = None) -> DemandSeries:
        """Count the requests that the stream will yield (for oracles and plots); kept."""
        end = self.duration_s if until_s is None else min(until_s, self.duration_s)
        key = ("demand", bin_s, end)
        if key not in self._cache:
            self._cache[key] = DemandSeries.of(self, bin_s, end)
        return self._cache[key]

    def history(self, bin_s: float, before_s: float = 0.0) -> DemandSeries:
        """Return the demand of ``history_days`` before time 0, and on to ``before_s``; kept.

        Counts are drawn from the latent processes without generating requests; token sums are
        gamma variables with mean and variance of the sum of that many clipped lognormals (A).

        Args:
            bin_s: A whole number of minutes.
            before_s: End of the history; only whole bins are given.

        Raises:
            TraceError: If ``bin_s`` is not a whole number of minutes.
        """
        if bin_s < 60 or bin_s % 60:
            raise TraceError(
                f"{self.workload}: history bins must be whole minutes, got {bin_s!r} s"
            )
        if ("history", bin_s) not in self._cache:
            minutes = int(self.history_days * SECONDS_PER_DAY // bin_s * bin_s) // 60
            self._cache["history", bin_s] = self._past(minutes).rebin(bin_s)
        past = self._cache["history", bin_s]
        bins = min(int(before_s // bin_s), count_bins(self.duration_s, bin_s))
        if bins <= 0:
            return past
        return past.concat(self.demand(bin_s, bins * bin_s).window(0.0, bins * bin_s))

    def _past(self, minutes: int) -> DemandSeries:
        end = self._start_minute
        start = end - minutes
        parts: list[tuple[Any, Any, Any]] = []
        for day in range(start // latents.MINUTES, math.ceil(end / latents.MINUTES)):
            low = max(start - day * latents.MINUTES, 0)
            high = min(end - day * latents.MINUTES, latents.MINUTES)
            if low < high:
                drawn = rows.day_history(self.traffic, self.seed, day, self._rates(day))
                parts.append(tuple(values[low:high] for values in drawn))  # type: ignore[arg-type]
        if not parts:
            return DemandSeries.zeros(
                0, bin_s=60.0, models=self.models, regions=self.regions, tiers=self.tiers
            )
        requests, prompt, output = (np.concatenate(p) for p in zip(*parts, strict=True))
        names = (self.models, self.regions, self.tiers)
        return DemandSeries(-60.0 * minutes, 60.0, requests, prompt, output, *names)

    def token_mix(self, model_index: int) -> TokenPairs:
        """Return 4,096 (prompt, output) pairs of a model from the published lognormals.

        Interactive and batch requests come in the proportion of the weekday base rates. The
        sample is the same for every trace seed.
        """
        traffic, m = self.traffic, model_index
        if not 0 <= m < len(self.models):
            raise TraceError(f"{self.workload}: no model with index {m}")
        rng = latents.stream(latents.TOKENS, 0, m)
        base = traffic.base_rps[:, m]
        c = (rng.random(MAX_PAIRS) < base[NIW] / base.sum()).astype(np.int64)
        unit = rng.standard_normal(MAX_PAIRS)
        prompt = traffic.prompt_mu[c, m] + traffic.prompt_sigma[c, m] * unit
        unit = rng.standard_normal(MAX_PAIRS)
        output = traffic.output_mu[c, m] + traffic.output_sigma[c, m] * unit
        return rows.to_tokens(prompt, traffic.prompt_max), rows.to_tokens(
            output, traffic.output_max
        )
