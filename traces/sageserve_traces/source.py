"""`TraceSource`: what the simulator, the environment and the planners need of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .demand import DemandSeries
    from .token_mix import TokenPairs
    from .trace import RequestTrace


@runtime_checkable
class TraceSource(Protocol):
    """A finite stream of requests with names, calendar and past.

    `RequestTrace` (in memory) and `SyntheticTrace` (generated while it is read) are sources.
    """

    @property
    def name(self) -> str:
        """Name for reports."""
        ...

    @property
    def split(self) -> str:
        """``train``, ``validation``, ``test`` or ``custom``."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Model names; a request's ``model`` is an index into them."""
        ...

    @property
    def regions(self) -> tuple[str, ...]:
        """Region names."""
        ...

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tier names."""
        ...

    @property
    def duration_s(self) -> float:
        """Nominal length; no request arrives later."""
        ...

    @property
    def start_weekday(self) -> int:
        """Weekday of time 0, 0 = Monday."""
        ...

    @property
    def start_hour_utc(self) -> float:
        """Hour of the day (UTC) of time 0."""
        ...

    @property
    def content_hash(self) -> str:
        """SHA-256 that names the content."""
        ...

    def chunks(self, start_s: float = 0.0) -> Iterator[RequestTrace]:
        """Yield the requests that arrive at or after ``start_s``.

        Times are absolute trace times, sorted within and over chunks; arrays are read-only.
        """
        ...

    def demand(self, bin_s: float, until_s: float | None = None) -> DemandSeries:
        """Return the realised demand from time 0 on: the future, for oracles and plots only."""
        ...

    def history(self, bin_s: float, before_s: float = 0.0) -> DemandSeries:
        """Return the demand before ``before_s``; empty where nothing is known."""
        ...

    def token_mix(self, model_index: int) -> TokenPairs:
        """Return a published (prompt, output) sample of a model, fixed for the source."""
        ...
