"""`DemandSeries`: binned demand per (model, region, tier), for forecasters, oracles and plots."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .arrays import count_bins
from .errors import TraceError
from .names import MODELS, REGIONS, TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .source import TraceSource

FloatArray = npt.NDArray[np.float64]

_RELATIVE_SLACK = 1e-9  # bin edges are sums of floats; a rounding error is not a misalignment


@dataclass(frozen=True, eq=False)
class DemandSeries:
    """Requests and tokens that arrive per time bin.

    Attributes:
        start_s: Left edge of the first bin, seconds from the start of the trace (negative: before).
        bin_s: Width of a bin in seconds.
        requests: Requests per bin, ``float64 [bins, M, R, K]`` (models, origin regions, tiers).
        prompt_tokens: Prompt tokens of those requests, same shape.
        output_tokens: Output tokens of those requests, same shape.
        models: Names of the M models.
        regions: Names of the R regions.
        tiers: Names of the K tiers.
    """

    start_s: float
    bin_s: float
    requests: FloatArray
    prompt_tokens: FloatArray
    output_tokens: FloatArray
    models: tuple[str, ...] = MODELS
    regions: tuple[str, ...] = REGIONS
    tiers: tuple[str, ...] = TIERS

    def __post_init__(self) -> None:
        """Check shapes and the bin width.

        Raises:
            TraceError: If ``bin_s`` is not positive or a shape is not ``[bins, M, R, K]``.
        """
        if not (math.isfinite(self.bin_s) and self.bin_s > 0 and math.isfinite(self.start_s)):
            raise TraceError(f"demand series: bin_s must be positive, got {self.bin_s!r}")
        tail = (len(self.models), len(self.regions), len(self.tiers))
        for field in ("requests", "prompt_tokens", "output_tokens"):
            values = np.asarray(getattr(self, field), dtype=np.float64).view()
            if values.ndim != 4 or values.shape[1:] != tail or len(values) != len(self.requests):
                raise TraceError(
                    f"demand series: {field} has shape {values.shape}, expected "
                    f"({len(self.requests)}, {', '.join(map(str, tail))})"
                )
            values.flags.writeable = False
            object.__setattr__(self, field, values)

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.requests)

    @property
    def end_s(self) -> float:
        """Right edge of the last bin."""
        return self.start_s + len(self) * self.bin_s

    @property
    def times_s(self) -> FloatArray:
        """Left edges of the bins, ``[bins]``."""
        return self.start_s + self.bin_s * np.arange(len(self), dtype=np.float64)

    @classmethod
    def zeros(
        cls,
        bins: int,
        *,
        start_s: float = 0.0,
        bin_s: float = 60.0,
        models: Sequence[str] = MODELS,
        regions: Sequence[str] = REGIONS,
        tiers: Sequence[str] = TIERS,
    ) -> DemandSeries:
        """Return a series of ``bins`` empty bins (``bins`` may be 0)."""
        shape = (bins, len(models), len(regions), len(tiers))
        empty = np.zeros(shape)
        return cls(start_s, bin_s, empty, empty, empty, tuple(models), tuple(regions), tuple(tiers))

    @classmethod
    def of(
        cls, source: TraceSource, bin_s: float, until_s: float | None = None, start_s: float = 0.0
    ) -> DemandSeries:
        """Count what a source yields from ``start_s`` on, up to ``until_s`` or its end.

        The last bin may reach beyond the end.
        """
        end_s = source.duration_s if until_s is None else min(until_s, source.duration_s)
        bins = count_bins(end_s - start_s, bin_s)
        names = (source.models, source.regions, source.tiers)
        tail = tuple(len(axis) for axis in names)
        cells = math.prod(tail)
        sums = np.zeros((3, bins * cells))
        for chunk in source.chunks(start_s):
            if len(chunk) and chunk.arrival_s[0] >= start_s + bins * bin_s:
                break
            row = np.floor((chunk.arrival_s - start_s) / bin_s).astype(np.int64)
            inside = (row >= 0) & (row < bins)
            if not inside.any():
                continue
            cell = (chunk.model.astype(np.int64) * tail[1] + chunk.region) * tail[2] + chunk.tier
            low = int(row[inside][0])
            size = (int(row[inside][-1]) - low + 1) * cells
            flat = ((row - low) * cells + cell)[inside]
            span = slice(low * cells, low * cells + size)
            weights = (None, chunk.prompt_tokens[inside], chunk.output_tokens[inside])
            for total, weight in zip(sums, weights, strict=True):
                total[span] += np.bincount(flat, weights=weight, minlength=size)
        requests, prompt, output = (total.reshape(bins, *tail) for total in sums)
        return cls(start_s, bin_s, requests, prompt, output, *names)

    def rebin(self, bin_s: float) -> DemandSeries:
        """Sum neighbouring bins into wider ones; an incomplete group at the end is kept as it is.

        Args:
            bin_s: New width, a whole multiple of the present one.

        Raises:
            TraceError: If it is not a multiple.
        """
        factor = round(bin_s / self.bin_s)
        if factor < 1 or abs(factor * self.bin_s - bin_s) > _RELATIVE_SLACK * bin_s:
            raise TraceError(f"demand series: cannot turn {self.bin_s:g} s bins into {bin_s:g} s")
        if factor == 1:
            return self
        starts = np.arange(0, len(self), factor)

        def total(values: FloatArray) -> FloatArray:
            summed: FloatArray = np.add.reduceat(values, starts, axis=0) if len(starts) else values
            return summed

        return replace(
            self,
            bin_s=bin_s,
            requests=total(self.requests),
            prompt_tokens=total(self.prompt_tokens),
            output_tokens=total(self.output_tokens),
        )

    def concat(self, later: DemandSeries) -> DemandSeries:
        """Join a series that starts where this one ends.

        Raises:
            TraceError: If names, bin widths or times do not fit together.
        """
        if (self.models, self.regions, self.tiers) != (later.models, later.regions, later.tiers):
            raise TraceError("demand series: cannot join series with different names")
        if not len(self):
            return later
        if not len(later):
            return self
        if self.bin_s != later.bin_s or abs(self.end_s - later.start_s) > 1e-6 * self.bin_s:
            raise TraceError(
                f"demand series: a series of {self.bin_s:g} s bins that ends at {self.end_s:g} s "
                f"cannot be joined by {later.bin_s:g} s bins that start at {later.start_s:g} s"
            )
        return self.append(later.requests, later.prompt_tokens, later.output_tokens)

    def append(
        self,
        requests: npt.ArrayLike,
        prompt_tokens: npt.ArrayLike,
        output_tokens: npt.ArrayLike,
    ) -> DemandSeries:
        """Return the series with more bins at its end.

        Args:
            requests: ``[bins, M, R, K]``, or ``[M, R, K]`` for one bin.
            prompt_tokens: Same shape.
            output_tokens: Same shape.
        """
        joined = []
        for old, new in (
            (self.requests, requests),
            (self.prompt_tokens, prompt_tokens),
            (self.output_tokens, output_tokens),
        ):
            values = np.asarray(new, dtype=np.float64)
            values = values[None] if values.ndim == 3 else values
            if values.shape[1:] != old.shape[1:]:
                raise TraceError(
                    f"demand series: cannot append bins of shape {values.shape[1:]} to "
                    f"{old.shape[1:]}"
                )
            joined.append(np.concatenate([old, values]))
        return replace(self, requests=joined[0], prompt_tokens=joined[1], output_tokens=joined[2])

    def window(self, start_s: float, end_s: float) -> DemandSeries:
        """Return the bins whose left edge lies in ``[start_s, end_s)``."""
        slack = _RELATIVE_SLACK * self.bin_s
        low = math.ceil((start_s - self.start_s) / self.bin_s - slack)
        high = math.ceil((end_s - self.start_s) / self.bin_s - slack)
        low = min(max(low, 0), len(self))
        high = min(max(high, low), len(self))
        return replace(
            self,
            start_s=self.start_s + low * self.bin_s,
            requests=self.requests[low:high],
            prompt_tokens=self.prompt_tokens[low:high],
            output_tokens=self.output_tokens[low:high],
        )

    def reindex(self, axis: str, names: Sequence[str]) -> DemandSeries:
        """Renumber one axis to another name order; names that are not in it are left out.

        Args:
            axis: ``models``, ``regions`` or ``tiers``.
            names: The new names.
        """
        position = 1 + ("models", "regions", "tiers").index(axis)
        old: tuple[str, ...] = getattr(self, axis)
        pairs = [(old.index(name), new) for new, name in enumerate(names) if name in old]
        arrays: dict[str, Any] = {axis: tuple(names)}
        for key in ("requests", "prompt_tokens", "output_tokens"):
            values = np.moveaxis(getattr(self, key), position, 0)
            out = np.zeros((len(names), *values.shape[1:]))
            for source, target in pairs:
                out[target] = values[source]
            arrays[key] = np.moveaxis(out, 0, position)
        return replace(self, **arrays)

    def shift(self, offset_s: float) -> DemandSeries:
        """Return the series with ``offset_s`` added to its times."""
        return replace(self, start_s=self.start_s + offset_s)
