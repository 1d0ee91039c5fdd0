"""Trace files that cannot be used: every schema with every kind of damage."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Content = bytes | None
"""What is in a file; None stands for a folder."""

NATIVE = "arrival_s,model,region,tier,prompt_tokens,output_tokens"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
SAGESERVE = "arrival_timestamp,regions,model_type,workload_type,prompt_size,token_size"

GOOD: dict[str, tuple[str, list[list[str]]]] = {
    "native": (NATIVE, [[f"{i}", "llama-2-70b", "westus", "IW-F", "100", "10"] for i in range(90)]),
    "azure": (
        AZURE,
        [[f"2023-11-16 18:{15 + i // 60}:{i % 60:02}.5", "374", "44"] for i in range(90)],
    ),
    "burstgpt": (
        BURSTGPT,
        [[f"{i}", "ChatGPT", "472", "18", "490", "API log"] for i in range(90)],
    ),
    "sageserve": (SAGESERVE, [[f"{i}", "012", "A", "prod", "100", "10"] for i in range(90)]),
}
"""Header and rows of a file of each text schema that loads."""

TIMES = {"native": 0, "azure": 0, "burstgpt": 0, "sageserve": 0}
TOKENS = {"native": (4, 5), "azure": (1, 2), "burstgpt": (2, 3), "sageserve": (4, 5)}
NAMES = {"native": (1, 2, 3), "azure": (), "burstgpt": (), "sageserve": (1, 2, 3)}

BAD_TOKENS = [
    "",
    "abc",
    "NaN",
    "inf",
    "-1",
    "1.5",
    "1e400",
    "99999999999",
    "0x10",
    "1 2",
    "\u0663x",
]
BAD_TIMES = ["", "soon", "NaN", "-inf", "-5", "2023-13-45 00:00:00", "1e400", "\x07", "None"]
BAD_NAMES = ["", "gpt-9", "IW", "\N{PILE OF POO}", "nan", "9" * 300, "=cmd|'/C calc'!A0"]


def table(schema: str, row: int | None = None, column: int = 0, value: str = "") -> str:
    """Return a file of a schema, with one cell replaced."""
    header, rows = GOOD[schema]
    rows = [list(cells) for cells in rows]
    if row is not None:
        rows[row][column] = value
    return "\n".join([header, *(",".join(cells) for cells in rows)]) + "\n"


def cells() -> Iterator[tuple[str, Content]]:
    """Yield files with one bad cell in the middle or at the end."""
    for schema in GOOD:
        columns = [
            *((TIMES[schema], value) for value in BAD_TIMES),
            *((column, value) for column in TOKENS[schema] for value in BAD_TOKENS),
            *((column, value) for column in NAMES[schema] for value in BAD_NAMES),
        ]
        for number, (column, value) in enumerate(columns):
            text = table(schema, 89 if number % 2 else 40, column, value)
            yield f"{schema}-cell-{number}.csv", text.encode()


def headers() -> Iterator[tuple[str, Content]]:
    """Yield files whose header does not fit."""
    for schema, (header, rows) in GOOD.items():
        body = "\n".join(",".join(cells) for cells in rows) + "\n"
        names = header.split(",")
        for number, name in enumerate(names[:6]):
            if schema == "burstgpt" and number > 3:
                continue  # may be absent
            if schema == "native" and number in (1, 2, 3):
                continue
            other = ",".join("other" if one == name else one for one in names)
            yield f"{schema}-header-renamed-{number}.csv", f"{other}\n{body}".encode()
            twice = ",".join([*names, name])
            wider = "\n".join(",".join([*cells, cells[number]]) for cells in rows)
            yield f"{schema}-header-twice-{number}.csv", f"{twice}\n{wider}\n".encode()
        yield f"{schema}-header-none.csv", body.encode()
        yield f"{schema}-header-only.csv", f"{header}\n".encode()
        yield f"{schema}-header-colons.csv", table(schema).replace(",", ":").encode()


def shapes() -> Iterator[tuple[str, Content]]:
    """Yield files that are not tables, or tables that end in the wrong place."""
    for schema, (header, rows) in GOOD.items():
        text = table(schema)
        yield f"{schema}-cut.csv", text[: len(text) - 12].encode()
        yield f"{schema}-short-row.csv", text.encode() + b"1,2\n"
        yield f"{schema}-long-row.csv", text.encode() + b",".join([b"1"] * 20) + b"\n"
        backwards = "\n".join([header, *(",".join(row) for row in reversed(rows))])
        yield f"{schema}-unsorted.csv", backwards.encode()
        yield f"{schema}-utf16-no-mark.csv", text.encode("utf-16-le")
        yield f"{schema}-utf16-cut.csv", text.encode("utf-16")[:-1]
        yield f"{schema}-latin1.csv", text.encode() + b"\xe9\xff,a,b\n"
        yield f"{schema}-nul.csv", text.replace("1", "\0", 1).encode()
        yield f"{schema}-open-quote.csv", (text + '"never closed,1,2\n').encode()
        zipped = gzip.compress(text.encode(), mtime=0)
        yield f"{schema}-cut.csv.gz", zipped[: len(zipped) // 2]
        yield f"{schema}-noise.csv.gz", zipped[:10] + bytes(reversed(zipped[10:]))
    yield "empty.csv", b""
    yield "blank.csv", b"\n \n\t\n"
    yield "bom-only.csv", b"\xef\xbb\xbf"
    yield "folder.csv", None
    yield "random.csv", bytes((i * 167 + 13) % 256 for i in range(4096))
    yield "words.csv", b"Dear colleague,\nplease find attached our trace.\n"
    yield "html.csv", b"<!doctype html><html><body>404 Not Found</body></html>\n"
    yield "pointer.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    yield "far.csv", (NATIVE + "\n1e17,llama-2-70b,westus,IW-F,1,1\n").encode()
    yield "gzip-of-nothing.csv.gz", gzip.compress(b"", mtime=0)


def json_lines() -> Iterator[tuple[str, Content]]:
    """Yield damaged files of Mooncake's schema."""
    good = [{"timestamp": i * 1000, "input_length": 10, "output_length": 2} for i in range(90)]

    def lines(change: Any = None, raw: str | None = None) -> bytes:
        text = [json.dumps(one) for one in good]
        if change is not None:
            text[40] = json.dumps(good[40] | change)
        if raw is not None:
            text[40] = raw
        return "\n".join(text).encode()

    values = [None, "x", True, [], {}, -1, 1.5, 1e99, float("nan"), float("inf"), "9" * 400]
    for key in ("timestamp", "input_length", "output_length"):
        for number, value in enumerate(values):
            if key == "timestamp" and value == 1.5:
                value = 1e-9  # a time may have a fraction, but not fall
            yield f"mooncake-{key}-{number}.jsonl", lines({key: value})
    for number, raw in enumerate(
        ["{", '{"timestamp": 1', "[]", "3", "null", "not json", "{'a': 1}", "[" * 5000, "}{"]
    ):
        yield f"mooncake-line-{number}.jsonl", lines(raw=raw)
    yield "mooncake-array.json", json.dumps(good).encode()
    yield "mooncake-pretty.json", json.dumps(good[0], indent=1).encode()
    yield "mooncake-cut.jsonl", lines()[:-7]
    yield "mooncake-utf16-no-mark.jsonl", lines().decode().encode("utf-16-le")
    yield "mooncake-other.jsonl", b'{"a": 1}\n{"a": 2}\n'


