"""What a comparison says it took for granted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sageserve_bench.analysis.assumptions import assumptions, duration
from sageserve_bench.analysis.outcome import conclude
from sageserve_bench.rows import Row
from sageserve_bench.runs.grid import make_grid
from sageserve_env.scenario import Scenario, load_scenario


def lines(scenario: Scenario, rows: list[Row], **keywords: object) -> dict[str, str]:
    """Return the lines by their first word."""
    grid = make_grid("static", scenario=scenario, **{"trace": None, "seeds": 1} | keywords)  # type: ignore[arg-type]
    return {line.partition(":")[0]: line for line in assumptions(grid, rows)}


def row(vms: float, horizon_s: float = 86_400.0) -> Row:
    return {"agent": "a", "vm_hours": vms * horizon_s / 3600.0, "horizon_s": horizon_s}


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """Return a trace of 50 minutes in the native form, without model, region and tier."""
    path = tmp_path / "long.csv"
    body = "".join(f"{i * 3.0},{100 + i % 50},20\n" for i in range(1000))
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + body, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (5.0, "5 s"), (90.0, "1.5 min"), (3599.0, "59.98 min"), (604_800.0, "168 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_file_that_is_cut_is_said(small: Scenario, long_file: Path) -> None:
    said = lines(small, [row(8.0, 900.0)], trace=str(long_file))
    assert "only the first 15 min of 49.97 min were played" in said["Trace long.csv"]
    assert "drawn at random by the seed: model, region, tier" in said["Trace long.csv"]
    said = lines(small, [row(8.0, 900.0)], trace=str(long_file), tile="2h")
    assert "only the first" not in said["Trace long.csv"]


def test_what_seeds_mean_for_a_file(small: Scenario, long_file: Path) -> None:
    said = lines(small, [row(8.0, 900.0)], trace=str(long_file), seeds=2)
    assert "every run has the arrivals of the file" in said["Seeds"]
    assert "forecasts begin cold" in said["History"]
    assert "Seeds" not in lines(small, [row(8.0, 900.0)], trace=str(long_file))
    assert not {"Seeds", "History"} & lines(small, [row(8.0, 900.0)], seeds=2).keys()


def test_a_short_run_is_coloured_by_its_start() -> None:
    day = load_scenario("o365-day")
    said = lines(day, [row(30.0, 3600.0)])
    assert "1 h were simulated" in said["Length"] and "the 96 VMs" in said["Length"]
    assert "96 VMs" not in lines(day, [row(30.0, 43_200.0)])["Length"]
    assert "Length" not in lines(day, [row(30.0)])


def test_service_in_words() -> None:
    assert lines(load_scenario("o365-day"), [row(60.0)])["Service"].startswith(
        "Service: 95 % of IW-F requests (first token within 1 s), 95 % of IW-N requests (first "
        "token within 1 min), 99.9 % of NIW requests (answer complete within 24 h); no model below "
        "90 %."
    )


def test_the_least_fleet_is_said_and_whether_it_is_the_answer() -> None:
    day = load_scenario("o365-day")
    # 2 instances x 4 models x 3 regions at $32.77 an hour.
    said = lines(day, [row(60.0), row(73.0)])["Least fleet"]
    assert "24 VMs or $18,876 a day" in said and "hardly larger" not in said
    assert "hardly larger" in lines(day, [row(60.0), row(25.0)])["Least fleet"]
    assert "Least fleet" not in lines(day.replace(min_instances=0), [row(25.0)])


def test_verdict_on_a_hair_and_on_an_hour() -> None:
    def run(agent: str, cost_usd: float, horizon_s: float) -> Row:
        return row(30.0, horizon_s) | {
            "agent": agent,
            "seed": 1,
            "trace": "t",
            "cost_usd": cost_usd,
            "gpu_hours": 240.0,
            "vms_peak": 96,
            "slo_iwf": 1.0,
        }

    targets = {"slo_iwf": 0.95}
    day = [run("a", 1000.0, 86_400.0), run("b", 1009.0, 86_400.0), run("c", 2000.0, 86_400.0)]
    text = " ".join(conclude(day, targets).verdict)
    assert "a saves 0.9%, $274 a month, practically the same." in text
    assert "30 VMs on average (96 at the peak)" in text
    assert "practically" not in " ".join(conclude(day[1:], targets).verdict)
    hour = " ".join(conclude([run("a", 1000.0, 3600.0)], targets).verdict)
    assert "30 VMs on average, 240 GPU-hours" in hour


def test_which_agents_have_the_options_that_ship() -> None:
    agents = ["ilp", "hpa:calibrated=no", "ilp:rho=1"]

    def said_of(agents: list[str], scenario: str) -> dict[str, str]:
        grid = make_grid(agents, scenario=scenario, trace=None, seeds=1)
        return {line.partition(":")[0]: line for line in assumptions(grid, [row(9.0)])}

    said = said_of(agents, "o365-day")["Options"]
    assert said == (
        "Options: calibrated to o365-day for ilp, ilp:rho=1 (ilp:calibrated=no is without); as "
        "they come or are given for hpa:calibrated=no."
    )
    assert "Options" not in said_of(["ilp"], "trap-base")
