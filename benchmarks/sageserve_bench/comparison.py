"""The comparison: every agent on the same traces, seeds, start states and decision times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sageserve_agents import Agent
from sageserve_bench.backends import Backend, execute
from sageserve_bench.checklog import CheckLog, check_state
from sageserve_bench.episode import Episode, check_replay, run_episode, steps_of
from sageserve_bench.errors import UserError
from sageserve_bench.progress import Reporter, Silent
from sageserve_bench.rows import TIMED, Row, Value, with_scores
from sageserve_bench.store import Store
from sageserve_bench.tasks import Task, agent_label, check_agents, split_agents
from sageserve_bench.workload import TraceSpec, pick_seeds
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_traces import ReadOptions, TraceSource, parse_duration

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grid:
    """What is compared: agents x traces x seeds on one scenario."""

    agents: tuple[str | Agent, ...]
    scenario: Scenario
    traces: tuple[TraceSpec | TraceSource, ...]
    seeds: tuple[int, ...]

    def tasks(self) -> list[Task]:
        """Return the runs in the order of the table: by trace, seed, agent."""
        return [
            Task(agent, self.scenario, trace, seed)
            for trace in self.traces
            for seed in self.seeds
            for agent in self.agents
        ]

    def to_dict(self) -> dict[str, object]:
        """Return what was asked for as plain values."""
        return {
            "agents": [agent_label(agent) for agent in self.agents],
            "traces": [
                t.to_dict() if isinstance(t, TraceSpec) else {"name": t.name} for t in self.traces
            ],
            "seeds": list(self.seeds),
        }


def compare(
    agents: str | Sequence[str | Agent],
    *,
    scenario: str | Path | Scenario = "o365-day",
    trace: str | Path | TraceSource | Sequence[str | Path | TraceSource] | None = None,
    seeds: int | Sequence[int] = 1,
    split: str = "test",
    tile: str | float | None = None,
    rate_scale: float = 1.0,
    columns: Mapping[str, str] | None = None,
    output: str | Path | None = None,
    workers: int = 1,
    backend: str = "process",
    ray_address: str | None = None,
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
        columns: Columns of a trace file of your own, ``{"arrival": ..., "prompt": ...}``.
        output: Folder for ``results.csv``, ``summary.json``, ``report.html`` and the runs; finished
            runs that lie there are not repeated. None keeps nothing.
        workers: Processes.
        backend: ``process`` or ``ray``.
        ray_address: Address of a Ray cluster.

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
        columns=columns,
    )
    store = None if output is None else Store(Path(output))
    rows = run_grid(grid, store, Backend(backend, workers, ray_address))
    if store is not None:
        from sageserve_bench.outcome import write_outcome

        write_outcome(store, rows, grid)
    return pd.DataFrame(rows)


def make_grid(
    agents: str | Sequence[str | Agent],
    *,
    scenario: str | Path | Scenario,
    trace: str | Path | TraceSource | Sequence[str | Path | TraceSource] | None,
    seeds: int | Sequence[int],
    split: str = "test",
    tile: str | float | None = None,
    rate_scale: float = 1.0,
    columns: Mapping[str, str] | None = None,
    on_error: str = "raise",
) -> Grid:
    """Return the grid of a comparison, checked (see `compare`)."""
    chosen = tuple(split_agents(agents) if isinstance(agents, str) else agents)
    check_agents(chosen)
    if not rate_scale > 0:
        raise UserError(f"the rate scale must be above 0, got {rate_scale:g}")
    named: list[str | Path | TraceSource | None]
    named = [*trace] if isinstance(trace, list | tuple) else [trace]  # type: ignore[list-item]
    tile_s = None if tile is None else parse_duration(tile)
    traces: list[TraceSpec | TraceSource] = []
    for one in named:
        if one is None or isinstance(one, str | Path):
            name = None if one is None else str(one)
            reading = ReadOptions.of(None, {"columns": columns, "on_error": on_error})
            traces.append(TraceSpec(name, tile_s, rate_scale, reading))
        elif tile_s is not None or rate_scale != 1.0 or columns:
            raise UserError("tile, rate_scale and columns are for traces given by name or path")
        else:
            traces.append(one)
    picked = (
        pick_seeds(seeds, split=split) if isinstance(seeds, int) else pick_seeds(seed_list=seeds)
    )
    return Grid(chosen, load_scenario(scenario), tuple(traces), picked)


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
    """
    tasks = grid.tasks()
    steps, keys = [], []
    for task in tasks:
        workload = task.workload()
        keys.append(task.key(workload))
        steps.append(steps_of(workload.scenario))
    rows: dict[int, Row] = {} if store is None else _finished(store, keys)
    todo = [index for index in range(len(tasks)) if index not in rows]
    told: Reporter = reporter or Silent()
    told.begin([tasks[i].agent_label for i in todo], [steps[i] for i in todo], len(rows))
    if store is not None:
        store.folder.mkdir(parents=True, exist_ok=True)
        store.remove_leftovers()
        store.write_results(_table(rows))

    class Collector:
        """Saves what is finished."""

        def stepped(self, index: int, done: int) -> None:
            told.stepped(index, done)

        def finished(self, index: int, episode: Episode) -> None:
            place = todo[index]
            row: Row = {**episode.row, "run": keys[place]}
            if store is not None:
                store.save(keys[place], Episode(row, episode.series, episode.actions))
            rows[place] = row
            if store is not None:
                store.write_results(_table(rows))
            told.finished(index, row)

    try:
        execute([tasks[i] for i in todo], backend or Backend(), Collector())
    except KeyboardInterrupt:
        if store is not None:  # a run may have been saved, and not be in the table yet
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


