"""Every command that reads a trace has the same options of reading, and uses them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from sageserve_cli import cli
from sageserve_cli.commands import calibrate, compare, forecast, plan, run, trace, tune
from sageserve_cli.options import read_options, words_of

COMMANDS = [
    compare.compare,
    run.run,
    plan.plan,
    forecast.forecast,
    calibrate.calibrate,
    tune.tune,
    trace.info,
    trace.plot,
    trace.convert,
    trace.make,
]
OPTIONS = {"columns", "on_error", "time_unit", "time_format", "start", "scenario"}


@pytest.mark.parametrize("command", COMMANDS, ids=[c.__name__ for c in COMMANDS])
def test_every_command_has_the_options(command: object) -> None:
    assert set(inspect.signature(command).parameters) >= OPTIONS  # type: ignore[arg-type]


def test_words_there_and_back() -> None:
    words = {
        "columns": ["arrival=ts,prompt=in", "output=out"],
        "on_error": "drop",
        "time_unit": "ms",
        "start": "2h",
    }
    reading = read_options(**words)  # type: ignore[arg-type]
    assert reading.start_s == 7200.0
    assert words_of(reading) == {
        "columns": "arrival=ts,prompt=in,output=out",
        "on-error": "drop",
        "time-unit": "ms",
        "time-format": None,
        "start": "7200",
    }
    assert set(words_of(read_options(start="0")).values()) == {None}


def test_trace_commands_read_as_they_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    rows = [f"{1000 * i},5,6" for i in range(20)] + ["oops,5,6"]
    path.write_text("\n".join(["when;in;out", *(row.replace(",", ";") for row in rows)]))
    words = ["--columns", "arrival=when", "--column", "prompt=in,output=out"]
    words += ["--on-error", "drop", "--time-unit", "ms", "--start", "5s", "--scenario", "trap-base"]
    assert cli.run(["trace", "info", str(path), *words, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["requests"], info["duration_s"]) == (15, 15.0)
    assert info["notes"] == [
        "separator semicolon",
        "when read as milliseconds from the start: 20 requests in 19 s",
    ]
    for command in ("convert", "plot"):
        output = tmp_path / f"{command}.{'csv' if command == 'convert' else 'png'}"
        assert cli.run(["trace", command, str(path), *words, "-o", str(output)]) == 0
        shown = capsys.readouterr()
        assert "dropped 1 rows: when is not a time" in shown.out + shown.err
        assert output.exists()
    assert cli.run(["trace", "info", str(path), "--time-unit", "fortnight"]) == 2
    assert "unknown time unit 'fortnight'" in capsys.readouterr().err
