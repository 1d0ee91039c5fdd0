"""`sageserve trace`: each sub-command from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sageserve_bench.errors import UserError
from sageserve_cli import cli
from sageserve_cli.commands.trace import trace_app
from sageserve_traces import RequestTrace, TraceError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2024-05-10 00:00:{i:02d},{100 + i},{i}\n" for i in range(50)
)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(trace_app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_make_info_convert_plot(tmp_path: Path) -> None:
    made = tmp_path / "day.parquet"
    assert "requests" in call("make", "-o", made, "--length", "10min", "--seed", "3")
    info = json.loads(call("info", made, "--json"))
    assert info["requests"] == len(RequestTrace.from_parquet(made))
    assert info["duration_s"] == 600
    assert sum(info["shares"]["tiers"].values()) == pytest.approx(1)
    assert info["assumed"] == []
    call("convert", made, "-o", tmp_path / "day.csv.gz")
    back, whole = RequestTrace.from_csv(tmp_path / "day.csv.gz"), RequestTrace.from_parquet(made)
    assert back.arrival_s == pytest.approx(whole.arrival_s - whole.arrival_s[0])
    call("plot", made, "-o", tmp_path / "day.png", "--bin", "60")
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")


def test_info_says_what_was_assumed_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(AZURE + "junk,1,1\n")
    info = json.loads(call("info", path, "--json", "--on-error", "drop"))
    assert info["assumed"] == ["model", "region", "tier"]
    assert info["rows_dropped"] == {"TIMESTAMP is not a time": 1}
    assert info["tiers"]["IW-F"]["prompt_tokens"]["p50"] > 100
    table = call("info", path, "--on-error", "drop")
    assert "assigned by seed" in table
    with pytest.raises(TraceError, match="row 51, column TIMESTAMP"):
        call("info", path)


def test_bad_input_is_an_error_of_the_user(tmp_path: Path) -> None:
    for arguments in (
        ("info", "nothing"),
        ("info", "o365", "--length", "soon"),
        ("make", "-o", tmp_path / "day.xlsx", "--length", "60"),
        ("info", tmp_path, "--columns", "arrival"),
        ("download", "nothing"),
    ):
        with pytest.raises((TraceError, UserError)):
            call(*arguments)


@pytest.mark.parametrize("command", ["make", "convert", "plot"])
def test_the_input_is_not_overwritten(tmp_path: Path, command: str) -> None:
    path, link = tmp_path / "a.csv", tmp_path / "link.csv"
    path.write_text(AZURE)
    link.symlink_to(path)
    for output in (path, link):
        for trace in (path, tmp_path):
            with pytest.raises(TraceError, match="name another file"):
                call(command, trace, "-o", output)
    assert path.read_text() == AZURE


def test_a_rate_curve_is_told_from_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digitised rates of 2024 hold no requests; a named trace plays them."""
    path = tmp_path / "rates.csv"
    path.write_text("t,rpm\n2024-05-10 00:00:00,1402.0\n2024-05-10 00:10:00,1405.0\n")
    for words in (["trace", "info", str(path)], ["run", "static", "--trace", str(path)]):
        assert cli.run(words) == 2
        line = capsys.readouterr().err
        assert f"{path}: is a rate curve" in line and line.count("\n") == 1
        assert "azure-2024-code-week" in line


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, sageserve_traces; "
        "print(sorted({'pandas', 'pyarrow', 'matplotlib', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.strip() == "[]"
