"""The paper's experiments at a small size: rows, tables beside the paper's figures, plots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import __main__ as cli
from lab.__main__ import makers
from lab.experiments.definition import TUNED, UNTUNED, Arm
from lab.experiments.execute import read_tuned, run_experiment, scenario_of
from lab.experiments.outcomes import load, outcomes_of, read_experiment
from lab.experiments.paper import COOLDOWNS_S, EXPERIMENTS, THRESHOLDS, with_option
from lab.experiments.tables import claims, document, saving, table
from lab.markers import filled
from sageserve_agents import make_agent
from sageserve_bench.analysis.outcome import conclude
from sageserve_bench.errors import UserError
from sageserve_bench.published import read_published
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row

TUNED_SPECS = {
    "reactive": "reactive:in_ratio=0.3;out_above=0.5",
    "siloed": "siloed:out_above=0.4",
    "lt-ua": "lt-ua:rho=0.6",
}


def tuned_folder(path: Path) -> Path:
    path.mkdir()
    for name, spec in TUNED_SPECS.items():
        text = json.dumps({"agents": {name: {"spec": spec}}})
        (path / f"{name}.json").write_text(text)
    return path


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_is_whole(name: str) -> None:
    experiment = EXPERIMENTS[name]
    for tuned in ({}, TUNED_SPECS):
        arms = experiment.arms(tuned)
        labels = [arm.label for arm in arms]
        assert len(set(labels)) == len(labels)
        for group in {arm.group for arm in arms}:
            assert [arm.reference for arm in arms if arm.group == group].count(True) == 1
        for arm in arms:
            make_agent(arm.spec)
        if experiment.axis:
            assert all(arm.x is not None for arm in arms)
    assert {arm.group for arm in experiment.arms({})} == {UNTUNED}
    for scenario in experiment.scenarios:
        assert load(scenario).name == scenario
        assert scenario_of(experiment, scenario, quick=True).horizon_s < 7200
    for claim in experiment.claims:
        assert "2502.14617" in claim.source
        # what ours is compared with is said, and is not put into the paper's mouth
        assert "here" in claim.what and claim.what.endswith("against `reactive`")
        assert {arm.label for arm in experiment.arms({}) if arm.reference} == {"reactive"}


def test_the_sweeps_have_the_paper_s_values() -> None:
    arms = EXPERIMENTS["lt-ua-threshold"].arms(TUNED_SPECS)
    assert [arm.x for arm in arms if arm.group == UNTUNED] == list(THRESHOLDS)
    assert [arm.x for arm in arms if arm.reference] == [5, 5]
    assert "lt-ua:rho=0.6;beyond=7" in {arm.spec for arm in arms}
    arms = EXPERIMENTS["cooldown"].arms(TUNED_SPECS)
    assert [arm.x for arm in arms if arm.group == TUNED] == list(COOLDOWNS_S)
    assert with_option("reactive:cooldown_s=92.9", "cooldown_s", 240) == "reactive:cooldown_s=240"


@pytest.mark.parametrize("name", ["siloed-vs-unified", "cooldown"])
def test_a_quick_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = tuned_folder(tmp_path / "tuned")
    out = tmp_path / "out"
    words = ["experiment", name, "--quick", "--tuned", str(tuned), "--output", str(out)]
    assert cli.run(words) == 0
    shown = capsys.readouterr().out
    arms = EXPERIMENTS[name].arms(TUNED_SPECS)
    assert all(f"`{arm.label}`" in shown for arm in arms)
    rows = Store(out).read_rows()
    assert len(rows) == len({arm.spec for arm in arms})
    assert {row["seed"] for row in rows} == {2000}
    page = (out / "table.md").read_text()
    assert page == document(outcomes_of(EXPERIMENTS[name], arms, rows))
    assert page == document(read_experiment(out))
    png = (out / "plot.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) < 150_000
    command = (out / "command.txt").read_text()
    assert command.startswith(f"python -m lab experiment {name}") and str(tmp_path) not in command
    assert command.endswith("--quick --tuned tuned\n")


def test_what_is_published_is_whole(repository: Path) -> None:
    """Tables are those of the rows, plots are there, seeds are test seeds."""
    folder = repository / "benchmarks" / "results" / "paper"
    published = sorted(path.parent for path in folder.glob("*/results.csv"))
    for one in published:
        outcomes = read_experiment(one)
        assert (one / "table.md").read_text() == document(outcomes)
        assert one.name.removesuffix("-week") == outcomes.experiment.name
        assert {row["split"] for row in outcomes.rows} == {"test"}
        assert (one / "plot.png").read_bytes().startswith(b"\x89PNG")
        assert (one / "plot.png").stat().st_size < 150_000
        assert "--quick" not in (one / "command.txt").read_text()
    assert not any(p.name.startswith("paper") for p in read_published(folder.parent))


def test_an_experiment_that_is_not_published(repository: Path) -> None:
    page = "a\n<!-- experiment none -->\nold\n<!-- /experiment -->\nb\n"
    with pytest.raises(UserError, match="holds no experiment"):
        filled(page, makers(repository / "benchmarks" / "results"))


def row(agent: str, gpu_hours: float, waste: float, **changes: float) -> Row:
    service = dict.fromkeys(("slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model"), 1.0)
    plain: Row = {
        "agent": agent,
        "scenario": "o365-day",
        "trace": "o365",
        "seed": 2000,
        "requests": 1000,
        "unfinished": 0,
        "horizon_s": 43_200.0,
        "gpu_hours": gpu_hours,
        "vm_hours": gpu_hours / 8,
        "cost_usd": gpu_hours * 4.0,
        "scaling_waste_gpu_hours": waste,
        "ttft_p95_iwf": 1.0,
        "clairvoyant": 0,
    }
    return {**plain, **service, **changes}


def test_the_tables_by_hand() -> None:
    """Half a day: what is shown is per day, savings are against the group's reference."""
    experiment = EXPERIMENTS["strategies"]
    arms = (
        Arm("reactive", "reactive", UNTUNED, True),
        Arm("lt-i", "lt-i"),
        Arm("lt-u", "lt-u"),
        Arm("lt-ua", "lt-ua"),  # has no rows
    )
    rows = [
        row("reactive", 1000.0, 50.0),
        row("lt-i", 600.0, 5.0, slo_iwf=0.90),
        row("lt-u", 900.0, 20.0),
    ]
    outcomes = outcomes_of(experiment, arms, rows)
    results = outcomes.by_scenario["o365-day"]
    assert [arm.label for arm in results] == ["reactive", "lt-i", "lt-u"]
    assert saving(arms[1], results, "gpu_hours") == pytest.approx(0.4)
    assert saving(arms[2], results, "scaling_waste_gpu_hours") == pytest.approx(0.6)
    shown = table(results, 43_200.0)
    assert "| `reactive` | 1 | 8,000 | 2,000 | - | 100 | - |" in shown
    assert "| `lt-u` | 1 | 7,200 | 1,800 | 10.0 % | 40 | 60.0 % |" in shown
    assert "IW-F 90.00% < 95.0%" in shown
    beside = claims(outcomes, results)
    assert "up to 25 % | 10.0 % (`lt-u`) |" in beside  # lt-i saves more but misses its service
    assert "| 80 % | 60.0 % (`lt-u`) |" in beside
    nobody = outcomes_of(experiment, arms[:2], rows[:2])
    assert "40.0 % (`lt-i`); `lt-i` below the service" in claims(
        nobody, nobody.by_scenario["o365-day"]
    )
    misses = {agent.agent: agent.misses for agent in conclude(rows, {"slo_iwf": 0.95}).agents}
    assert misses["lt-i"] and not misses["lt-u"] and not misses["reactive"]


