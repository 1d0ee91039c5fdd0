"""Options of reading a file: their checks, and a later start."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sageserve_traces import ReadOptions, TraceError, load_trace, make_trace
from sageserve_traces.reading import ReadKeywords

NATIVE = "arrival_s,model,region,tier,prompt_tokens,output_tokens\n"


def test_keywords_are_the_fields() -> None:
    assert list(ReadKeywords.__annotations__) == [field.name for field in fields(ReadOptions)]


def test_columns_are_kept_as_pairs_and_units_may_be_words() -> None:
    options = ReadOptions(columns={"arrival": "ts"}, time_unit="Milliseconds")  # type: ignore[arg-type]
    assert options == ReadOptions((("arrival", "ts"),), time_unit="ms")
    assert options.to_dict() == {"columns": [["arrival", "ts"]], "time_unit": "ms"}
    assert hash(options) == hash(ReadOptions((("arrival", "ts"),), time_unit="ms"))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"on_error": "ignore"}, "'raise' or 'drop'"),
        ({"time_unit": "fortnight"}, "unknown time unit 'fortnight'; use ns, us, ms, s, min, h, d"),
        ({"time_format": "dd/mm/yyyy"}, "has no field"),
        ({"time_format": "%d", "time_unit": "s"}, "not both"),
        ({"start_s": -1}, "at least 0"),
        ({"start_s": float("nan")}, "at least 0"),
        ({"start_s": "1h"}, "a number of seconds"),
    ],
)
def test_wrong_values(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        ReadOptions(**keywords)  # type: ignore[arg-type]


def test_a_misspelt_keyword(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="did you mean 'on_error'"):
        load_trace(tmp_path / "none.csv", on_eror="drop")  # type: ignore[call-arg]


def test_a_later_start_has_what_lies_before_as_its_past(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{t},llama-2-70b,westus,IW-F,10,2\n" for t in (0, 70, 130, 150, 400)]
    path.write_text(NATIVE + "".join(rows))
    for trace in (load_trace(path, start_s=140), make_trace(path, start_s=140)):
        assert trace.demand(60.0).requests.sum() == 2
        first = next(trace.chunks())
        assert first.arrival_s.tolist() == [10.0, 260.0]
        assert trace.duration_s == 261.0
        past = trace.history(60.0)  # two whole minutes: 20-80 and 80-140
        assert past.start_s == -120.0
        assert past.requests.sum(axis=(1, 2, 3)).tolist() == [1.0, 1.0]
    with pytest.raises(TraceError, match="is after its last request, 400 s"):
        make_trace(path, start_s=401)
    with pytest.raises(TraceError, match="o365 is generated"):
        make_trace("o365", start_s=60)
