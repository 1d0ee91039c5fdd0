"""The commands as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sageserve_cli import cli
from tests.bench.test_workload import MINE, write_trace


def test_compare_then_verify_then_report(
    tmp_path: Path, small_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--agents", "static,reactive:in_below=0.2", "--scenario", str(small_file)]
    words += ["--seed-list", "7,8", "--output", str(tmp_path)]
    assert cli.run(words) == 0
    shown = capsys.readouterr()
    assert "model %" in shown.out and "How sure" in shown.out
    assert "[4/4]" in shown.err
    assert {p.name for p in tmp_path.iterdir()} == {
        "results.csv",
        "summary.json",
        "report.html",
        "decisions.npz",
        "runs",
    }
    before = (tmp_path / "results.csv").read_bytes()
    assert cli.run(words) == 0
    assert "4 finished runs are there already" in capsys.readouterr().err
    assert (tmp_path / "results.csv").read_bytes() == before
    assert cli.run([*words, "--verify"]) == 0
    assert "4 rows reproduced exactly" in capsys.readouterr().out
    assert cli.run(["report", str(tmp_path)]) == 0


def test_compare_on_a_trace_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write_trace(tmp_path / "mine.csv")
    columns = ",".join(f"{key}={name}" for key, name in MINE.items())
    words = ["compare", "--agents", "static", "--scenario", "trap-base", "--trace", str(trace)]
    words += ["--columns", columns, "--tile", "20m", "--output", str(tmp_path / "out")]
    assert cli.run(words) == 0
    text = (tmp_path / "out" / "results.csv").read_text()
    assert "static,trap-base,mine,2000,1200," in text
    assert str(tmp_path) not in text
    shown = capsys.readouterr().out
    assert "VMs on average" in shown or "No policy attains" in shown
    for said in (
        "Trace mine.csv: not in the file and drawn at random by the seed: model, region, tier; "
        "repeated up to 20 min.",
        "Length: 20 min were simulated; dollars a day and a month are in proportion.",
        "12 a100-80gb-x8 at $32.77 an hour (list prices)",
    ):
        assert said in shown
        assert said in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--agents ilq", "unknown agent 'ilq'"),
        ("--agents static,static", "named twice"),
        ("--scenario tny", "did you mean 'tiny'"),
        ("--trace nothere.csv", "neither a file nor a named trace"),
        ("--tile soon", "not a length of time"),
        ("--seed-list 7,x", "whole numbers"),
        ("--seeds 0", "must be 1 to 1000"),
        ("--split dev", "unknown split"),
        ("--workers 0", "--workers must be at least 1"),
        ("--backend mpi", "unknown backend"),
        ("--ray-address auto", "needs --backend ray"),
        ("--columns arrival", "write each key once"),
        ("--rate-scale -1", "above 0"),
        ("--verify", "results.csv: not found"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    output = tmp_path / "out"
    given = ["compare", "--scenario", "trap-base", "--output", str(output), *words.split()]
    assert cli.run(given) == 2
    shown = capsys.readouterr().err
    assert line in shown
    assert shown.count("\n") == 1
    assert not output.exists()


def test_run(tmp_path: Path, small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.json"
    assert cli.run(["run", "static", "--scenario", str(small_file), "--json", str(file)]) == 0
    assert "ttft_p95_iwf" in capsys.readouterr().out
    assert json.loads(file.read_text())["agent"] == "static"


@pytest.mark.parametrize(
    "words",
    ["evaluate nowhere.py", "headroom nowhere", "run nobody", "speed --only x", "fidelity latency"],
)
def test_json_is_checked_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    for path, line in ((tmp_path, "is a folder; name a file"), ("/proc/x.json", "be written")):
        assert cli.run([*words.split(), "--json", str(path)]) == 2
        shown = capsys.readouterr()
        assert f"--json {path}: " in shown.err and line in shown.err
        assert shown.err.count("\n") == 1 and not shown.out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("SageServe-Paper-v1", "ilp", "azure-2023-conv", "o365-full-day"):
        assert name in shown
    assert cli.run(["list", "agents", "--json"]) == 0
    assert "static" in json.loads(capsys.readouterr().out)["agents"]
    assert cli.run(["list", "agent"]) == 2


def test_speed_of_one_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "speed.json"
    words = ["speed", "--quick", "--only", "import_s,ilp_small_s", "--json", str(file)]
    assert cli.run(words) == 0
    figures = json.loads(file.read_text())
    assert 0 < figures["import_s"] < 60
    assert 0 < figures["ilp_small_s"] < 60
    assert figures["quick"] is True and figures["not_measured"] == {}
    assert "ilp_small_s" in capsys.readouterr().out
    assert cli.run(["speed", "--only", "import"]) == 2


def test_every_figure_of_the_contract_has_a_case() -> None:
    from sageserve_validation.speed.figures import FIGURES

    contract = {
        "engine_requests_per_cpu_s",
        "engine_requests_per_cpu_s_night",
        "full_day_reactive_s",
        "env_steps_per_s",
        "vector_speedup_2_threads",
        "cold_first_step_s",
    }
    assert contract <= {figure.key for figure in FIGURES}


def test_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Your own agent, on a scenario of which nothing is published and beside published rows."""
    from sageserve_bench.submission import words_of

    assert words_of("tiny", "a.py:A", None) == [
        *("--scenario", "tiny", "--seeds", "5"),
        *("--agents", "a.py:A,ilp"),
    ]
    shelf = tmp_path / "results"
    words = ["compare", "--agents", "static", "--scenario", "trap-base", "--seeds", "1"]
    assert cli.run([*words, "--output", str(shelf / "hour")]) == 0
    (shelf / "hour" / "command.txt").write_text("sageserve " + " ".join(words) + "\n")
    capsys.readouterr()
    given = ["benchmark", "hour", "--agent", "reactive", "--results", str(shelf)]
    assert cli.run([*given, "--output", str(tmp_path / "mine")]) == 0
    shown = capsys.readouterr().out
    beside = shown.partition("beside the published rows:")[2]
    assert "reactive" in beside and "static" in beside
    assert cli.run(["benchmark", "nothing", "--agent", "static", "--results", str(shelf)]) == 2
    assert "neither a published comparison nor a scenario" in capsys.readouterr().err
