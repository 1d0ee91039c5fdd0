"""What the README shows of a published comparison."""

from __future__ import annotations

from pathlib import Path

from lab.headline import NOTHING, chart, table, top
from sageserve_bench.analysis.outcome import conclude
from sageserve_bench.published import Published
from sageserve_bench.rows import Row

TARGETS = {"slo_iwf": 0.95}
COSTS = {"static": 9.0, "reactive": 3.0, "hpa": 4.0, "kpa": 5.0, "ilp": 2.0, "mpc": 2.5}


def rows() -> list[Row]:
    return [
        {
            "agent": agent,
            "scenario": "tiny",
            "trace": "t",
            "seed": seed,
            "cost_usd": 1000.0 * usd,
            "horizon_s": 86_400.0,
            "gpu_hours": 10.0,
            "slo_iwf": 0.97,
            "requests": 100,
            "unfinished": 0,
        }
        for agent, usd in COSTS.items()
        for seed in range(2)
    ]


def test_five_rows_with_the_best_of_each_kind_and_the_fixed_fleet() -> None:
    lines = table(conclude(rows(), TARGETS)).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == ["ilp", "mpc", "reactive", "hpa", "static"]
    assert lines[0] == "| `ilp` | 2,000 | 10 | 97.00 | - |"
    assert top([])("global-day") == NOTHING


def test_the_chart_is_a_picture(tmp_path: Path) -> None:
    published = Published("tiny", tmp_path, ("--scenario", "tiny"), tuple(rows()))
    chart(published, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
