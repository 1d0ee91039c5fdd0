"""Replaying the stored decisions of a comparison, to check every value of its rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sageserve_bench.errors import UserError
from sageserve_bench.report.progress import Reporter, Silent
from sageserve_bench.results.journal import Journal
from sageserve_bench.results.store import Store
from sageserve_bench.rows import TIMED, Row, Value
from sageserve_bench.runs.actionlog import ActionLog
from sageserve_bench.runs.episode import check_replay, run_episode, steps_of
from sageserve_bench.runs.grid import Grid
from sageserve_bench.runs.versions import code_hash

VERIFIED = "verified.jsonl"
IGNORED = (*TIMED, "planner_failures", "plans", "score", "run")
"""Columns that a replay does not have, or has of its own."""


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
    checked = Journal(log)
    reused = 0
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
        state = _state(stored, actions)
        known = checked.get(state)
        if known is None:
            episode = run_episode(
                task,
                workload=workload,
                replay=actions,
                on_step=lambda n, _, i=index: reporter.stepped(i, n),  # type: ignore[misc]
            )
            lines = check_replay(stored, episode.row, IGNORED)
            checked.add(state, {"run": where, "differences": lines})
        else:
            lines = list(known["differences"])
            reused += 1
        reporter.finished(index, stored)
        problems += [f"{where}: {line}" for line in lines]
    return len(tasks), reused, problems


def _identity(row: Row) -> tuple[Value, ...]:
    return (row["agent"], row["trace"], row.get("trace_hash"), row["seed"])


def _state(row: Row, actions: ActionLog) -> str:
    """Return what a check holds for: this row, these decisions, this code."""
    sha = hashlib.sha256(json.dumps([code_hash(), row], sort_keys=True).encode())
    for name, array in sorted(actions.arrays().items()):
        sha.update(name.encode() + array.tobytes())
    return sha.hexdigest()[:16]
