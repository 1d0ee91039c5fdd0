"""The comparison: every agent on the same traces, seeds, start states and decision times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from sageserve_agents import Agent
from sageserve_bench.report.progress import Reporter, Silent
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row, with_scores
from sageserve_bench.runs.backends import execute
from sageserve_bench.runs.episode import RunResult, steps_of
from sageserve_bench.runs.grid import Grid, make_grid
from sageserve_bench.runs.pools import Backend
from sageserve_bench.runs.tasks import Task
from sageserve_bench.summary import write_outcome
from sageserve_env.registration import DEFAULT_SCENARIO
from sageserve_env.scenario import Scenario
from sageserve_traces import ReadOptions, TraceSource
from sageserve_traces.reading import ReadKeywords

if TYPE_CHECKING:
    import pandas as pd


def compare(
    agents: str | Sequence[str | Agent],
    *,
    scenario: str | Path | Scenario = DEFAULT_SCENARIO,
    trace: str | Path | TraceSource | Sequence[str | Path | TraceSource] | None = None,
    seeds: int | Sequence[int] = 1,
    split: str = "test",
    tile: str | float | None = None,
    rate_scale: float = 1.0,
    reading: ReadOptions | None = None,
    output: str | Path | None = None,
    workers: int = 1,
    backend: str = "process",
    ray_address: str | None = None,
    **keywords: Unpack[ReadKeywords],
) -> pd.DataFrame:
    """Run agents on the same traffic and return one row per agent, trace and seed.

    Args:
        agents: Specifications such as ``["static", "ilp:forecaster=arima;router=threshold"]`` (or
            one text with commas), or agents of your own.
        scenario: Name, YAML file or object.
        trace: Name, file or object, or several; None takes the scenario's own workload.
        seeds: How many of the split's first seeds, or exactly which.
        split: ``train``, ``validation`` or ``test``.
        tile: Repeat a short trace up to this length, such as ``"6h"``.
        rate_scale: Factor on the request rate.
        reading: How a trace file is read (see `sageserve_traces.ReadOptions`).
        output: Folder for ``results.csv``, ``summary.json``, ``report.html`` and the runs; finished
            runs that lie there are not repeated. None keeps nothing.
        workers: Processes.
        backend: ``process`` or ``ray``.
        ray_address: Address of a Ray cluster.
        **keywords: Fields of `ReadOptions` instead of ``reading``: ``columns``, ``on_error``,
            ``time_unit``, ``time_format``, ``start_s``.

    Returns:
        The rows, with the columns of ``results.csv``.

    Raises:
        ValueError: On bad input; one line that says what to do.
    """
    import pandas as pd

    grid = make_grid(
        agents,
        scenario=scenario,
        trace=trace,
        seeds=seeds,
        split=split,
        tile=tile,
        rate_scale=rate_scale,
        reading=ReadOptions.of(reading, keywords),
    )
    store = None if output is None else Store(Path(output))
    rows = run_grid(grid, store, Backend(backend, workers, ray_address))
    if store is not None:
        write_outcome(store, rows, grid)
    return pd.DataFrame(rows)


def run_grid(
    grid: Grid,
    store: Store | None = None,
    backend: Backend | None = None,
    reporter: Reporter | None = None,
) -> list[Row]:
    """Run what is not there yet and return all rows of the grid, with scores.

    Args:
        grid: What to compare.
        store: Where finished runs lie and go; each is saved as soon as it is done.
        backend: Where to run; default here.
        reporter: Whom to tell about progress.

    Raises:
        UserError: If another run uses the folder.
    """
    tasks = grid.tasks()
    steps, keys = [], []
    for task in tasks:
        workload = task.workload()
        keys.append(task.key(workload))
        steps.append(steps_of(workload.scenario))
    with nullcontext() if store is None else store.held():
        return _run(tasks, keys, steps, store, backend or Backend(), reporter or Silent())


def _run(
    tasks: Sequence[Task],
    keys: Sequence[str],
    steps: Sequence[int],
    store: Store | None,
    backend: Backend,
    told: Reporter,
) -> list[Row]:
    """Run what is not there yet, in a folder that nobody else uses."""
    rows: dict[int, Row] = {} if store is None else _finished(store, keys)
    todo = [index for index in range(len(tasks)) if index not in rows]
    told.begin([tasks[i].agent_label for i in todo], [steps[i] for i in todo], len(rows))
    if store is not None:
        store.remove_leftovers()
        store.write_results(_table(rows))

    def finished(index: int, result: RunResult) -> None:
        place = todo[index]
        row: Row = {**result.row, "run": keys[place]}
        if store is not None:
            store.save(keys[place], RunResult(row, result.series, result.actions))
        rows[place] = row
        if store is not None:
            store.write_results(_table(rows))
        told.finished(index, row)

    try:
        execute([tasks[i] for i in todo], backend, finished, told.stepped)
    except KeyboardInterrupt:
        if store is not None:  # a run may have been saved, and not be in the table yet
            store.remove_leftovers()
            rows |= _finished(store, keys)
            store.write_results(_table(rows))
        raise
    if store is not None:
        store.pack()
    return _table(rows)


def _finished(store: Store, keys: Sequence[str]) -> dict[int, Row]:
    found = ((index, store.row(key)) for index, key in enumerate(keys))
    return {index: row for index, row in found if row is not None}


def _table(rows: Mapping[int, Row]) -> list[Row]:
    return with_scores(rows[index] for index in sorted(rows))
