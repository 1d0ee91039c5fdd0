"""The comparison of routers with a fixed fleet, on minutes of a day."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lab import routers


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routers, "TEST_SEEDS", (2000,))
    monkeypatch.setattr(routers, "OTHER_SEEDS", (2010,))
    monkeypatch.setattr(routers, "MOST_PER_ENDPOINT", 2)


@pytest.mark.usefixtures("short")
def test_presets_and_weights_that_were_found(tmp_path: Path) -> None:
    told: list[str] = []
    routers.compare_routers(tmp_path, 2, told.append, fleets=("3 x h100x2",), hours=0.25)
    rows = rows_of(tmp_path / "ttft.csv")
    assert [row["router"] for row in rows] == [*routers.ROUTERS, "tuned", "tuned_types", "learned"]
    assert all(float(row["ttft_mean_s"]) > 0 for row in rows)
    found = {row["router"]: row["weights"] for row in rows}
    assert found["tuned"].startswith("prefix_s:-1/running:0.01")  # one setting each: the preset
    assert "prompt_s" not in found["tuned"]
    assert "prompt_s:0.02" in found["tuned_types"]
    assert "gpt-oss-120b.prompt_s:0.02" in found["learned"]
    routers.play_again(tmp_path, told.append, hours=0.25)
    again = rows_of(tmp_path / "other_days.csv")
    assert {row["router"]: row["weights"] for row in again} == {k: v for k, v in found.items() if v}
    assert {row["seed"] for row in again} == {"2010"}
    least = rows_of(tmp_path / "equal_service.csv")
    assert [row["router"] for row in least] == [row["router"] for row in rows]
    assert {row["per_endpoint"] for row in least} == {"2"}


def test_a_router_that_looks_for_what_is_cached_finds_more_of_it() -> None:
    fleet = {"h100x2": 3}
    blind, aware = (
        routers.serve(router, "", fleet, 2000, 0.5) for router in ("least_wait", "prefix_affinity")
    )
    assert aware.metrics["requests"] == pytest.approx(blind.metrics["requests"], rel=0.02)
    assert aware.metrics["prefix_hit_rate"] > 1.1 * float(blind.metrics["prefix_hit_rate"])
    assert aware.mean_ttft_s < blind.mean_ttft_s
    same = routers.serve("prefix_affinity", "", fleet, 2000, 0.5)
    assert same.mean_ttft_s == aware.mean_ttft_s


def test_a_fleet_that_is_far_too_small_does_not_attain() -> None:
    day = routers.serve("least_wait", "", {"b200x1": 0, "h100x2": 1}, 2001, 0.5)
    more = routers.serve("least_wait", "", {"h100x2": 5}, 2001, 0.5)
    assert more.attains and more.mean_ttft_s < day.mean_ttft_s
    assert float(day.metrics["cost_usd"]) < float(more.metrics["cost_usd"])
