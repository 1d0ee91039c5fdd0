"""The native schema: the columns of `RequestTrace` with names instead of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import atomic_path
from .columns import Checker, factorise
from .schema import Names, Parsed, Schema
from .times import read_times

if TYPE_CHECKING:
    from ..source import TraceSource
    from ..trace import RequestTrace


def parse(checker: Checker, names: Names) -> Parsed:
    """Read the columns of a native CSV or Parquet file; model, region and tier may be absent."""
    prompt = checker.tokens("prompt_tokens", 1)
    output = checker.tokens("output_tokens", 0)
    labels: dict[str, Any] = {}
    for column, known in (
        ("model", names.models),
        ("region", names.regions),
        ("tier", names.tiers),
    ):
        if column in checker.table.columns:
            index = {name: i for i, name in enumerate(known)}
            labels[column] = checker.labels(column, index, column)
    ids = None
    if "request_id" in checker.table.columns:
        ids = checker.ids("request_id")
    arrival, first = read_times(checker, "arrival_s")
    blocks = checker.blocks("block_ids")
    session = think_s = None
    if "session" in checker.table.columns:
        session = factorise(checker.table.columns["session"])[0]
    if "think_s" in checker.table.columns:
        think_s = checker.numbers("think_s")
        checker.refuse(think_s < 0, "think_s", "is negative")
        think_s = np.where(checker.good, think_s, 0.0)
    return Parsed(
        arrival,
        prompt,
        output,
        request_id=ids,
        blocks=blocks,
        session=session,
        think_s=think_s,
        first=first,
        **labels,
    )


SCHEMA = Schema(
    "native",
    {
        "arrival_s": True,
        "prompt_tokens": True,
        "output_tokens": True,
        "model": False,
        "region": False,
        "tier": False,
        "request_id": False,
        "block_ids": False,
        "session": False,
        "think_s": False,
    },
    parse,
)


def _optional(source: TraceSource) -> list[str]:
    """Return the optional columns that a source has."""
    names = ("request_id", "session", "think_s")
    found = [name for name in names if getattr(source, name, None) is not None]
    if getattr(source, "prefix_node", None) is not None:
        found.append("block_ids")
    return found


def _table(chunk: RequestTrace, optional: list[str]) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {"arrival_s": pa.array(chunk.arrival_s)}
    for column, names in (
        ("model", chunk.models),
        ("region", chunk.regions),
        ("tier", chunk.tiers),
    ):
        indices = pa.array(getattr(chunk, column).astype(np.int32))
        columns[column] = pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
    columns["prompt_tokens"] = pa.array(chunk.prompt_tokens)
    columns["output_tokens"] = pa.array(chunk.output_tokens)
    if "request_id" in optional:
        columns["request_id"] = pa.array(chunk.request_id)
    for column, kind in (("session", np.int64), ("think_s", np.float64)):
        if column in optional:
            values = getattr(chunk, column)
            columns[column] = pa.array(np.zeros(0, kind) if values is None else values)
    if "block_ids" in optional:
        columns["block_ids"] = _blocks(chunk)
    return pa.table(columns)


def _blocks(chunk: RequestTrace) -> Any:
    """Return the block ids of each prompt as a column of lists."""
    import pyarrow as pa

    if chunk.prefixes is None or chunk.prefix_node is None:
        return pa.array([], pa.list_(pa.int64()))
    blocks = chunk.prefixes.blocks_of(chunk.prefix_node)
    return pa.ListArray.from_arrays(pa.array(blocks.offsets.astype(np.int32)), pa.array(blocks.ids))


def _plain_column(column: Any) -> Any:
    """Return a column as a CSV file has it: names as text, block ids with spaces between."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    if pa.types.is_list(column.type):
        return pa.array([" ".join(map(str, cell)) for cell in column.to_pylist()], pa.string())
    return column


def _metadata(source: TraceSource) -> dict[str, Any]:
    keys = ("name", "split", "models", "regions", "tiers", "duration_s")
    calendar = ("start_weekday", "start_hour_utc")
    return {key: getattr(source, key) for key in (*keys, *calendar)}


def write_parquet(source: TraceSource, path: str | Path) -> int:
    """Write a source chunk by chunk; returns the number of requests. Atomic."""
    import pyarrow.parquet as pq

    from ..trace import RequestTrace

    optional = _optional(source)
    schema = _table(RequestTrace.empty(source), optional).schema
    text = json.dumps(_metadata(source))
    schema = schema.with_metadata({"sageserve_trace": text})
    total = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for chunk in source.chunks():
            total += len(chunk)
            writer.write_table(_table(chunk, optional).replace_schema_metadata(schema.metadata))
    return total


def _plain(source: TraceSource) -> bool:
    """Return whether no text of a source needs quotes in a CSV file."""
    ids = getattr(source, "request_id", None)
    texts = set("".join((*source.models, *source.regions, *source.tiers)))
    if ids is not None and ids.dtype.kind == "U":
        texts |= set("".join(ids.tolist()))
    return not texts & set(',"\r\n')


def write_csv(source: TraceSource, path: str | Path) -> int:
    """Write a source chunk by chunk, gzipped if the name ends in ``.gz``. Atomic."""
    import gzip

    import pyarrow as pa
    from pyarrow import csv as pa_csv

    from ..trace import RequestTrace

    optional = _optional(source)
    names = _table(RequestTrace.empty(source), optional).column_names
    opener: Any = gzip.open if str(path).endswith(".gz") else open
    plain_names = _plain(source)
    options = pa_csv.WriteOptions(  # "needed" would quote every name
        include_header=False, quoting_style="none" if plain_names else "needed"
    )
    total = 0
    with atomic_path(path) as temporary, opener(temporary, "wb") as handle:
        handle.write((",".join(names) + "\n").encode())
        for chunk in source.chunks():
            total += len(chunk)
            table = _table(chunk, optional)
            plain = pa.table(
                {name: _plain_column(c) for name, c in zip(names, table.columns, strict=True)}
            )
            pa_csv.write_csv(plain, handle, options)
    return total
