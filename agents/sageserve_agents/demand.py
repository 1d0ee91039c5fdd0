"""What an agent knows of the demand: the history before time 0 joined with what it has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_env.view import DEMAND_BIN_S, ClusterView, Floats
from sageserve_traces.trace import DemandSeries

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
FIELDS = ("requests", "prompt_tokens", "output_tokens")


@dataclass(frozen=True)
class Clock:
    """The calendar of an episode: the weekday of time 0 (0 = Monday, fractional, UTC)."""

    weekday_at_0: float = 0.0

    @staticmethod
    def of(view: ClusterView) -> Clock:
        """Return the calendar that a view implies."""
        return Clock((view.weekday - view.time_s / DAY_S) % 7.0)

    def weekday(self, time_s: Floats) -> Floats:
        """Return the fractional weekday of times, in [0, 7)."""
        day: Floats = (self.weekday_at_0 + np.asarray(time_s, dtype=np.float64) / DAY_S) % 7.0
        return day


class DemandTracker:
    """The demand known so far, in complete bins of one width.

    Only complete bins are taken from a view. Each view adds its new bins at the end of a buffer
    that doubles when full, so that the work per decision does not grow with the episode.

    Args:
        history: Demand before time 0; later bins (of a clairvoyant agent) are cut off here.
        bin_s: Bin width, a multiple of `DEMAND_BIN_S`.
    """

    def __init__(self, history: DemandSeries, bin_s: float = 300.0) -> None:
        self.bin_s = bin_s
        self._factor = round(bin_s / DEMAND_BIN_S)
        past = to_bins(history.window(history.start_s, 0.0), bin_s)
        known = len(past)
        self.start_s = -known * bin_s
        self._names = (history.models, history.regions, history.tiers)
        tail = past.requests.shape[1:]
        self._data = np.zeros((3, max(2 * known, 512), *tail))
        for row, field in enumerate(FIELDS):
            self._data[row, :known] = getattr(past, field)
        self._past = known
        self._known = known

    def __len__(self) -> int:
        """Return the number of complete bins known."""
        return self._known

    @property
    def end_s(self) -> float:
        """End of the last complete bin."""
        return self.start_s + self._known * self.bin_s

    def update(self, view: ClusterView) -> int:
        """Take the complete bins of a view that are new; return how many."""
        complete = int((view.time_s + 1e-6) // self.bin_s)
        complete = min(complete, len(view.demand_requests) // self._factor)
        seen = self._known - self._past
        new = complete - seen
        if new <= 0:
            return 0
        while self._known + new > self._data.shape[1]:
            self._data = np.concatenate([self._data, np.zeros_like(self._data)], axis=1)
        low, high = seen * self._factor, complete * self._factor
        fields = (view.demand_requests, view.demand_prompt_tokens, view.demand_output_tokens)
        for row, values in enumerate(fields):
            grouped = values[low:high].reshape(new, self._factor, *values.shape[1:])
            self._data[row, self._known : self._known + new] = grouped.sum(axis=1)
        self._known += new
        return new

    def series(self) -> DemandSeries:
        """Return all complete bins as a series (a view of the buffer, no copy)."""
        requests, prompt, output = self._data[:, : self._known]
        return DemandSeries(self.start_s, self.bin_s, requests, prompt, output, *self._names)

    def recent(self, seconds: float, field: str = "prompt_tokens") -> Floats:
        """Return the mean rate per second over the last whole bins, [M, R, K]; 0 if none."""
        bins = min(self._known, max(1, round(seconds / self.bin_s)))
        row = FIELDS.index(field)
        if bins == 0:
            empty: Floats = np.zeros(self._data.shape[2:])
            return empty
        mean: Floats = self._data[row, self._known - bins : self._known].mean(axis=0) / self.bin_s
        return mean


def to_bins(series: DemandSeries, bin_s: float, from_start: bool = False) -> DemandSeries:
    """Return a series in bins of another width that end where the series ends.

    Wider bins are sums of whole groups (an incomplete group at the start is left out); narrower
    ones share a bin evenly. Other ratios go through the largest bin width that divides both. With
    ``from_start`` the bins start where the series starts and the end is left out instead.
    """
    if len(series) == 0 or series.bin_s == bin_s:
        return _with(series, series.start_s, bin_s, [getattr(series, f) for f in FIELDS])
    parts = [np.asarray(getattr(series, f)) for f in FIELDS]
    width = series.bin_s
    end_s = series.start_s + len(series) * width
    if bin_s % width:
        step = float(np.gcd(round(width), round(bin_s))) or 1.0
        pieces = round(width / step)
        parts = [np.repeat(p / pieces, pieces, axis=0) for p in parts]
        width = step
    group = round(bin_s / width)
    groups = len(parts[0]) // group
    skip = 0 if from_start else len(parts[0]) - groups * group
    used = slice(skip, skip + groups * group)
    parts = [p[used].reshape(groups, group, *p.shape[1:]).sum(axis=1) for p in parts]
    start_s = series.start_s if from_start else end_s - groups * bin_s
    return _with(series, start_s, bin_s, parts)


def _with(series: DemandSeries, start_s: float, bin_s: float, parts: list[Floats]) -> DemandSeries:
    requests, prompt, output = parts
    names = (series.models, series.regions, series.tiers)
    return DemandSeries(start_s, bin_s, requests, prompt, output, *names)
