"""What a request log holds: its columns under whatever names, its models, regions and tiers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from sageserve_bench.errors import UserError
from sageserve_traces import ReadOptions, TraceError
from sageserve_traces.sources import COLUMN_KEYS, SCHEMAS, detect_schema
from sageserve_traces.sources.columns import factorise
from sageserve_traces.sources.table import read_header, read_table

SPELLINGS: dict[str, str] = {
    "arrival": "arrival_s arrival arrived arrived_at arrival_time timestamp time ts datetime date "
    "when created created_at start start_time started_at request_time received_at",
    "prompt": "prompt_tokens prompt input_tokens tokens_in in_tokens n_prompt_tokens "
    "num_prompt_tokens prompt_length prompt_len input_length input_len context_tokens "
    "num_prefill_tokens",
    "output": "output_tokens output completion_tokens tokens_out out_tokens generated_tokens "
    "num_output_tokens output_length output_len response_tokens num_decode_tokens",
    "model": "model model_name model_id deployment engine",
    "region": "region location zone site datacenter data_center geo origin",
    "tier": "tier class priority service_class sla slo workload_type request_type kind",
    "request_id": "request_id id uuid",
}
"""Names under which a column is looked for, the likeliest first; case and punctuation are passed
over."""

NEEDED = ("arrival", "prompt", "output")
MOST_NAMES = 50
"""A column with more different values is taken for no column of names (A)."""

_BATCH = re.compile(
    r"(?<![a-z])(batch|offline|bulk|async|niw|background|nightly|low(?![-_ ]?latency))(?![a-z])"
)


@dataclass(frozen=True)
class Log:
    """What was found in a file.

    Attributes:
        reading: How it is to be read.
        models: Names of its models; empty if it has no such column.
        regions: Likewise.
        tiers: Likewise.
        said: What was found and assumed, a line each.
    """

    reading: ReadOptions
    models: tuple[str, ...]
    regions: tuple[str, ...]
    tiers: tuple[str, ...]
    said: tuple[str, ...]


def inspect_log(file: Path, reading: ReadOptions) -> Log:
    """Find the columns of a file and the names in them.

    Raises:
        ValueError: If there is no such file, or no column for what is needed.
    """
    header = list(read_header(file).names)
    said: list[str] = []
    columns = dict(reading.columns)
    if not columns:
        columns = guess_columns(header)
        known = next((s for s in SCHEMAS if set(s.required) <= set(header)), None)
        if known is not None and known.name != "native":
            said.append(f"columns: the {known.name} schema")
            return Log(reading, (), (), (), tuple(said))
        missing = [key for key in NEEDED if key not in columns]
        if missing:
            try:
                detect_schema(header, file)
            except TraceError as error:
                raise UserError(f"no column for {', '.join(missing)}: {error}") from None
    names: dict[str, tuple[str, ...]] = {}
    for key in ("model", "region", "tier"):
        if key in columns:
            found = distinct(file, columns[key], drop=reading.on_error == "drop")
            if len(found) > MOST_NAMES:
                said.append(f"column {columns[key]}: {len(found)} values, so no {key}s; left out")
                del columns[key]
            else:
                names[key] = found
    said.insert(0, "columns: " + ", ".join(f"{key} is {name}" for key, name in columns.items()))
    return Log(
        replace(reading, columns=tuple(columns.items())),
        names.get("model", ()),
        names.get("region", ()),
        names.get("tier", ()),
        tuple(said),
    )


def guess_columns(header: list[str]) -> dict[str, str]:
    """Return the column of each key by its name; keys without one are left out."""
    plain = {_plain(name): name for name in reversed(header)}
    found: dict[str, str] = {}
    for key in COLUMN_KEYS:
        for spelling in SPELLINGS[key].split():
            name = plain.get(_plain(spelling))
            if name is not None and name not in found.values():
                found[key] = name
                break
    return found


def distinct(file: Path, column: str, *, drop: bool = True) -> tuple[str, ...]:
    """Return the different values of a column that occur, the most frequent first.

    Args:
        file: The file.
        column: Its column.
        drop: Leave out misprints and rows that cannot be read.
    """
    import numpy as np

    table = read_table(file, {column: True}, drop=drop)
    codes, values = factorise(table.columns[column])
    counts = np.bincount(codes, minlength=len(values))
    order = np.argsort(-counts, kind="stable")
    least = max(1, int(LEAST_SHARE * counts.sum())) if drop else 1
    return tuple(values[i] for i in order if counts[i] >= least and values[i])


LEAST_SHARE = 2e-4
"""A name that is rarer is taken for a misprint, and its rows for unusable ones (A)."""


def is_batch(tier: str) -> bool:
    """Return whether a word of a tier's name says that nobody waits for the answer."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tier).lower()
    return bool(_BATCH.search(words))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
