"""Comparisons on real-shaped traces: Azure 2024 code week, Azure 2023 and Mooncake."""

from __future__ import annotations

from pathlib import Path

import pytest

import sageserve_bench
from sageserve_cli import cli
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_traces import make_trace

AGENTS = ["reactive", "ilp"]


@pytest.fixture(autouse=True)
def shared_traces(monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("the shared trace files (../shared/traces) are not on this machine")
    monkeypatch.setenv("SAGESERVE_TRACE_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def cluster() -> Scenario:
    return load_scenario("o365-day").replace(horizon_s=5400.0)


@pytest.mark.parametrize(
    ("trace", "tile", "scale", "requests"),
    [
        ("azure-2024-code-week", None, 4.0, 4 * 1330 * 90),  # first hours: about 1,330 a minute
        ("azure-2023-conv", "90m", 20.0, 20 * 19_366 * 90 / 58),
        ("mooncake-conversation", "90m", 2.0, 2 * 12_031 * 90 / 59),
    ],
)
def test_a_short_comparison(
    cluster: Scenario, trace: str, tile: str | None, scale: float, requests: float
) -> None:
    rows = sageserve_bench.compare(
        AGENTS, scenario=cluster, trace=trace, tile=tile, rate_scale=scale, seeds=1
    )
    assert list(rows["agent"]) == AGENTS
    assert set(rows["split"]) == {"test"}
    assert rows["requests"].nunique() == 1
    assert rows["requests"][0] == pytest.approx(requests, rel=0.1)
    assert (rows["completed"] + rows["unfinished"] == rows["requests"]).all()
    assert (rows["planner_failures"].fillna(0) == 0).all()
    assert (rows["slo_iwn"] > 0.9).all()
    assert rows["gpu_hours"].between(8 * 24 * 1.5, 8 * 240 * 1.5).all()


def test_the_code_week_is_the_curve_with_the_code_tokens() -> None:
    week = make_trace("azure-2024-code-week", seed=2000)
    assert (week.start_weekday, week.start_hour_utc, week.split) == (4, 0.0, "test")
    pairs = make_trace("azure-2023-code", seed=0)
    hour = make_trace("azure-2024-code-week", seed=2000, horizon_s=3600.0)
    prompts = {int(p) for chunk in hour.chunks() for p in chunk.prompt_tokens}
    known = {int(p) for chunk in pairs.chunks() for p in chunk.prompt_tokens}
    assert prompts <= known


def test_a_user_makes_such_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "code.parquet"
    words = "trace make azure-2024-code-week --length 30min --rate-scale 2 --seed 2000 -o"
    assert cli.run([*words.split(), str(made)]) == 0
    assert cli.run(["trace", "info", str(made)]) == 0
    assert "Fri 00:00 UTC" in capsys.readouterr().out
