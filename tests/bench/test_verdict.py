"""The verdict: what it may rest on, what a tie is, and who is nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.report.table import outcome_table
from sageserve_bench.rows import Row

TARGETS = {"slo_iwf": 0.95, "slo_iwn": 0.95, "slo_niw": 0.999, "slo_worst_model": 0.9}


def row(agent: str, **values: float | int | None) -> Row:
    base: Row = {
        "agent": agent,
        "trace": "t",
        "seed": 1,
        "horizon_s": 86_400.0,
        "requests": 1000,
        "unfinished": 0,
        "cost_usd": 1000.0,
        "vm_hours": 240.0,
        "gpu_hours": 1920.0,
        "slo_iwf": 0.99,
        "slo_iwn": 0.99,
        "slo_niw": 1.0,
        "slo_worst_model": 0.95,
        "planner_failures": 0,
        "plans": 0,
    }
    return base | values


def said(*rows: Row, least_vms: float = 0.0) -> tuple[Outcome, str]:
    outcome = conclude(rows, TARGETS, least_vms=least_vms)
    return outcome, " ".join(outcome.verdict)


def shown(outcome: Outcome) -> str:
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(outcome_table(outcome))
    return captured.get()


def test_failed_plans_are_not_crowned() -> None:
    failed = row("ilp:time_limit_s=0", cost_usd=500.0, planner_failures=2, plans=2)
    outcome, text = said(failed, row("static"))
    assert (
        "attains every service target (IW-F 95, IW-N 95, NIW 99.9, worst model 90 %): static"
        in text
    )
    assert "ilp:time_limit_s=0 costs less ($500 a day), but 2 of 2 plans failed" in text
    assert "ilp:time_limit_s=0: 2 of its 2 plans failed" in text
    assert outcome.agents[-1].misses == ("2 of 2 plans failed",)
    table = shown(outcome)
    assert "failed" in table
    text = said(failed)[1]
    assert text.startswith("No policy attains every service target")
    assert "2 of 2 plans failed" in text


def test_one_failed_plan_of_many_is_said_but_decides_nothing() -> None:
    outcome, text = said(row("ilp", planner_failures=1, plans=480))
    assert outcome.agents[0].attains
    assert "ilp: 1 of its 480 plans failed" in text
    assert "failed" not in shown(said(row("ilp", plans=480))[0])


def test_a_tier_of_which_nothing_fell_due_is_a_dash() -> None:
    left = {"unfinished": 4, "unfinished_niw": 4, "oldest_unfinished_niw_s": 7200.0}
    left["oldest_unfinished_s"] = 7200.0
    outcome, text = said(
        row("static", slo_niw=None, **left), row("ilp", slo_niw=None, cost_usd=900.0)
    )
    assert "(IW-F 95, IW-N 95, worst model 90 %): ilp" in text
    assert "NIW: nothing fell due, so that target was not put to the test; static leaves 4" in text
    assert "(the oldest 2 h old)" in text
    lines = shown(outcome).splitlines()
    assert "NIW %" in lines[1] or "NIW %" in lines[2]
    assert any("ilp" in line and " - " in line for line in lines)
    assert any("static" in line and "2 h" in line for line in lines)


def test_nothing_rests_on_no_requests() -> None:
    nothing = {"slo_iwf": None, "slo_iwn": None, "slo_niw": None, "slo_worst_model": None}
    outcome, text = said(row("static", requests=0, **nothing))
    assert text.startswith("No request fell due, so nothing can be said about any policy.")
    assert not outcome.agents[0].attains
    outcome, text = said(row("static", requests=0, cost_usd=1.0), row("ilp"))
    assert "worst model 90 %): ilp" in text
    assert "static costs less ($1.00 a day), but no request was served" in text


def test_ties_are_called_ties() -> None:
    text = said(row("static"), row("reactive"), row("ilp"), row("kpa", cost_usd=1500.0))[1]
    assert "is a tie: static, reactive and ilp, with 10 VMs on average" in text
    assert "$1,000 a day" in text
    assert "Next is kpa at $1,500 a day: static saves 33.3 %" in text.replace("33.3%", "33.3 %")


def test_at_the_least_fleet_the_last_cents_are_a_tie() -> None:
    rows = [row("static"), row("ilp", cost_usd=1004.0)]
    assert "is a tie" not in said(*rows)[1]
    text = said(*rows, least_vms=10.0)[1]
    assert "is a tie: static and ilp, with 10 VMs on average" in text
    assert "(the least fleet)" in text


def test_the_nearest_is_nearest_to_the_targets() -> None:
    near = row(
        "near", slo_iwf=0.949, slo_iwn=0.948, cost_usd=2000.0
    )  # two targets missed by little
    far = row("far", slo_iwf=0.5, cost_usd=100.0)
    outcome, text = said(far, near)
    assert "Nearest is near at $2,000 a day" in text
    assert [a.agent for a in outcome.agents] == ["near", "far"]


def test_the_table_is_ordered_by_cost_then_by_distance() -> None:
    rows = [
        row("a", cost_usd=9.0),
        row("b", slo_iwf=0.6),
        row("c", cost_usd=5.0),
        row("d", slo_iwf=0.9),
    ]
    assert [a.agent for a in said(*rows)[0].agents] == ["c", "a", "d", "b"]


def test_an_empty_episode_and_a_raising_agent_are_named(tmp_path: Path) -> None:
    import numpy as np

    from sageserve_bench import compare
    from sageserve_traces import RequestTrace

    zeros = np.zeros(3, dtype=np.int16)
    tokens = np.full(3, 50, dtype=np.int32)
    arrival = np.array([819_001.0, 819_002.0, 819_003.0])
    late = RequestTrace(arrival, zeros, zeros, zeros, tokens, tokens)
    with pytest.raises(ValueError, match=r"no request arrives .* after 819001 s; start_s"):
        compare("static", scenario="trap-base", trace=late)
    agent = tmp_path / "mine.py"
    agent.write_text(
        "class Mine:\n"
        "    name, pooling, clairvoyant = 'mine', 'unified', False\n"
        "    def reset(self, scenario, seed, history):\n        pass\n"
        "    def act(self, view):\n        return {}['x']\n"
    )
    soon = RequestTrace(arrival - 819_001.0, zeros, zeros, zeros, tokens, tokens, duration_s=120.0)
    with pytest.raises(ValueError, match=r"agent 'mine' at 0 s: KeyError: 'x'"):
        compare(f"{agent}:Mine", scenario="trap-base", trace=soon)


def test_what_a_kind_of_agent_saves_over_the_one_before() -> None:
    rows = [
        row(agent, seed=seed, cost_usd=usd + seed)
        for agent, usd in (("static", 900.0), ("reactive", 200.0), ("hpa", 250.0), ("ilp", 160.0))
        for seed in range(3)
    ]
    _, text = said(*rows)
    # 40 dollars of 201 on average, on every seed
    assert "The best planner (ilp) saves 19.9% against the best rule (reactive)" in text
    assert "95 % interval +19.9% to +19.9%" in text
    assert "learned agent" not in text


def test_a_kind_of_agent_that_costs_more_than_the_one_before() -> None:
    rows = [
        row(agent, seed=seed, cost_usd=usd + seed)
        for agent, usd in (("reactive", 200.0), ("ilp", 240.0))
        for seed in range(3)
    ]
    _, text = said(*rows)
    assert "The best planner (ilp) costs 19.9% more than the best rule (reactive)" in text
    assert "95 % interval +19.9% to +19.9%" in text
