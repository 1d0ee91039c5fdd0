"""Loaders, one file per schema; the schema is recognised from the header."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..errors import TraceError
from ..names import MODELS, REGIONS, TIERS
from ..prefixes import BLOCK_TOKENS, build_trie, session_paths
from ..reading import OnError, ReadKeywords, ReadOptions
from . import azure, burstgpt, mooncake, native, sageserve
from .columns import Checker, LoadReport
from .schema import KNOWN_MODELS, Names, Parsed, Schema
from .table import one_line_errors, read_header, read_table

if TYPE_CHECKING:
    from ..trace import RequestTrace

SCHEMAS: tuple[Schema, ...] = (
    native.SCHEMA,
    azure.SCHEMA,
    mooncake.SCHEMA,
    burstgpt.SCHEMA,
    sageserve.SCHEMA,
)
#: Header of the digitised rates behind the named trace ``azure-2024-code-week``.
RATE_CURVE = frozenset({"t", "rpm"})
#: Keys of a ``columns`` mapping and the native columns they stand for.
COLUMN_KEYS = {
    "arrival": "arrival_s",
    "prompt": "prompt_tokens",
    "output": "output_tokens",
    "model": "model",
    "region": "region",
    "tier": "tier",
    "request_id": "request_id",
}

__all__ = ["SCHEMAS", "LoadReport", "OnError", "load_rows", "load_trace"]


def load_trace(
    path: str | Path,
    *,
    seed: int = 0,
    reading: ReadOptions | None = None,
    name: str | None = None,
    split: str = "custom",
    models: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    tiers: Sequence[str] | None = None,
    **keywords: Unpack[ReadKeywords],
) -> RequestTrace:
    """Read a trace file and assign what it does not say (model, region, tier) by the seed.

    Args:
        path: CSV (``.gz`` too), JSON lines or Parquet.
        seed: Seed of the assignment; not used for files with all columns.
        reading: How it is read (see `ReadOptions`).
        name: Name for reports; None takes the file's.
        split: Split for reports.
        models: Model names that the file may use, in the order of the trace.
        regions: Region names.
        tiers: Tier names.
        **keywords: Fields of `ReadOptions` instead of ``reading``: ``columns``, ``on_error``,
            ``time_unit``, ``time_format``, ``start_s``.

    Raises:
        TraceError: One line: file, row, column, and what is wrong.
    """
    from ..assignment import assign
    from ..transforms import begin_at

    options = ReadOptions.of(reading, keywords)

    trace, report = load_rows(
        path,
        reading=options,
        name=name,
        split=split,
        models=models,
        regions=regions,
        tiers=tiers,
    )
    if report.assumed:
        trace = assign(trace, seed, columns=report.assumed)
    return begin_at(trace, options.start_s) if options.start_s else trace


def load_rows(
    path: str | Path,
    *,
    reading: ReadOptions | None = None,
    name: str | None = None,
    split: str = "custom",
    models: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    tiers: Sequence[str] | None = None,
    **keywords: Unpack[ReadKeywords],
) -> tuple[RequestTrace, LoadReport]:
    """Read a trace file; what it does not say is 0 in the trace and named in ``report.assumed``.

    Arguments are those of `load_trace`, but ``start_s`` has no effect: all rows are given. The
    length of the trace is the next whole second after the last arrival (a native Parquet file says
    its own).
    """
    options = ReadOptions.of(reading, keywords)
    file = Path(path)
    drop = options.on_error == "drop"
    header = read_header(file).names
    renamed: dict[str, str] | None
    if options.columns:
        schema, renamed = native.SCHEMA, _renamed(dict(options.columns), file)
    else:
        schema = detect_schema(header, file)
        renamed = _in_other_capitals(schema, header)
    wanted = dict(schema.columns)
    if renamed is not None:
        wanted = {source: True for source in renamed}
    table = read_table(file, wanted, drop=drop)
    if renamed is not None:
        table.columns = {renamed[key]: values for key, values in table.columns.items()}
        table.names = {own: source for source, own in renamed.items()}
    rows = len(next(iter(table.columns.values())))
    allowed = Names(
        tuple(models or table.metadata.get("models") or KNOWN_MODELS),
        tuple(regions or table.metadata.get("regions") or REGIONS),
        tuple(tiers or table.metadata.get("tiers") or TIERS),
        models_given=bool(models or table.metadata.get("models")),
    )
    checker = Checker(table, rows, options)
    with one_line_errors(file):
        parsed = schema.parse(checker, allowed)
    if not checker.good.any():
        raise TraceError(_no_row(checker, rows))
    trace = _build(parsed, checker, allowed, name, split, table.metadata)
    assumed = [column for column in ("model", "region", "tier") if getattr(parsed, column) is None]
    if not parsed.iw_split:
        assumed.append("iw_split")
    raised = int((parsed.output_tokens[checker.good] == 0).sum())
    report = LoadReport(
        str(file),
        schema.name,
        len(trace),
        checker.dropped,
        tuple(assumed),
        raised,
        tuple(checker.notes),
    )
    return trace, report


def detect_schema(header: Sequence[str], path: Path) -> Schema:
    """Return the schema whose required columns are all in the header.

    Names in other capitals are taken where no name fits as it stands.

    Raises:
        TraceError: If there is none; the message lists the known schemas, or says of a rate curve
            which named trace plays it.
    """
    for known_as in (str, str.casefold):
        given = {known_as(name) for name in header}
        for schema in SCHEMAS:
            if {known_as(name) for name in schema.required} <= given:
                return schema
    if RATE_CURVE <= set(header):
        raise TraceError(
            f"{path}: is a rate curve ({', '.join(header)[:120]}: requests per minute), not a list "
            "of requests; the named trace azure-2024-code-week plays it: give that name instead"
        )
    known = "; ".join(f"{schema.name} ({', '.join(schema.required)})" for schema in SCHEMAS)
    shown = ", ".join(header)[:120]
    raise TraceError(
        f"{path}: unknown header {shown!r}; name your columns with --columns "
        "arrival=NAME,prompt=NAME,output=NAME (columns={'arrival': NAME, ...} in Python), or use a "
        f"known schema: {known}"
    )


def _in_other_capitals(schema: Schema, header: Sequence[str]) -> dict[str, str] | None:
    """Return file column -> column of the schema, or None where they are spelt alike."""
    if set(schema.required) <= set(header):
        return None
    folded = {name.casefold(): name for name in reversed(header)}
    return {folded[n.casefold()]: n for n in schema.columns if n.casefold() in folded}


def _no_row(checker: Checker, rows: int) -> str:
    """Return what is wrong with a file whose rows are all bad: the reasons, and the first row."""
    path = checker.table.path
    if not checker.dropped:
        return f"{path}: no usable row: the file has only a header"
    most = sorted(checker.dropped.items(), key=lambda item: -item[1])[:2]
    reasons = "; ".join(f"{count:,} rows: {reason}"[:200] for reason, count in most)
    total = rows + checker.table.bad_rows
    first = str(checker.first_reason or "").removeprefix(f"{path}: ")
    return f"{path}: no usable row of {total:,} ({reasons})" + (
        f"; first: {first}" if first else ""
    )


def _renamed(columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return file column -> native column."""
    native_names = {**COLUMN_KEYS, **{name: name for name in COLUMN_KEYS.values()}}
    unknown = [key for key in columns if key not in native_names]
    renamed = {source: native_names[key] for key, source in columns.items() if key not in unknown}
    if unknown or not set(native.SCHEMA.required) <= set(renamed.values()):
        wrong = f"unknown key {unknown[0]!r}" if unknown else "arrival, prompt, output are needed"
        raise TraceError(f"{path}: columns mapping: {wrong}; keys are {', '.join(COLUMN_KEYS)}")
    if len(renamed) != len(columns):
        raise TraceError(f"{path}: columns mapping: one file column is given twice")
    return renamed


