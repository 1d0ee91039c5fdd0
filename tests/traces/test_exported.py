"""Tables as spreadsheets and databases export them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sageserve_traces import TraceError, load_rows

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROWS = [f"2024-05-10 00:00:0{i},{100 + i},{10 + i}" for i in range(8)]


def exported(folder: Path, lines: list[str]) -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "tail"),
    [
        (AZURE, ","),
        ("timestamp,contexttokens, GENERATEDTOKENS ", ""),
        (AZURE.upper(), ","),
    ],
)
def test_trailing_separators_and_other_capitals(tmp_path: Path, header: str, tail: str) -> None:
    trace, report = load_rows(exported(tmp_path, [header, *(row + tail for row in ROWS)]))
    assert trace.arrival_s.tolist() == list(range(8))
    assert trace.prompt_tokens.tolist() == list(range(100, 108))
    assert trace.output_tokens.tolist() == list(range(10, 18))
    assert report.rows_dropped == 0


def test_a_message_names_the_column_as_the_file_spells_it(tmp_path: Path) -> None:
    bad = exported(tmp_path, [AZURE.lower(), *ROWS[:-1], "2024-05-10 00:00:07,100,many"])
    with pytest.raises(TraceError, match="row 8, column generatedtokens: value 'many'"):
        load_rows(bad)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([AZURE], "no usable row: the file has only a header"),
        ([AZURE, "1,2"], "row 1 has 2 fields, expected 3"),
        ([AZURE, *reversed(ROWS)], "times fall in 7 of 8 rows, first in row 2; sort the file by"),
    ],
)
def test_what_is_not_read_says_why(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        load_rows(exported(tmp_path, lines))
