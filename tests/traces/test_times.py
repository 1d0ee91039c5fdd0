"""The time column: kinds, units, outliers, order; and ids, separators and encodings beside it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import LoadReport, RequestTrace, TraceError, load_rows, load_trace

OWN = {"arrival": "ts", "prompt": "pin", "output": "pout"}
START = datetime(2024, 5, 10, tzinfo=UTC)
SECONDS = [0.0, 1.0, 2.5, 4.0, 7.0, 9.0, 9.0, 15.0, 20.0, 30.0]


def written(folder: Path, cells: list[str], separator: str = ",", name: str = "t.csv") -> Path:
    path = folder / name
    lines = [separator.join(("ts", "pin", "pout"))]
    lines += [separator.join((cell, "100", "10")) for cell in cells]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, **options: object) -> tuple[RequestTrace, LoadReport]:
    return load_rows(path, columns=OWN, **options)  # type: ignore[arg-type]


def iso(second: float, zone: str = "") -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f") + zone


# ------------------------------------------------------------------------------------ bad cells

GOOD = {
    "naive": [iso(s) for s in SECONDS],
    "zoned": [iso(s, "+00:00") for s in SECONDS],
    "unix": [f"{1_715_299_200 + s:.1f}" for s in SECONDS],
    "unix-ms": [f"{1_715_299_200_000 + 1000 * s:.0f}" for s in SECONDS],
    "relative": [f"{s}" for s in SECONDS],
}
BAD = ["0", "1970-01-01 00:00:00", "inf", "2031-01-01 00:00:00", "", "soon", "99999999999", "-7"]


@pytest.mark.parametrize("row", [0, 4, 9])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", GOOD)
def test_one_bad_cell_is_one_row(kind: str, bad: str, row: int, tmp_path: Path) -> None:
    if (kind, bad, row) == ("relative", "0", 0):
        return  # that cell is good
    cells = [*GOOD[kind]]
    cells[row] = bad
    path = written(tmp_path, cells)
    with pytest.raises(TraceError, match=rf"row {row + 1}, column ts: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    trace, report = read(path, on_error="drop")
    kept = np.delete(SECONDS, row)
    assert trace.arrival_s == pytest.approx(kept - kept[0], abs=1e-6)
    assert report.rows_dropped == 1
    assert next(iter(report.dropped)).startswith("ts ")


def test_rows_are_judged_in_the_order_of_most(tmp_path: Path) -> None:
    cells = ["0", "1", "5", "2", "3", "4"]  # the third is late, the ones after it are right
    with pytest.raises(TraceError, match=r"row 3, column ts: value '5' is later than a row after"):
        read(written(tmp_path, cells))
    assert read(written(tmp_path, cells), on_error="drop")[0].arrival_s.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(
        TraceError,
        match=r"column ts: times fall in 9 of 10 rows, first in row 2; sort the file by ts",
    ):
        read(written(tmp_path, [str(s) for s in range(9, -1, -1)]), on_error="drop")


def test_a_column_without_times_is_refused_even_where_rows_are_dropped(tmp_path: Path) -> None:
    cells = ["10/05/2024 00:00:01", "10/05/2024 00:00:03", "2024-05-10 00:00:02"]
    for on_error in ("raise", "drop"):
        with pytest.raises(TraceError, match=r"not a time in ISO 8601, such as .*--time-format"):
            read(written(tmp_path, cells), on_error=on_error)


def test_clocks_set_back(tmp_path: Path) -> None:
    local = ["2024-11-03 01:59:50", "2024-11-03 01:59:58", "2024-11-03 01:00:01"]
    local += ["2024-11-03 01:00:05", "2024-11-03 01:00:09"]
    for on_error in ("raise", "drop"):
        with pytest.raises(TraceError, match=r"row 3.*fall by 60 min.*UTC or with an offset"):
            read(written(tmp_path, local), on_error=on_error)
    offsets = ["-04:00", "-04:00", "-05:00", "-05:00", "-05:00"]
    path = written(tmp_path, [a + b for a, b in zip(local, offsets, strict=True)])
    assert read(path)[0].arrival_s.tolist() == [0, 8, 11, 15, 19]


# ---------------------------------------------------------------------------------------- units


def steps(size: float, n: int = 40, gap_s: float = 0.337) -> tuple[list[float], list[float]]:
    seconds = [round(gap_s * i + 0.01 * (i % 7), 3) for i in range(n)]
    return seconds, [s / size for s in seconds]


@pytest.mark.parametrize(
    ("unit", "size", "begin", "said"),
    [
        ("s", 1.0, 0.0, "seconds from the start"),
        ("s", 1.0, 819_001.383, "seconds from the start"),
        ("ms", 1e-3, 0.0, "milliseconds from the start"),
        ("us", 1e-6, 0.0, "microseconds from the start"),
        ("ns", 1e-9, 0.0, "nanoseconds from the start"),
        ("s", 1.0, 1_715_299_200.0, "Unix time in seconds"),
        ("ms", 1e-3, 1_715_299_200_000.0, "Unix time in milliseconds"),
        ("us", 1e-6, 1_715_299_200_000_000.0, "Unix time in microseconds"),
        ("ns", 1e-9, 1_715_299_200_000_000_000.0, "Unix time in nanoseconds"),
        ("d", 86_400.0, 45_422.0, "day numbers of a spreadsheet"),
    ],
)
def test_units_are_found_said_and_can_be_given(
    unit: str, size: float, begin: float, said: str, tmp_path: Path
) -> None:
    seconds, counts = steps(size)
    if unit in ("ms", "us", "ns"):
        cells = [f"{round(begin) + round(count)}" for count in counts]
    else:
        cells = [
            f"{begin + count:.11f}" if unit == "d" else f"{begin + count:.3f}" for count in counts
        ]
    path = written(tmp_path, cells)
    for options in ({}, {"time_unit": unit}):
        trace, report = read(path, **options)
        assert trace.arrival_s == pytest.approx(seconds, abs=1e-5 if unit == "d" else 1e-6)
        assert report.notes == (f"ts read as {said}: 40 requests in {seconds[-1]:.4g} s",)
    if begin > 40_000 and unit != "s":  # 10 May 2024 was a Friday
        assert (trace.start_weekday, trace.start_hour_utc) == (4, 0.0)


def test_a_file_of_mooncakes_form_in_seconds(tmp_path: Path) -> None:
    for times in ([0.0, 0.2, 0.4, 60.0], [*range(0, 60)]):
        lines = [{"timestamp": t, "input_length": 100, "output_length": 10} for t in times]
        path = tmp_path / "m.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        trace, report = load_rows(path)
        assert trace.arrival_s.tolist() == times
        assert report.notes[0].startswith("timestamp read as seconds from the start")


def test_requests_in_batches_of_milliseconds(tmp_path: Path) -> None:
    cells = [str(3000 * (i // 20)) for i in range(400)]
    path = tmp_path / "m.jsonl"
    lines = [{"timestamp": int(c), "input_length": 9, "output_length": 9} for c in cells]
    path.write_text("\n".join(map(json.dumps, lines)))
    for trace in (load_trace(path), read(written(tmp_path, cells))[0]):
        assert trace.arrival_s.tolist() == [3.0 * (i // 20) for i in range(400)]


def test_whole_minutes_in_seconds_stay_seconds(tmp_path: Path) -> None:
    cells = [str(300 * i) for i in range(20)]
    assert read(written(tmp_path, cells))[0].arrival_s.tolist() == [300.0 * i for i in range(20)]


def test_a_column_name_may_say_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("offset_ms,pin,pout\n" + "".join(f"{40 * i},5,5\n" for i in range(30)))
    trace = load_trace(path, columns={**OWN, "arrival": "offset_ms"})
    assert trace.arrival_s == pytest.approx([0.04 * i for i in range(30)])


def test_an_implausible_length_is_said(tmp_path: Path) -> None:
    cells = [str(i) for i in range(200)]
    report = read(written(tmp_path, cells), time_unit="us")[1]
    assert "200 requests in 0.199 ms are implausible" in report.notes[-1]
    assert "--time-unit" in report.notes[-1]


def test_a_form_of_your_own(tmp_path: Path) -> None:
    path = written(tmp_path, ["31/12/2023 23:59:58", "31/12/2023 23:59:59", "01/01/2024 00:00:02"])
    trace = read(path, time_format="%d/%m/%Y %H:%M:%S")[0]
    assert trace.arrival_s.tolist() == [0.0, 1.0, 4.0]
    assert trace.start_weekday == 6
    path = written(tmp_path, ["20240510000001", "20240510000003", "20240510000100"])
    assert read(path, time_format="%Y%m%d%H%M%S")[0].arrival_s.tolist() == [0.0, 2.0, 59.0]
    with pytest.raises(TraceError, match=r"row 1, column ts.*not a time of the form %d"):
        read(path, time_format="%d.%m.%Y")
    with pytest.raises(TraceError, match="cannot be used"):
        read(path, time_format="%Q")


# ----------------------------------------------------------------- ids, separators and encodings


@pytest.mark.parametrize(
    "ids",
    [
        [1850000000000000001, 1850000000000000002, -3],
        ["007", "8", "9"],
        ["6f1c2d9e-0000-4000-8000-000000000001", "6f1c2d9e-0000-4000-8000-000000000002", ""],
        ["18446744073709551615", "1", "2"],
        ['a,"b"', "c;d", "e f"],
    ],
)
def test_ids_are_untouched(ids: list[int | str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = ['{},"{}",5,5\n'.format(t, str(i).replace('"', '""')) for t, i in enumerate(ids)]
    path.write_text("arrival_s,request_id,prompt_tokens,output_tokens\n" + "".join(rows))
    trace = load_trace(path)
    assert trace.request_id is not None
    assert trace.request_id.tolist() == ids
    for name in ("again.csv", "again.parquet"):
        again = tmp_path / name
        (trace.to_csv if name.endswith("csv") else trace.to_parquet)(again)
        back = load_trace(again)
        assert back == trace
        assert back.request_id is not None
        assert back.request_id.tolist() == ids


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(separator: str, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD["naive"], separator)
    trace, report = read(path)
    assert trace.arrival_s.tolist() == SECONDS
    assert ("separator" in " ".join(report.notes)) == (separator != ",")
    path.write_text(f"sep={separator}\n" + path.read_text())
    assert read(path)[0] == trace


def test_latin1_gives_the_same_in_a_small_and_a_large_file(tmp_path: Path) -> None:
    for rows in (30, 9000):
        path = tmp_path / "t.csv"
        text = "TIMESTAMP,ContextTokens,GeneratedTokens,note\n"
        text += "".join(f"{iso(i)},100,10,caf\xe9\n" for i in range(rows))
        path.write_bytes(text.encode("latin-1"))
        trace, report = load_rows(path)
        assert trace.arrival_s.tolist() == [float(i) for i in range(rows)]
        assert report.notes == ("bytes that are not UTF-8 read as Latin-1",)


def test_reasons_where_no_row_is_usable(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "arrival_s,model,prompt_tokens,output_tokens\n"
        + "".join(f"{i},gpt-4,5,5\n" for i in range(9))
    )
    for on_error in ("raise", "drop"):
        with pytest.raises(TraceError, match=r"'gpt-4' is an unknown model.*rename_models"):
            load_rows(path, on_error=on_error)
    with pytest.raises(TraceError, match=r"no usable row of 9 \(9 rows: model is an unknown"):
        load_rows(path, on_error="drop")


@pytest.mark.parametrize("bad", [["9999999999"] * 2, ["8000000000", "9999999999"]])
@pytest.mark.parametrize("row", [0, 12, 18])
def test_two_bad_cells_do_not_sway_the_unit(bad: list[str], row: int, tmp_path: Path) -> None:
    cells = [str(second) for second in range(20)]
    cells[row : row + 2] = bad
    trace, report = read(written(tmp_path, cells), on_error="drop")
    kept = np.delete(np.arange(20), [row, row + 1])
    assert trace.arrival_s.tolist() == (kept - kept[0]).tolist()
    assert report.rows_dropped == 2


@pytest.mark.parametrize(("zero", "step"), [(10**9, 1), (10**12, 1000), (2**36, 1)])
def test_a_count_may_begin_anywhere(zero: int, step: int, tmp_path: Path) -> None:
    cells = [str(zero + step * second) for second in range(30)]
    assert read(written(tmp_path, cells))[0].arrival_s.tolist() == list(range(30))


@pytest.mark.parametrize(
    ("name", "size"), [("minute", 60), ("t (h)", 3600), ("elapsed_days", 86400), ("day", 86400)]
)
def test_long_units_in_a_name(name: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = [f"{second / size:.9f}" for second in range(0, 600, 10)]
    path.write_text(f"{name},pin,pout\n" + "".join(f"{cell},1,1\n" for cell in cells))
    trace, _ = load_rows(path, columns=OWN | {"arrival": name})
    assert trace.arrival_s == pytest.approx(np.arange(0, 600, 10), abs=1e-3)