def _build(
    parsed: Parsed,
    checker: Checker,
    names: Names,
    name: str | None,
    split: str,
    metadata: Mapping[str, Any],
) -> RequestTrace:
    from ..token_mix import TokenMix
    from ..trace import RequestTrace

    keep = checker.good
    n = int(keep.sum())

    def taken(values: Any) -> Any:
        return np.zeros(n, dtype=np.int16) if values is None else values[keep]

    models = names.models
    model = taken(parsed.model)
    if not names.models_given:
        models, model = _narrow_models(models, model)
    arrival = parsed.arrival_s[keep]
    weekday, hour = 0, 0.0
    if parsed.first is not None:
        day = parsed.first.astype("datetime64[D]")
        weekday = int((day.astype(np.int64) + 3) % 7)  # 1970-01-01 was a Thursday
        hour = float((parsed.first - day) / np.timedelta64(1, "h"))
    duration = metadata.get("duration_s", math.floor(arrival[-1]) + 1.0)
    if duration < arrival[-1]:
        raise TraceError(
            f"{checker.table.path}: its metadata says {duration} s, before the last arrival"
        )
    trace = RequestTrace(
        arrival,
        model,
        taken(parsed.region),
        taken(parsed.tier),
        taken(parsed.prompt_tokens),
        taken(parsed.output_tokens),
        None if parsed.request_id is None else parsed.request_id[keep],
        models,
        names.regions,
        names.tiers,
        duration,
        name or metadata.get("name") or _stem(checker.table.path),
        metadata.get("split", "custom") if split == "custom" else split,
        metadata.get("start_weekday", weekday),
        metadata.get("start_hour_utc", hour),
    )
    if parsed.blocks is not None:
        whole = parsed.blocks.take(keep).cut(trace.prompt_tokens // BLOCK_TOKENS)
        prefixes, node = build_trie(whole, BLOCK_TOKENS)
        trace = replace(trace, prefix_node=node, prefixes=prefixes)
    for column in ("session", "think_s"):
        values = getattr(parsed, column)
        if values is not None:
            trace = replace(trace, **{column: values[keep]})
    if parsed.blocks is None and trace.session is not None:
        prefixes, node = session_paths(trace.session, trace.prompt_tokens)
        trace = replace(trace, prefix_node=node, prefixes=prefixes)
    known = trace.model if parsed.model is not None else None
    mix = TokenMix.from_rows(trace.prompt_tokens, trace.output_tokens, known, trace.models)
    return replace(trace, mix=mix)


def _narrow_models(models: tuple[str, ...], model: Any) -> tuple[tuple[str, ...], Any]:
    """Keep the paper's four names if they suffice, else the names that occur."""
    used = np.unique(model)
    if not len(used) or used[-1] < len(MODELS):
        return MODELS, model
    table = np.zeros(len(models), dtype=np.int16)
    table[used] = np.arange(len(used))
    return tuple(models[int(i)] for i in used), table[model]


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet"):
        name = name.removesuffix(suffix)
    return name or "custom"
