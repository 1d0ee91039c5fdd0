"""`RequestTrace`: requests in memory, validated, immutable."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from .arrays import advance_calendar, checked_column, checked_ids, count_bins
from .demand import DemandSeries
from .errors import TraceError
from .names import MODELS, REGIONS, TIERS
from .prefixes import PrefixTrie, check_nodes
from .token_mix import TokenMix, TokenPairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .reading import ReadKeywords
    from .source import TraceSource

__all__ = ["COLUMNS", "DemandSeries", "RequestTrace", "TraceError", "count_bins", "take", "trusted"]

#: Columns of a trace in the order of the native files.
COLUMNS = ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")
_DTYPES: dict[str, type[np.generic]] = {
    "arrival_s": np.float64,
    "model": np.int16,
    "region": np.int16,
    "tier": np.int16,
    "prompt_tokens": np.int32,
    "output_tokens": np.int32,
}


#: Optional columns of sessions.
SESSION_COLUMNS: dict[str, type[np.generic]] = {"session": np.int64, "think_s": np.float64}


@dataclass(frozen=True, eq=False)
class RequestTrace:
    """Requests sorted by arrival, with the names their small integers stand for.

    An output of 0 tokens is read as 1: the prefill always yields the first token. Everything else
    that a serving system could not have seen is an error.

    Attributes:
        arrival_s: Arrival, seconds from the start of the trace, sorted, ``float64 [n]``.
        model: Index into ``models``, ``int16 [n]``.
        region: Index into ``regions`` of the region where the request originates, ``int16 [n]``.
        tier: Index into ``tiers``, ``int16 [n]``.
        prompt_tokens: At least 1, ``int32 [n]``.
        output_tokens: At least 1, ``int32 [n]``.
        request_id: Optional ids, ``int64 [n]`` or texts ``str [n]``.
        models: Model names.
        regions: Region names.
        tiers: Tier names.
        duration_s: Nominal length, at least the last arrival; None takes the last arrival.
        name: Name for reports.
        split: ``train``, ``validation``, ``test`` or ``custom``.
        start_weekday: Weekday of time 0, 0 = Monday.
        start_hour_utc: Hour of the day of time 0.
        past: Demand before time 0, if it is known.
        mix: Published token mix; None takes a sample of the rows.
        known: Tokens of requests before time 0, if there are any.
        prefix_node: Optional node of each prompt in ``prefixes``, ``int32 [n]``. Its blocks are
            whole ones: no deeper than the prompt is long. Native files do not keep it.
        prefixes: What prompts share, where ``prefix_node`` is given.
        session: Optional session of each request, ``int64 [n]``; its turns are in order of arrival.
        think_s: Optional time from the answer before it in its session, ``float64 [n]``; arrivals
            are those of an open loop. 0 for the first turn.
    """

    arrival_s: npt.NDArray[np.float64]
    model: npt.NDArray[np.int16]
    region: npt.NDArray[np.int16]
    tier: npt.NDArray[np.int16]
    prompt_tokens: npt.NDArray[np.int32]
    output_tokens: npt.NDArray[np.int32]
    request_id: npt.NDArray[Any] | None = None
    models: tuple[str, ...] = MODELS
    regions: tuple[str, ...] = REGIONS
    tiers: tuple[str, ...] = TIERS
    duration_s: float = None  # type: ignore[assignment]  # filled in __post_init__
    name: str = "custom"
    split: str = "custom"
    start_weekday: int = 0
    start_hour_utc: float = 0.0
    past: DemandSeries | None = field(default=None, repr=False)
    mix: TokenMix | None = field(default=None, repr=False)
    known: TokenMix | None = field(default=None, repr=False)
    prefix_node: npt.NDArray[np.int32] | None = None
    prefixes: PrefixTrie | None = field(default=None, repr=False)
    session: npt.NDArray[np.int64] | None = None
    think_s: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Copy, convert and check the arrays.

        Raises:
            TraceError: If the content is not a valid trace.
        """
        for names in ("models", "regions", "tiers"):
            object.__setattr__(self, names, tuple(getattr(self, names)))
        n = len(np.atleast_1d(np.asarray(self.arrival_s)))
        for column, dtype in _DTYPES.items():
            values = checked_column(self.name, column, getattr(self, column), dtype, n)
            object.__setattr__(self, column, values)
        if self.request_id is not None:
            values = checked_ids(self.name, self.request_id, n)
            object.__setattr__(self, "request_id", values)
        for column, dtype in SESSION_COLUMNS.items():
            if getattr(self, column) is not None:
                values = checked_column(self.name, column, getattr(self, column), dtype, n)
                object.__setattr__(self, column, values)
        if self.think_s is not None and (self.think_s < 0).any():
            raise TraceError(f"trace {self.name!r}: column think_s: a time below 0")
        if self.prefix_node is not None:
            values = checked_column(self.name, "prefix_node", self.prefix_node, np.int32, n)
            object.__setattr__(self, "prefix_node", values)
            check_nodes(self.name, values, self.prompt_tokens, self.prefixes)
        last = float(self.arrival_s[-1]) if n else 0.0
        duration = last if self.duration_s is None else float(self.duration_s)
        object.__setattr__(self, "duration_s", duration)
        self._check(last)

    def _check(self, last: float) -> None:
        who = f"trace {self.name!r}"
        if not (math.isfinite(self.duration_s) and self.duration_s >= last):
            raise TraceError(
                f"{who}: duration_s {self.duration_s} is before the last arrival {last}"
            )
        if not 0 <= self.start_weekday <= 6 or not 0 <= self.start_hour_utc < 24:
            raise TraceError(f"{who}: start_weekday must be 0-6 and start_hour_utc in [0, 24)")
        arrival = self.arrival_s
        if len(arrival):
            if arrival[0] < 0:
                raise TraceError(f"{who}: row 0, column arrival_s: {arrival[0]} is negative")
            falls = np.flatnonzero(np.diff(arrival) < 0)
            if len(falls):
                raise TraceError(
                    f"{who}: row {falls[0] + 1}, column arrival_s: earlier than the row before; "
                    "sort the trace"
                )
        for column, names in (
            ("model", self.models),
            ("region", self.regions),
            ("tier", self.tiers),
        ):
            self._check_range(column, 0, len(names) - 1)
            if len(set(names)) != len(names) or not names:
                raise TraceError(f"{who}: the names of column {column} must be distinct: {names}")
        self._check_range("prompt_tokens", 1, np.iinfo(np.int32).max)
        self._check_range("output_tokens", 0, np.iinfo(np.int32).max)
        if len(arrival) and self.output_tokens.min() == 0:
            raised = np.maximum(self.output_tokens, 1)
            raised.flags.writeable = False
            object.__setattr__(self, "output_tokens", raised)
        if self.past is not None and self.past.models != self.models:
            raise TraceError(f"{who}: the attached past has other models: {self.past.models}")

    def _check_range(self, column: str, low: int, high: int) -> None:
        values = getattr(self, column)
        bad = np.flatnonzero((values < low) | (values > high))
        if len(bad):
            raise TraceError(
                f"trace {self.name!r}: row {bad[0]}, column {column}: {values[bad[0]]} is outside "
                f"{low}..{high}"
            )

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrival_s)

    def __eq__(self, other: object) -> bool:
        """Compare content: equal hashes."""
        return isinstance(other, RequestTrace) and self.sha256() == other.sha256()

    def __hash__(self) -> int:
        """Hash the content."""
        return hash(self.sha256())

    # ------------------------------------------------------------------ identity

    def sha256(self) -> str:
        """Return a SHA-256 over rows, names, length and calendar (not over name and split)."""
        digest = hashlib.sha256()
        header = (self.models, self.regions, self.tiers, self.duration_s)
        digest.update(repr((*header, self.start_weekday, self.start_hour_utc)).encode())
        for column in COLUMNS:
            digest.update(np.ascontiguousarray(getattr(self, column)).tobytes())
        for column in SESSION_COLUMNS:
            if getattr(self, column) is not None:
                digest.update(np.ascontiguousarray(getattr(self, column)).tobytes())
        if self.prefix_node is not None and self.prefixes is not None:
            for values in (self.prefix_node, self.prefixes.parent, self.prefixes.depth):
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @property
    def content_hash(self) -> str:
        """The same as `sha256`."""
        return self.sha256()

    # ------------------------------------------------------------------ reading

    def chunks(self, start_s: float = 0.0, max_requests: int = 65536) -> Iterator[RequestTrace]:
        """Yield the requests from ``start_s`` on in pieces of at most ``max_requests``.

        Args:
            start_s: First arrival time to include.
            max_requests: Most requests per chunk.

        Yields:
            Read-only views with absolute trace times.
        """
        if max_requests < 1:
            raise TraceError(f"max_requests must be at least 1, got {max_requests}")
        first = int(np.searchsorted(self.arrival_s, start_s, side="left"))
        for low in range(first, len(self), max_requests):
            yield take(self, slice(low, low + max_requests))

    def demand(self, bin_s: float, until_s: float | None = None) -> DemandSeries:
        """Count requests and tokens per bin from time 0 (the future: for oracles and plots).

        Args:
            bin_s: Width of a bin.
            until_s: End; the last bin may reach beyond it. Default: the whole trace.
        """
        return DemandSeries.of(self, bin_s, until_s)

    def history(self, bin_s: float, before_s: float = 0.0) -> DemandSeries:
        """Return the demand of the whole bins before ``before_s``.

        It is empty at time 0 unless a ``past`` was attached. Only bins that end at or before
        ``before_s`` are given.
        """
        known = self.past.rebin(bin_s) if self.past is not None else None
        bins = int(before_s // bin_s) if before_s > 0 else 0
        seen = self.demand(bin_s, bins * bin_s).window(0.0, bins * bin_s) if bins else None
        if known is not None and seen is not None:
            return known.concat(seen)
        if known is None and seen is None:
            return DemandSeries.zeros(
                0, bin_s=bin_s, models=self.models, regions=self.regions, tiers=self.tiers
            )
        return known if known is not None else seen  # type: ignore[return-value]

    def token_mix(self, model_index: int) -> TokenPairs:
        """Return the published (prompt, output) sample of a model: two ``int32 [n]`` arrays."""
        if self.mix is None:
            mix = TokenMix.from_rows(
                self.prompt_tokens, self.output_tokens, self.model, self.models
            )
            object.__setattr__(self, "mix", mix)
        assert self.mix is not None
        return self.mix.pairs(self.models[model_index])

    # ------------------------------------------------------------------ changing

    def slice(self, start_s: float, end_s: float | None = None) -> RequestTrace:
        """Cut ``[start_s, end_s)`` out; the result starts at time 0, its calendar moves along.

        What lies before the cut becomes the ``past`` where a past with fitting bins was attached.
        """
        end = self.duration_s if end_s is None else min(float(end_s), self.duration_s)
        if not 0 <= start_s <= end:
            raise TraceError(
                f"trace {self.name!r}: cannot cut [{start_s}, {end_s}) out of {self.duration_s:g} s"
            )
        low = int(np.searchsorted(self.arrival_s, start_s, side="left"))
        high = int(np.searchsorted(self.arrival_s, end, side="left"))
        if end >= self.duration_s:
            high = len(self)
        past = self.past
        if past is not None and start_s:
            aligned = start_s % past.bin_s == 0
            past = self.history(past.bin_s, start_s).shift(-start_s) if aligned else None
        weekday, hour = advance_calendar(self.start_weekday, self.start_hour_utc, start_s)
        self.token_mix(0)  # the published mix is that of the whole trace
        cut = take(
            self,
            slice(low, max(low, high)),
            duration_s=end - start_s,
            past=past,
            start_weekday=weekday,
            start_hour_utc=hour,
        )
        return replace(cut, arrival_s=cut.arrival_s - start_s) if start_s else cut

    def reindex(
        self,
        models: Sequence[str] | None = None,
        regions: Sequence[str] | None = None,
        tiers: Sequence[str] | None = None,
    ) -> RequestTrace:
        """Renumber models, regions and tiers to other name orders (None keeps one).

        Raises:
            TraceError: If a name that occurs in the rows is missing from the new names.
        """
        changes: dict[str, Any] = {}
        past = self.past
        for column, plural, new in (
            ("model", "models", models),
            ("region", "regions", regions),
            ("tier", "tiers", tiers),
        ):
            old = getattr(self, plural)
            if new is None or tuple(new) == old:
                continue
            target = {name: index for index, name in enumerate(new)}
            table = np.array([target.get(name, -1) for name in old], dtype=np.int16)
            used = np.unique(getattr(self, column))
            missing = [old[index] for index in used if table[index] < 0]
            if missing:
                raise TraceError(
                    f"trace {self.name!r} has requests of {column} {', '.join(missing)}, which is "
                    f"not among {', '.join(new)}"
                )
            changes[column] = table[getattr(self, column)]
            changes[plural] = tuple(new)
            past = None if past is None else past.reindex(plural, new)
        if not changes:
            return self
        self.token_mix(0)
        return replace(self, past=past, mix=self.mix, **changes)

    def with_past(self, past: DemandSeries | None) -> RequestTrace:
        """Attach the demand before time 0."""
        return replace(self, past=past)

    # ------------------------------------------------------------------ files

    def to_csv(self, path: str | Path) -> None:
        """Write a native CSV file (names, not numbers), atomically; ``.gz`` compresses."""
        from .sources import native

        native.write_csv(self, path)

    def to_parquet(self, path: str | Path) -> None:
        """Write a native Parquet file (names, not numbers), atomically."""
        from .sources import native

        native.write_parquet(self, path)

    @classmethod
    def from_csv(
        cls, path: str | Path, *, seed: int = 0, **keywords: Unpack[ReadKeywords]
    ) -> RequestTrace:
        """Read a CSV file of any known schema; see `sageserve_traces.load_trace`."""
        from .sources import load_trace

        return load_trace(path, seed=seed, **keywords)

    @classmethod
    def from_parquet(cls, path: str | Path, **keywords: Unpack[ReadKeywords]) -> RequestTrace:
        """Read a Parquet file; see `sageserve_traces.load_trace`."""
        from .sources import load_trace

        return load_trace(path, **keywords)

    @classmethod
    def empty(cls, like: TraceSource) -> RequestTrace:
        """Return a trace without requests that has the names, length and calendar of a source."""
        ids = getattr(like, "request_id", None)
        none = np.zeros(0, dtype=np.int64)
        return cls(
            arrival_s=none.astype(np.float64),
            model=none.astype(np.int16),
            region=none.astype(np.int16),
            tier=none.astype(np.int16),
            prompt_tokens=none.astype(np.int32),
            output_tokens=none.astype(np.int32),
            request_id=None if ids is None else ids[:0],
            models=like.models,
            regions=like.regions,
            tiers=like.tiers,
            duration_s=like.duration_s,
            name=like.name,
            split=like.split,
            start_weekday=like.start_weekday,
            start_hour_utc=like.start_hour_utc,
        )


def take(
    trace: RequestTrace, rows: slice | npt.NDArray[np.bool_], **changes: object
) -> RequestTrace:
    """Take rows of a valid trace in their order, without checking them again."""
    columns = {name: getattr(trace, name)[rows] for name in COLUMNS}
    ids = None if trace.request_id is None else trace.request_id[rows]
    more = ("prefix_node", *SESSION_COLUMNS)
    optional = {name: getattr(trace, name) for name in more}
    optional = {name: None if v is None else v[rows] for name, v in optional.items()}
    return trusted(trace, columns, ids, **(optional | changes))


def trusted(
    like: RequestTrace,
    columns: dict[str, npt.NDArray[Any]],
    request_id: npt.NDArray[Any] | None = None,
    **changes: object,
) -> RequestTrace:
    """Build a trace from columns that are already valid, sorted and of the right types."""
    trace = object.__new__(RequestTrace)
    for key, value in like.__dict__.items():
        object.__setattr__(trace, key, value)
    for key, value in columns.items():
        value.flags.writeable = False
        object.__setattr__(trace, key, value)
    object.__setattr__(trace, "request_id", request_id)
    for key in ("prefix_node", *SESSION_COLUMNS):
        object.__setattr__(trace, key, None)
    for key, value in changes.items():
        object.__setattr__(trace, key, value)
    return trace
