"""`make_trace`: a source of a name, a path or an object; and the download of named ones."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from . import download as downloads
from . import sessions
from .errors import TraceError
from .named import AZURE_WEEK, TRACES, is_generated
from .names import SECONDS_PER_DAY
from .reading import ReadKeywords, ReadOptions
from .source import TraceSource
from .synthetic import TRAFFIC, SyntheticTrace
from .trace import RequestTrace

if TYPE_CHECKING:
    from .sources import LoadReport

# Streams of random numbers derived from a trace seed.
_ASSIGN, _SCALE = 1, 2


def make_trace(
    trace: str | Path | TraceSource,
    *,
    seed: int = 0,
    days: float | None = None,
    horizon_s: float | None = None,
    scale: float = 1.0,
    tile_s: float | None = None,
    bursts: bool = False,
    reading: ReadOptions | None = None,
    models: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    tiers: Sequence[str] | None = None,
    start_weekday: int | None = None,
    start_hour_utc: float = 0.0,
    history_days: float = 14.0,
    **keywords: Unpack[ReadKeywords],
) -> TraceSource:
    """Return a trace source.

    A file's trace is tiled, then scaled, then given the models, regions and tiers that it does not
    have (so copies share their arrivals but not their assignment), then cut to the length. With
    ``start_s`` it begins later; what lies before is its history, unless it is tiled.

    Args:
        trace: A name of `list_traces`, a path, or a source (which is tiled, scaled and cut).
        seed: Fixes the generated requests, or the assignment of a file's.
        days: Length in days; or
        horizon_s: length in seconds. Default: one day of a generated trace, all of a file.
        scale: Factor on the rate.
        tile_s: Repeat a short trace up to this length.
        bursts: Repeat the first minute of each hour eight more times (the authors' stress test).
        reading: How a file is read (see `ReadOptions`).
        models: Model names that a file may use.
        regions: Region names that a file may use.
        tiers: Tier names that a file may use.
        start_weekday: Weekday of time 0, generated traces only.
        start_hour_utc: Hour of time 0, generated traces only.
        history_days: Days before time 0 that a generated trace knows.
        **keywords: Fields of `ReadOptions` instead of ``reading``: ``columns``, ``on_error``,
            ``time_unit``, ``time_format``, ``start_s``.

    Raises:
        TraceError: One line that says what is wrong and what to do.
    """
    for what, value in (("days", days), ("horizon_s", horizon_s), ("tile_s", tile_s)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise TraceError(f"{what} must be a positive number, got {value!r}")
    if not (math.isfinite(scale) and scale > 0):
        raise TraceError(f"scale must be a positive number, got {scale!r}")
    if days is not None and horizon_s is not None:
        raise TraceError("give days or horizon_s, not both")
    length = horizon_s if days is None else days * SECONDS_PER_DAY
    options = ReadOptions.of(reading, keywords)
    if options.start_s and is_generated(str(trace)):
        raise TraceError(f"start_s begins later in a file, and {trace} is generated")
    if isinstance(trace, str | Path):
        if str(trace) in TRAFFIC:
            length = length or tile_s or SECONDS_PER_DAY
            generated = SyntheticTrace(
                seed,
                length / SECONDS_PER_DAY,
                scale,
                start_weekday,  # type: ignore[arg-type]  # None: seeded
                start_hour_utc,
                history_days=history_days,
                workload=str(trace),
            )
            return _burst(generated, seed) if bursts else generated
        if str(trace) == sessions.NAME:
            day = sessions.make_sessions(
                seed,
                length or tile_s or SECONDS_PER_DAY,
                scale,
                start_hour_utc=start_hour_utc,
                history_days=history_days,
            )
            return _burst(day, seed) if bursts else day
        if str(trace) == AZURE_WEEK:
            week = _azure_week(seed, scale, length or tile_s)
            return _burst(week, seed) if bursts else week
        source, report = read_trace(
            trace, reading=options, models=models, regions=regions, tiers=tiers
        )
        made = _prepare(source, seed, scale, tile_s, length, report.assumed, options.start_s)
    else:
        made = _prepare(trace, seed, scale, tile_s, length, (), options.start_s)
    return _burst(made, seed) if bursts else made


def read_trace(
    trace: str | Path,
    *,
    reading: ReadOptions | None = None,
    models: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    tiers: Sequence[str] | None = None,
    **keywords: Unpack[ReadKeywords],
) -> tuple[RequestTrace, LoadReport]:
    """Read the file of a name or path: the whole trace without assignment, and what was found.

    The last few files are kept, so that a new seed does not read its file again. Arguments are
    those of `make_trace`.
    """
    options = replace(ReadOptions.of(reading, keywords), start_s=0.0)
    entry = TRACES.get(str(trace))
    path = downloads.locate(entry.name, entry.files)[0] if entry else Path(trace)
    if entry is None and not path.exists():
        near = difflib.get_close_matches(str(trace), TRACES, 1, 0.5)
        hint = f"; did you mean {near[0]!r}" if near else ""
        raise TraceError(
            f"{str(trace)!r} is neither a file nor a named trace ({', '.join(TRACES)}){hint}"
        )
    try:
        stat = path.stat()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    frozen = tuple(tuple(names) if names else None for names in (models, regions, tiers))
    version = (stat.st_mtime_ns, stat.st_size)
    loaded, report = _load(path, version, options, *frozen)
    if entry is not None:
        loaded = replace(loaded, name=entry.name, split=entry.split)
    return loaded, report


@lru_cache(maxsize=4)
def _load(
    path: Path,
    version: tuple[int, int],
    reading: ReadOptions,
    models: tuple[str, ...] | None,
    regions: tuple[str, ...] | None,
    tiers: tuple[str, ...] | None,
) -> tuple[RequestTrace, LoadReport]:
    from .sources import load_rows

    return load_rows(path, reading=reading, models=models, regions=regions, tiers=tiers)


def _prepare(
    source: TraceSource,
    seed: int,
    scale: float,
    tile_s: float | None,
    length: float | None,
    assumed: Sequence[str],
    start_s: float,
) -> TraceSource:
    from .assignment import assign
    from .transforms import begin_at, scale_rate, tile

    if start_s and not isinstance(source, RequestTrace):
        raise TraceError(f"trace {source.name!r}: start_s needs a trace in memory")
    if isinstance(source, SyntheticTrace):
        days = None if length is None else length / SECONDS_PER_DAY
        return replace(source, scale=source.scale * scale, days=days or source.days)
    if not isinstance(source, RequestTrace):
        if scale != 1 or tile_s is not None or length is not None:
            raise TraceError(
                f"trace {source.name!r}: scale, tile and length need a trace in memory"
            )
        return source
    trace = source
    if tile_s is not None:
        trace = tile(begin_at(trace, start_s) if start_s else trace, tile_s)
    if scale != 1:
        trace = scale_rate(trace, scale, np.random.default_rng([seed, _SCALE]))
    if assumed:
        trace = assign(trace, np.random.default_rng([seed, _ASSIGN]), columns=assumed)
    if start_s and tile_s is None:
        trace = begin_at(trace, start_s)
    if length is not None and length < trace.duration_s:
        trace = trace.slice(0.0, length)
    return trace


def _burst(source: TraceSource, seed: int) -> TraceSource:
    from .streams import repeat_first_minutes

    return repeat_first_minutes(source, seed=seed)


def _azure_week(seed: int, scale: float, length: float | None) -> TraceSource:
    """Return the 2024 week: its digitised rates, token pairs of the 2023 coding trace."""
    from .rate_curve import RateCurveTrace

    entry = TRACES[AZURE_WEEK]
    curve_path = downloads.locate(entry.name, entry.files)[0]
    pairs = read_trace("azure-2023-code")[0]
    rates = np.loadtxt(curve_path, delimiter=",", skiprows=1, usecols=1) / 60  # requests/minute
    return RateCurveTrace(
        pairs,
        rates * scale,
        bin_s=600.0,
        seed=seed,
        horizon_s=length,
        label=entry.name,
        weekday=4,  # the curve starts on Friday 10 May 2024 at 00:00
        of_split=entry.split,
    )


def download(
    name: str,
    *,
    file: str | Path | None = None,
    target: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Path]:
    """Bring the files of a named trace to the cache (or ``target``), verified by SHA-256.

    Args:
        name: A name of `list_traces`.
        file: A copy of one of its files on this machine, used instead of the network.
        target: Folder; None takes the user's cache.
        progress: Called with bytes so far and in all.

    Returns:
        Where the files lie.

    Raises:
        TraceError: If the name is unknown, a file cannot be had, or its content is not right.
    """
    if name not in TRACES:
        raise TraceError(f"unknown trace {name!r}; known: {', '.join(TRACES)}")
    files = TRACES[name].files
    paths = []
    for entry in files:
        local = file
        if file is not None and len(files) > 1 and Path(file).name != entry.name:
            local = downloads.find(entry)  # the given file is the other one
        paths.append(downloads.fetch(entry, local=local, target=target, progress=progress))
    return paths
