"""Running episodes on a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sageserve_bench.errors import UserError
from sageserve_bench.runs.episode import RunResult, run_episode
from sageserve_bench.runs.pools import Backend, Stepped, run_jobs
from sageserve_bench.runs.tasks import Task


def execute(
    tasks: Sequence[Task],
    backend: Backend,
    finished: Callable[[int, RunResult], None],
    stepped: Callable[[int, int], None] = lambda index, steps: None,
) -> None:
    """Run every task once.

    Args:
        tasks: What to run.
        backend: Where.
        finished: Is given the index of each task that is done, once, and its result.
        stepped: Is given the index of a task and the steps that it has done.

    Raises:
        UserError: If an agent fails, or a worker dies again and again.
    """
    run_jobs(_run, tasks, backend, finished=finished, stepped=stepped, named=_named)


def _run(task: Task, stepped: Stepped) -> RunResult:
    """Run a task; an error says which agent and seed it was."""
    try:
        return run_episode(task, on_step=lambda n, _: stepped(n))
    except ValueError as error:
        raise UserError(f"{_named(task)}: {error}") from error


def _named(task: Task) -> str:
    return f"{task.agent_label}, seed {task.seed}"
