"""Text as other programs write it: encodings, ends of lines, decimal commas, records with gaps."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from sageserve_traces import TraceError, load_rows

OWN = {"arrival": "ts", "prompt": "pin", "output": "pout"}
TEXT = "ts,pin,pout\n" + "".join(f"2024-05-10 00:00:0{i},{100 + i},10\n" for i in range(6))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(encoding: str, zipped: bool, end: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    data = TEXT.replace("\n", end).encode(encoding)
    path.write_bytes(gzip.compress(data) if zipped else data)
    trace, report = load_rows(path, columns=OWN)
    assert trace.arrival_s.tolist() == [0, 1, 2, 3, 4, 5]
    assert trace.prompt_tokens.tolist() == [100, 101, 102, 103, 104, 105]
    assert not report.dropped


@pytest.mark.parametrize("zone", [" UTC", "UTC", " GMT", ".000 UTC"])
def test_the_word_utc_is_a_zone(zone: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header, *rows = TEXT.splitlines()
    path.write_text("\n".join([header, *(row.replace(",", f"{zone},", 1) for row in rows)]))
    assert load_rows(path, columns=OWN)[0].arrival_s.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("ts;pin;pout\n0,5;1;1\n1,5;1;1\n", "row 1, column ts: value '0,5'"),
        ("ts;pin;pout\n0;1;1\n1;1;1\n2,5;1;1\n3;1;1\n", "row 3, column ts: value '2,5'"),
        ('ts,pin,pout\n0,"1,200",1\n', "row 1, column pin: value '1,200'"),
        ("ts;pin;pout\n0;1.234,5;1\n", "row 1, column pin: value '1.234,5'"),
    ],
)
def test_decimal_commas_have_advice_of_their_own(text: str, where: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(
        TraceError, match=r"decimal point and without separators of thous"
    ) as caught:
        load_rows(path, columns=OWN)
    assert where in str(caught.value)


@pytest.mark.parametrize("row", [0, 5, 9])
def test_a_record_without_a_key_is_one_row(row: int, tmp_path: Path) -> None:
    records = [{"timestamp": 1000 * i, "input_length": 9, "output_length": 2} for i in range(10)]
    del records[row]["output_length"]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    with pytest.raises(TraceError, match=rf"row {row + 1}, column output_length.*missing"):
        load_rows(path)
    trace, report = load_rows(path, on_error="drop")
    assert (len(trace), report.rows_dropped) == (9, 1)


def test_a_json_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"timestamp": 0, "input_length": 9, "output_length": 2}]))
    with pytest.raises(TraceError, match="is a JSON array; write one object a line"):
        load_rows(path)


def test_rows_of_another_width_are_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ts,pin,pout\n0,1,1,5\n1,1,1,6\n")
    with pytest.raises(TraceError, match=r"no usable row of 2 \(2 rows: wrong number of fields\)"):
        load_rows(path, columns=OWN, on_error="drop")
