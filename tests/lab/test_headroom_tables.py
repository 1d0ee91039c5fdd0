"""Tables of published headroom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.headroom_tables import headroom_tables
from sageserve_bench.errors import UserError

REPORT: dict[str, Any] = {
    "scenario": "mine",
    "command": "sageserve headroom mine",
    "least_fleet_usd": 5.0,
    "static_usd": 180.0,
    "rule": "kpa",
    "rule_usd": 130.0,
    "rule_service": {"slo_iwf": 0.95, "slo_iwn": 1.0},
    "planner": "ilp",
    "planner_usd": 120.0,
    "hindsight_usd": 100.0,
    "headroom": 0.2,
    "headroom_decision": 0.05,
    "frozen": {"batch": 0.03, "routing": 0.001},
    "agent_frozen": {
        "batch": {"more": 0.01, "said": "between"},
        "hardware": {"more": None, "said": "never attains"},
        "routing": {"more": 0.03, "said": "at most"},
    },
    "hindsight_plays": 9,
    "seeds": [{"seed": 2000, "rival_usd": 120.0}],
}
REPORT["intervals"] = {key: [v, v] for key, v in REPORT.items() if key.endswith("_usd")}
REPORT["intervals"] |= {"rule_usd": [120.0, 140.0], "headroom": [0.1, 0.3]}


def test_tables_of_headroom_by_hand(tmp_path: Path) -> None:
    make = headroom_tables(tmp_path)
    assert make("conditions") == "No headroom is published yet."
    with pytest.raises(UserError, match="not published"):
        make("mine")
    (tmp_path / "mine.json").write_text(json.dumps(REPORT))
    table = make("mine")
    assert "| best rule | `kpa` | 130 (120 to 140) | 95.00 | 100.00 |  |  |" in table
    assert "Seeds 2000; 9 plays" in table and "learned" not in table
    row = make("conditions").splitlines()[2]
    knobs = "1.0 / ≤ 3.0 | **never attains** / - | at most 3.0 % / ≤ 0.1"
    assert row == f"| `mine` | **4.2** | **20.0** (10.0 to 30.0) | 5.0 | **50.0** | {knobs} |"


@pytest.mark.parametrize(("attained", "shown"), [(0.96, "**50.0**"), (0.94, "> **50.0**")])
def test_a_static_fleet_that_serves_less_is_marked(
    tmp_path: Path, attained: float, shown: str
) -> None:
    report = {**REPORT, "asked": {"slo_iwf": 0.95}, "static_service": {"slo_iwf": attained}}
    (tmp_path / "mine.json").write_text(json.dumps(report))
    row = headroom_tables(tmp_path)("conditions").splitlines()[2]
    assert row.split(" | ")[4] == shown


def test_a_knob_that_the_scenario_does_not_hand_over_is_in_parentheses(tmp_path: Path) -> None:
    shown = {}
    for name in ("tiny", "global-day"):  # refusals are charged on the second alone
        frozen = {"admission": 0.03, "batch": 0.01}
        report = {**REPORT, "scenario": name, "frozen": frozen, "agent_frozen": {}}
        report["hindsight_service"] = {"slo_niw": 1.0} if name == "tiny" else {}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    for row in headroom_tables(tmp_path)("conditions").splitlines()[2:]:
        cells = row.strip("| ").split(" | ")
        shown[cells[0]] = cells[-2:]
    assert shown == {
        "`global-day`": ["- / ≤ 3.0", "(- / ≤ 1.0)"],
        "`tiny`": ["(- / ≤ 3.0)", "- / ≤ 1.0"],
    }
