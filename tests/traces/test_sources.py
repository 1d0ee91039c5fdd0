"""Loaders: every schema, every kind of bad file, and files made of noise."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sageserve_traces import RequestTrace, TraceError, load_rows, load_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
NATIVE = "arrival_s,model,region,tier,prompt_tokens,output_tokens\n"


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_azure_2023(tmp_path: Path) -> None:
    rows = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,0\n"
    trace, report = load_rows(write(tmp_path, AZURE + rows))
    assert trace.arrival_s == pytest.approx([0.0, 4.314579])
    assert trace.duration_s == 5.0
    assert trace.output_tokens.tolist() == [44, 1]
    assert (trace.start_weekday, round(trace.start_hour_utc, 2)) == (3, 18.26)
    assert report.assumed == ("model", "region", "tier")
    assert report.outputs_raised == 1


def test_azure_2024_has_offsets(tmp_path: Path) -> None:
    rows = "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 02:00:01+02:00,2399,6\n"
    trace = load_trace(write(tmp_path, AZURE + rows))
    assert trace.arrival_s == pytest.approx([0.0, 0.99007])
    assert trace.start_weekday == 4


@pytest.mark.parametrize(("unit", "name"), [(1, "seconds"), (1e3, "milliseconds")])
def test_unix_times_count_from_the_first(tmp_path: Path, unit: float, name: str) -> None:
    rows = "".join(f"{(1_700_158_546 + i) * unit:.0f},5,5\n" for i in (0, 2, 3))
    columns = {"arrival": "when", "prompt": "in", "output": "out"}
    trace, report = load_rows(write(tmp_path, "when,in,out\n" + rows), columns=columns)
    assert trace.arrival_s == pytest.approx([0.0, 2.0, 3.0])
    assert (trace.start_weekday, round(trace.start_hour_utc, 2)) == (3, 18.26)
    assert report.notes == (f"when read as Unix time in {name}: 3 requests in 3 s",)


def test_a_wrong_unit_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"row 2, column TIMESTAMP.*check the unit"):
        load_rows(write(tmp_path, AZURE + "0,5,5\n500000000,5,5\n"))


def test_mooncake_is_in_milliseconds(tmp_path: Path) -> None:
    lines = [{"timestamp": t, "input_length": 10, "output_length": 2} for t in (0, 1500)]
    text = "\n".join(json.dumps({**line, "hash_ids": [1]}) for line in lines)
    trace, report = load_rows(write(tmp_path, text, "t.jsonl"))
    assert trace.arrival_s.tolist() == [0.0, 1.5]
    assert report.schema == "mooncake"


def test_burstgpt(tmp_path: Path) -> None:
    text = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,0,1087,API log\n"
    )
    trace, report = load_rows(write(tmp_path, text))
    assert (report.schema, trace.arrival_s.tolist()) == ("burstgpt", [0.0, 40.0])
    assert trace.output_tokens.tolist() == [18, 1]


def test_sageserve(tmp_path: Path) -> None:
    text = (
        "arrival_timestamp,regions,model_type,workload_type,prompt_size,token_size,sla\n"
        '0.5,"[2, 0, 1]",A,prod,100,10,x\n1.5,"[0, 1, 2]",D,dev,200,20,x\n'
    )
    trace, report = load_rows(write(tmp_path, text))
    assert trace.region.tolist() == [2, 0]
    assert trace.model.tolist() == [0, 3]
    assert trace.tier.tolist() == [0, 2]
    assert report.assumed == ("iw_split",)
    again = write(tmp_path, text.replace(",dev,", ",test,"), "u.csv")
    with pytest.raises(TraceError, match=r"row 2, column workload_type.*unknown workload type"):
        load_rows(again)


def test_iw_is_split_80_to_20(tmp_path: Path) -> None:
    head = "arrival_timestamp,regions,model_type,workload_type,prompt_size,token_size\n"
    text = head + "".join(f"{i},0,A,{'dev' if i % 5 == 0 else 'prod'},9,9\n" for i in range(5000))
    tier = load_trace(write(tmp_path, text), seed=1).tier
    assert np.bincount(tier, minlength=3) == pytest.approx([3200, 800, 1000], abs=80)
    assert (tier[::5] == 2).all()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_native_round_trip(small: RequestTrace, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        small.to_parquet(path)
        back = RequestTrace.from_parquet(path)
        assert back.name == "small"
    else:
        small.to_csv(path)
        back = RequestTrace.from_csv(path)
    assert back == small
    assert back.request_id is not None
    assert back.request_id.tolist() == list(range(6))
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_names_stand_in_the_file(small: RequestTrace, tmp_path: Path) -> None:
    small.to_csv(tmp_path / "t.csv")
    assert "0,llama-2-70b,westus,IW-F,100,1,0" in (tmp_path / "t.csv").read_text()


def test_other_models_of_the_catalogue(tmp_path: Path) -> None:
    path = write(tmp_path, NATIVE + "0,qwen3-32b,westus,NIW,5,5\n1,llama-3.1-8b,westus,NIW,5,5\n")
    trace = load_trace(path)
    assert [trace.models[i] for i in trace.model] == ["qwen3-32b", "llama-3.1-8b"]
    mine = write(tmp_path, NATIVE + "0,mine,moon,NIW,5,5\n", "u.csv")
    own = load_trace(mine, models=("mine",), regions=("moon",))
    assert (own.models, own.regions) == (("mine",), ("moon",))


def test_a_failed_write_leaves_the_old_file(small: RequestTrace, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")

    class Broken(RequestTrace):
        def chunks(self, *_: object) -> None:  # type: ignore[override]
            raise RuntimeError

    broken = Broken(**{k: getattr(small, k) for k in small.__dataclass_fields__})
    with pytest.raises(RuntimeError):
        broken.to_csv(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


GOOD = "0,llama-2-70b,westus,IW-F,5,5\n"
BAD_ROWS = [
    (NATIVE + GOOD + "1,gpt-9,westus,IW-F,5,5\n", r"row 2, column model: value 'gpt-9' is an unkn"),
    (NATIVE + GOOD + "1,llama-2-70b,mars,IW-F,5,5\n", "row 2, column region: value 'mars'"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,IW,5,5\n", "row 2, column tier: value 'IW'"),
    (NATIVE + GOOD + "x,llama-2-70b,westus,NIW,5,5\n", "row 2, column arrival_s: value 'x'"),
    (NATIVE + GOOD + "-1,llama-2-70b,westus,NIW,5,5\n", r"arrival_s: value '-1' is negative"),
    (NATIVE + "3" + GOOD + "1,llama-2-70b,westus,NIW,5,5\n", "is earlier than a row before"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,,5\n", "row 2, column prompt_tokens"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,0,5\n", "prompt_tokens: value '0' is below 1"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,5,-2\n", "output_tokens: value '-2' is below 0"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,1.5,5\n", "'1.5' is not a whole number"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,inf,5\n", "'inf' is not a finite number"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW,9e99,5\n", "'9e99' is too large"),
    (NATIVE + GOOD + "1,llama-2-70b,westus,NIW\n", "row 2 has 4 fields, expected 6"),
    (AZURE + "2023-11-16 18:15:46,5,5\nlater,5,5\n", "row 2, column TIMESTAMP: value 'later'"),
]


@pytest.mark.parametrize(("text", "message"), BAD_ROWS)
def test_bad_rows_are_named_or_dropped(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=message) as caught:
        load_trace(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    trace, report = load_rows(path, on_error="drop")
    assert (len(trace), report.rows, report.rows_dropped) == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\x00\x01\x02", "is a binary file"),
        (b"PAR1broken", "cannot be read"),
        (b"a,b\n1,2\n", "use a known schema: native"),
        ("TIMESTAMP,Ümlaut\n".encode("latin-1"), "unknown header 'TIMESTAMP, Ümlaut'"),
        (AZURE.encode(), "no usable row"),
        (AZURE.encode() + b"2023-11-16 18:15:46,5,\xff\xfe\n", "value 'ÿþ' is not a finite number"),
        (gzip.compress(AZURE.encode() * 50, mtime=0)[:60], "damaged gzip|no usable row"),
        (b'{"timestamp": 1', "not valid JSON"),
        (b'{"timestamp": 1, "input_length": 5, "output_length": 5}\n[1]\n', "row 2 is not a JSON"),
        (b"arrival_s,arrival_s,prompt_tokens,output_tokens\n1,1,1,1\n", "occurs twice"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=message) as caught:
        load_trace(path)
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_truncated_parquet(small: RequestTrace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        load_trace(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="is a folder"):
        load_trace(tmp_path)
    path = tmp_path / "t.parquet"
    small.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match="cannot be read"):
        load_trace(path)


def test_columns_of_your_own(tmp_path: Path) -> None:
    path = write(
        tmp_path, "when,in,out,who\n2026-01-05 01:00:00,5,6,x\n2026-01-05 01:00:02,7,8,y\n"
    )
    mapping = {"arrival": "when", "prompt": "in", "output": "out"}
    trace = load_trace(path, columns=mapping)
    assert trace.arrival_s.tolist() == [0.0, 2.0]
    assert trace.start_weekday == 0
    with pytest.raises(TraceError, match="column nope is missing"):
        load_trace(path, columns={**mapping, "prompt": "nope"})
    with pytest.raises(TraceError, match="unknown key 'promt'"):
        load_trace(path, columns={**mapping, "promt": "in"})
    with pytest.raises(TraceError, match="are needed"):
        load_trace(path, columns={"arrival": "when"})


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + (AZURE + "2023-11-16 18:15:46,5,5\n").replace("\n", "\r\n").encode()
    )
    assert len(load_trace(path)) == 1


HEADERS = [NATIVE, AZURE, "Timestamp,Model,Request tokens,Response tokens\n", ""]
FIELD = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.text(max_size=8),
    st.sampled_from(["", "NaN", "2023-11-16 18:15:46", "9999999-01-01", "llama-2-70b", '"', "\r"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    header=st.sampled_from(HEADERS),
    rows=st.lists(st.lists(FIELD, min_size=1, max_size=7), max_size=5),
    junk=st.binary(max_size=30),
    drop=st.booleans(),
)
def test_noise_gives_a_trace_or_one_line(
    tmp_path: Path, header: str, rows: list[list[str]], junk: bytes, drop: bool
) -> None:
    text = header + "\n".join(",".join(row) for row in rows)
    path = tmp_path / "noise.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass") + junk)
    try:
        trace = load_trace(path, on_error="drop" if drop else "raise")
    except TraceError as error:
        assert "\n" not in str(error)
    else:
        assert len(trace) >= 1
