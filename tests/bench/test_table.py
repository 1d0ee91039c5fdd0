"""The table of a comparison fits the terminal it is shown on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pandas as pd
import pytest

from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.report.table import columns_of, legend
from sageserve_env.scenario import Scenario, load_scenario

LONG = "reactive:in_below=0.2;cooldown_s=92.88;out_above=1.086"
TARGETS = {"slo_iwf": 0.95, "slo_worst_model": 0.9}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scenario and a comparison on it that is done already."""
    from sageserve_bench import compare

    folder = tmp_path_factory.mktemp("table")
    (folder / "small.yaml").write_text("base: trap-base\nhorizon_s: 900.0\n", encoding="utf-8")
    scenario: Scenario = load_scenario(folder / "small.yaml")
    agents = ["static", "reactive", LONG]
    rows: pd.DataFrame = compare(agents, scenario=scenario, seeds=2, output=folder / "out")
    assert len(rows) == 6
    return folder


def on_terminal(folder: Path, columns: int, *more: str) -> list[str]:
    """Return the lines that the command prints on a pseudo-terminal of a width."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    words = ["compare", "--agents", f"static,reactive,{LONG}", "--scenario", "small.yaml"]
    words += ["--seeds", "2", "--output", "out", *more]
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {k: v for k, v in os.environ.items() if k not in unset} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "sageserve_cli.cli", *words]
    with subprocess.Popen(
        command, stdout=inner, stderr=subprocess.DEVNULL, cwd=folder, env=environment
    ) as process:
        os.close(inner)
        text = b""
        while True:
            try:
                piece = os.read(outer, 65_536)
            except OSError:  # the other end was closed
                break
            if not piece:
                break
            text += piece
    os.close(outer)
    assert process.returncode == 0, text.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode())
    return plain.replace("\r", "").splitlines()


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_names_and_targets_are_whole(finished: Path, columns: int) -> None:
    lines = on_terminal(finished, columns)
    table = lines[: next(i for i, line in enumerate(lines) if "2 runs of each" in line)]
    assert max(len(line.rstrip()) for line in table) <= columns
    head = " ".join(table[:3])
    for title in ("agent", "$ / day", "IW-F %", "IW-N %", "NIW %", "model %"):
        assert title in head
    names = [line.split("  ")[0].rstrip(" *") for line in table if re.match(r"[a-z]", line)]
    assert {"static", "reactive", "reactive #1"} <= set(names)
    assert not any("…" in line for line in table)
    assert any(line.startswith(f"reactive #1: {LONG}"[: columns - 1]) for line in lines)


def test_wide_has_every_column_on_any_terminal(finished: Path) -> None:
    head = "\n".join(on_terminal(finished, 80, "--wide")[:12])
    for title in ("runs", "refused", "TTFT", "waste", "decision"):
        assert title in head


def row(agent: str, **values: object) -> dict[str, object]:
    base = {"agent": agent, "trace": "t", "seed": 0, "cost_usd": 1.0, "horizon_s": 86_400.0}
    service = {"slo_iwf": 0.96, "slo_worst_model": 0.92, "slo_flat_iwf": 0.96, "reward": -1.0}
    return (
        base
        | service
        | {"requests": 10, "unfinished": 0, "gpu_hours": 1.0, "e2e_p95_iwf": 9.0}
        | values
    )


def test_order_is_cost_among_those_that_attain_then_distance() -> None:
    rows = [
        row("far", slo_iwf=0.5, cost_usd=0.1),
        row("dear", cost_usd=3.0),
        row("near", slo_iwf=0.949, cost_usd=0.5),
        row("cheap", cost_usd=2.0),
    ]
    outcome: Outcome = conclude(rows, TARGETS)  # type: ignore[arg-type]
    assert [agent.agent for agent in outcome.agents] == ["cheap", "dear", "near", "far"]
    said = legend(outcome, terminal=True, wide=False)[0]
    assert "cheapest that meets every target" in said and "red" in said


def test_flat_attainment_is_shown_where_it_differs() -> None:
    same = conclude([row("a")], TARGETS)  # type: ignore[arg-type]
    assert "slo_flat_iwf" not in [column.name for column in columns_of(same)]
    other = conclude([row("a", slo_flat_iwf=0.5)], TARGETS)  # type: ignore[arg-type]
    names = [column.name for column in columns_of(other, wide=False)]
    assert names == ["cost_per_day_usd", *TARGETS, "slo_flat_iwf", "e2e_p95_iwf", "unfinished"]
