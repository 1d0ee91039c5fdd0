"""Running an experiment: a comparison per scenario, then rows, table and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab.experiments.bounds import BOUNDS, BoundRow, bounds_of, write_bounds
from lab.experiments.definition import Experiment, Tuned
from lab.experiments.outcomes import Outcomes, load, outcomes_of
from lab.experiments.plots import plot
from lab.experiments.tables import document
from sageserve_bench.comparison import run_grid
from sageserve_bench.errors import UserError
from sageserve_bench.published import ARMS, COMMAND
from sageserve_bench.report.progress import Reporter
from sageserve_bench.results.store import RESULTS, Store
from sageserve_bench.rows import Row, write_json, write_text
from sageserve_bench.runs.agent_files import read_specs
from sageserve_bench.runs.grid import make_grid
from sageserve_bench.runs.pools import Backend
from sageserve_env.scenario import Scenario

TABLE, PLOT = "table.md", "plot.png"
QUICK_HORIZON_S = 1800.0
WEEK = {"o365-day": "o365-week"}
"""Scenario that ``--week`` takes instead of another."""


def read_tuned(folder: Path) -> dict[str, str]:
    """Return the tuned specifications of a folder of `sageserve tune`, by agent.

    A folder that is not there holds none.

    Raises:
        UserError: If a file in it is no file of `sageserve tune`.
    """
    specs = [spec for path in sorted(folder.glob("*.json")) for spec in read_specs(path)]
    return {spec.partition(":")[0]: spec for spec in specs}


def scenario_of(experiment: Experiment, name: str, *, quick: bool) -> Scenario:
    """Return a scenario of an experiment."""
    scenario = load(name)
    if experiment.decision_interval_s is not None:
        scenario = scenario.replace(decision_interval_s=experiment.decision_interval_s)
    return scenario.replace(horizon_s=QUICK_HORIZON_S) if quick else scenario


def run_experiment(
    experiment: Experiment,
    folder: Path,
    *,
    seeds: int | Sequence[int] | None = None,
    quick: bool = False,
    week: bool = False,
    tuned: Tuned | None = None,
    backend: Backend | None = None,
    reporter: Reporter | None = None,
) -> Outcomes:
    """Run every arm on every scenario; finished runs in the folder are not repeated.

    Args:
        experiment: Which.
        folder: Where rows and runs go.
        seeds: How many test seeds, or exactly which; None takes the experiment's.
        quick: One seed and the first hour only.
        week: Seven days instead of one where the experiment has a day.
        tuned: Tuned specifications by agent.
        backend: Where to run; default here.
        reporter: Whom to tell about progress.

    Raises:
        UserError: If ``week`` is asked for where there is no day.
    """
    names = experiment.scenarios
    if week:
        if not any(name in WEEK for name in names):
            raise UserError(f"experiment {experiment.name!r} has no week; leave --week out")
        names = tuple(WEEK.get(name, name) for name in names)
    arms = experiment.arms(tuned or {})
    chosen = seeds if seeds is not None else (1 if quick else experiment.seeds)
    store = Store(folder)
    rows: list[Row] = []
    bounds: list[BoundRow] = []
    for name in names:
        grid = make_grid(
            list(dict.fromkeys(arm.spec for arm in arms)),
            scenario=scenario_of(experiment, name, quick=quick),
            trace=None,
            seeds=chosen,
        )
        rows += run_grid(grid, store, backend, reporter)
        if experiment.bound:
            bounds += bounds_of(grid)
    store.write_results(rows)
    return outcomes_of(experiment, arms, rows, bounds)


def write_experiment(outcomes: Outcomes, folder: Path, command: str) -> list[Path]:
    """Write arms, table, plot and command beside the rows; return the files."""
    write_text(folder / TABLE, document(outcomes))
    write_text(folder / COMMAND, command.strip() + "\n")
    write_json(folder / ARMS, {"arms": [asdict(arm) for arm in outcomes.arms]})
    plot(outcomes, Store(folder), folder / PLOT)
    names = [RESULTS, TABLE, PLOT, ARMS, COMMAND]
    if outcomes.bounds:
        write_bounds(folder / BOUNDS, outcomes.bounds)
        names.append(BOUNDS)
    return [folder / name for name in names]