def test_dollars_a_month() -> None:
    arms = (Arm("reactive", "reactive", UNTUNED, True), Arm("lt-i", "lt-i"))
    rows = [row("reactive", 1000.0, 50.0), row("lt-i", 900.0, 5.0)]
    outcomes = outcomes_of(EXPERIMENTS["scale-9.7"], arms, rows)
    beside = claims(outcomes, outcomes.by_scenario["o365-day"])
    assert f"${800 * 365.25 / 12:,.0f} (`lt-i`)" in beside


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["experiment", "strategie"], "did you mean 'strategies'"),
        (["experiment", "burst", "--week", "-o", str(tmp_path / "x")], "has no week"),
    ):
        assert cli.run(words) == 2
        assert message in capsys.readouterr().err
    assert cli.run(["experiment"]) == 0
    assert "lt-ua-threshold" in capsys.readouterr().out
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(UserError, match=r"bad\.json: is no file of sageserve"):
        read_tuned(tmp_path)
    assert read_tuned(tmp_path / "nowhere") == {}


def test_the_week_takes_the_place_of_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.experiments import execute

    asked: list[str] = []

    def run_grid(grid: object, *_: object) -> list[Row]:
        asked.append(grid.scenario.name)  # type: ignore[attr-defined]
        return [row(str(a), 1.0, 1.0) for a in grid.agents]  # type: ignore[attr-defined]

    monkeypatch.setattr(execute, "run_grid", run_grid)
    run_experiment(EXPERIMENTS["strategies"], tmp_path, week=True, seeds=1)
    assert asked == ["o365-week"]
