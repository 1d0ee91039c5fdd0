"""The report is one file with everything in it, and the verdict says what the rows say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from sageserve_bench.analysis.outcome import conclude
from sageserve_bench.errors import UserError
from sageserve_bench.report.page import rebuild_report, settings
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row
from sageserve_bench.wording import short_names

TARGETS = {"slo_iwf": 0.95, "slo_worst_model": 0.9}


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_report_needs_nothing_else(compared: tuple[Path, pd.DataFrame]) -> None:
    html = page(compared[0])
    assert "plotly.js v" in html and "Plotly.react" in html
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", own)
    assert "http" not in own
    assert 'name="viewport"' in own
    assert "{{" not in own and "{%" not in own


def test_report_data(compared: tuple[Path, pd.DataFrame]) -> None:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page(compared[0]))
    assert text is not None
    data = json.loads(text[1])
    assert [a["name"] for a in data["agents"]] == ["static", "reactive"]
    assert data["endpoints"] == ["llama-2-70b/westus", "llama-2-70b/eastus"]
    run = data["runs"][0]
    assert len(run["series"]["active"]) == 2
    assert len(run["series"]["active"][0]) == len(run["hours"]) == 15
    static = compared[1][compared[1]["agent"] == "static"]
    split = data["costs"][0]
    assert sum(split["model"]) == pytest.approx(static["cost_usd"].mean() * 96, rel=1e-3)
    assert sum(split["model"]) == pytest.approx(sum(split["region"]), rel=1e-3)
    curve = next(c for c in data["latency"] if c["agent"] == "static" and c["model"] == "")
    assert curve["seconds"] == sorted(curve["seconds"])


def test_report_is_rebuilt_from_the_folder(compared: tuple[Path, pd.DataFrame]) -> None:
    folder = compared[0]
    before = page(folder)
    (folder / "report.html").unlink()
    rebuild_report(Store(folder))
    assert page(folder) == before


def test_report_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results\.csv: not found"):
        rebuild_report(Store(tmp_path))


def test_long_specifications_are_cut_where_there_is_little_room() -> None:
    tuned = [f"mpc:quantile=0.5968;beta={beta};rho=0.9495" for beta in (0.6, 0.9)]
    own, alone = "my_agent.py:MyAgent:margin=0.7", "ilp:forecaster=arima;router=threshold"
    names = short_names(["static", *tuned, own, alone, "reactive", "reactive:out_above=0.65;x=1"])
    assert list(names.values()) == [
        *("static", "mpc #1", "mpc #2", "MyAgent", "ilp", "reactive", "reactive #1"),
    ]
    said = settings(conclude([row(agent, 1, 10.0, 0.99) for agent in ("static", alone)], TARGETS))
    assert said == {"ilp": alone}
    assert settings(conclude([row("static", 1, 10.0, 0.99)], TARGETS)) == {}


def row(agent: str, seed: int, cost: float, slo: float, clairvoyant: int = 0) -> Row:
    return {
        "agent": agent,
        "trace": "t",
        "seed": seed,
        "cost_usd": cost,
        "gpu_hours": cost / 4,
        "horizon_s": 43_200.0,
        "slo_iwf": slo,
        "slo_worst_model": slo,
        "clairvoyant": clairvoyant,
    }


def test_verdict_with_many_seeds() -> None:
    rows = [
        row(agent, seed, cost + seed, slo, clairvoyant)
        for seed in range(4)
        for agent, cost, slo, clairvoyant in (
            ("static", 200.0, 0.99, 0),
            ("ilp", 100.0, 0.96, 0),
            ("cheap", 50.0, 0.91, 0),
            ("oracle", 80.0, 0.97, 1),
        )
    ]
    outcome = conclude(rows, TARGETS)
    text = " ".join(outcome.verdict)
    # Half a day costs 101.5 on average: 203 a day, 30.4375 days a month.
    assert "attains every service target (IW-F 95, worst model 90 %): ilp" in text
    assert "$203 a day, $6,179 a month" in text
    assert "Next is static at $403 a day: ilp saves 49.6%" in text
    assert "cheap costs less ($103 a day), but IW-F 91.00% < 95.0%" in text
    assert "on 4 paired runs ilp is $200 a day cheaper than static" in text
    assert "excludes zero" in text and "probability 1.00" in text
    assert outcome.front == ("cheap", "oracle", "static")


def test_verdict_without_a_winner() -> None:
    text = " ".join(conclude([row("a", 1, 10.0, 0.8), row("b", 1, 5.0, 0.94)], TARGETS).verdict)
    assert text.startswith("No policy attains every service target")
    assert "Nearest is b at $10.00 a day, but IW-F 94.00% < 95.0%" in text
    text = " ".join(conclude([row("oracle", 1, 10.0, 0.99, 1)], TARGETS).verdict)
    assert text.startswith("Only clairvoyant agents ran")


def test_verdict_of_one_run() -> None:
    text = " ".join(conclude([row("a", 1, 10.0, 0.99)], TARGETS).verdict)
    assert "one run only, so no interval can be given" in text