def verify_grid(
    grid: Grid, store: Store, reporter: Reporter | None = None, log: Path | None = None
) -> tuple[int, int, list[str]]:
    """Replay the stored decisions of every run of a grid, whatever code it was made with.

    Args:
        grid: What was compared.
        store: Where rows and decisions lie.
        reporter: Whom to tell about progress.
        log: File of the rows that were checked, to go on after an interruption; a line holds only
            for the code, the row and the decisions it was written for.

    Returns:
        How many rows were checked, how many of them were in the log already, and one line per value
        that came out otherwise than stored. The times and the planner's failures are left out, as a
        replay does not have them.

    Raises:
        UserError: If a run of the grid is not there.
    """
    tasks = grid.tasks()
    rows = {_identity(row): row for row in store.read_rows()}
    checked = CheckLog(log)
    reporter = reporter or Silent()
    reporter.begin([t.agent_label for t in tasks], [steps_of(t.scenario) for t in tasks], 0)
    problems: list[str] = []
    for index, task in enumerate(tasks):
        workload = task.workload()
        where = f"{task.agent_label} on {workload.trace.name}, seed {task.seed}"
        stored = rows.get((task.agent_label, workload.trace.name, workload.trace_hash, task.seed))
        if stored is None:
            raise UserError(
                f"{store.folder}: no row of {where} to verify; compare without --verify"
            )
        actions = store.actions(str(stored["run"]))
        state = check_state(stored, actions)
        lines = checked.lines(state)
        if lines is None:
            episode = run_episode(
                task,
                workload=workload,
                replay=actions,
                on_step=lambda n, _, i=index: reporter.stepped(i, n),  # type: ignore[misc]
            )
            ignored = (*TIMED, "planner_failures", "score", "run")
            lines = check_replay(stored, episode.row, ignored)
            checked.note(state, where, lines)
        reporter.finished(index, stored)
        problems += [f"{where}: {line}" for line in lines]
    return len(tasks), checked.reused, problems


def _identity(row: Row) -> tuple[Value, ...]:
    return (row["agent"], row["trace"], row.get("trace_hash"), row["seed"])