def parquet() -> Iterator[tuple[str, Content]]:
    """Yield damaged Parquet files of the native schema."""
    good: dict[str, list[Any]] = {
        "arrival_s": [float(i) for i in range(90)],
        "model": ["llama-2-70b"] * 90,
        "region": ["westus"] * 90,
        "tier": ["IW-F"] * 90,
        "prompt_tokens": [100] * 90,
        "output_tokens": [10] * 90,
    }

    def written(columns: dict[str, Any], metadata: bytes | None = None) -> bytes:
        held = pa.table(columns)
        if metadata is not None:
            held = held.replace_schema_metadata({"sageserve_trace": metadata})
        buffer = io.BytesIO()
        pq.write_table(held, buffer)
        return buffer.getvalue()

    whole = written(good)
    yield "parquet-cut.parquet", whole[: len(whole) // 2]
    yield "parquet-magic.parquet", b"PAR1" + b"\0" * 64 + b"PAR1"
    yield "parquet-footer.parquet", whole[:-8] + b"\xff\xff\xff\x7fPAR1"
    yield "parquet-middle.parquet", whole[:8] + b"\xff" * 40 + whole[48:]
    yield "parquet-rows.parquet", written({name: values[:0] for name, values in good.items()})
    for number, (name, values) in enumerate(
        [
            ("arrival_s", [None] * 90),
            ("arrival_s", [float("nan")] * 90),
            ("arrival_s", list(reversed(good["arrival_s"]))),
            ("arrival_s", [[1.0]] * 90),
            ("prompt_tokens", ["a lot"] * 90),
            ("prompt_tokens", [-1] * 90),
            ("prompt_tokens", [{"n": 1}] * 90),
            ("output_tokens", [2**40] * 90),
            ("output_tokens", [True] * 90),
            ("model", [3] * 90),
            ("region", [None] * 90),
            ("tier", [b"\xff"] * 90),
        ]
    ):
        yield f"parquet-column-{number}.parquet", written(good | {name: values})
    yield "parquet-other.parquet", written({"a": [1, 2]})
    for number, text in enumerate(
        [
            b"{",
            b"\xff\xfe",
            b'{"duration_s": "long"}',
            b'{"duration_s": -1}',
            b'{"duration_s": NaN}',
            b'{"models": 3}',
            b'{"models": [1, 2]}',
            b'{"start_weekday": 9}',
            b'{"start_hour_utc": "noon"}',
        ]
    ):
        yield f"parquet-metadata-{number}.parquet", written(good, text)


def every() -> dict[str, Content]:
    """Return all malformed trace files by name."""
    made: dict[str, Content] = {}
    for maker in (cells, headers, shapes, json_lines, parquet):
        for name, content in maker():
            if name in made:
                raise AssertionError(f"{name} is made twice")
            made[name] = content
    return made


def put(folder: Path, name: str, content: Content) -> Path:
    """Write a file, or make a folder, and return its path."""
    path = folder / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    return path
