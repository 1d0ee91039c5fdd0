"""`sageserve plan` and `sageserve forecast` as a user calls them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sageserve_cli.cli import run

SMALL = ["--scenario", "trap-base"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_plan_of_an_hour(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *SMALL, "--hour", "0"]) == 0
    shown = capsys.readouterr().out
    assert "Plan for 60 min" in shown
    assert "Sustained prompt tokens/s of an instance: llama-2-70b" in shown
    assert "Binding constraints" in shown
    assert "Cost: vms $" in shown


def test_plan_of_a_demand_that_is_too_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demand = tmp_path / "demand.csv"
    demand.write_text(
        "model,region,prompt_tokens_per_s,tier\n"
        "llama-2-70b,westus,900000,IW-F\nllama-2-70b,eastus,5,NIW\n"
    )
    assert run(["plan", *SMALL, "--demand", str(demand), "--current", "1"]) == 0
    shown = capsys.readouterr().out
    assert "SHORT" in shown
    assert "6 (+5)" in shown
    assert "VMs used" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agent", "reactive"], "makes no hourly plans"),
        (["--hour", "99"], "is beyond the"),
        (["--agent", "ilp:betta=1"], "did you mean 'beta'"),
        (["--demand", "missing.csv"], "no such file"),
        (["--scenario", "tin"], "did you mean 'tiny'"),
    ],
)
def test_plan_errors(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *SMALL, *words]) == 2
    shown = capsys.readouterr().err.strip()
    assert message in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,region\n", "column 'prompt_tokens_per_s' is missing"),
        (
            "model,region,prompt_tokens_per_s\nllama-2-70,westus,1\n",
            "row 2: unknown model 'llama-2-70'; did you mean 'llama-2-70b'",
        ),
        (
            "model,region,prompt_tokens_per_s\nllama-2-70b,westus,-1\n",
            "row 2: prompt_tokens_per_s: expected a number of at least 0, got '-1'",
        ),
    ],
)
def test_demand_file_errors(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demand = tmp_path / "demand.csv"
    demand.write_text(text)
    assert run(["plan", *SMALL, "--demand", str(demand)]) == 2
    assert message in capsys.readouterr().err


def test_forecast_scores_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "scores"
    words = ["forecast", *SMALL, "--forecasters", "seasonal-naive,ridge,perfect", "--step", "15m"]
    assert run([*words, "--horizon", "30m", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "seasonal-naive" in shown
    assert (output / "forecast.png").stat().st_size > 10_000
    with (output / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["forecaster"] for r in rows} == {"seasonal-naive", "ridge", "perfect"}
    wape = {r["forecaster"]: float(r["wape"]) for r in rows if r["model"] == "all"}
    assert wape["perfect"] == 0.0
    assert 0.0 < wape["seasonal-naive"] < 1.0
    assert run([*words[:-4], "--forecasters", "seasonal"]) == 2
    assert "did you mean 'seasonal-naive'" in capsys.readouterr().err
