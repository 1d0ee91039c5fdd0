"""Running episodes on a backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sageserve_bench.episode import RunResult, run_episode
from sageserve_bench.errors import UserError
from sageserve_bench.pools import Backend, Stepped, run_jobs
from sageserve_bench.tasks import Task


class Listener(Protocol):
    """Whom a backend tells what happens."""

    def stepped(self, index: int, steps: int) -> None:
        """Task ``index`` has done so many steps."""

    def finished(self, index: int, result: RunResult) -> None:
        """Task ``index`` is done; called once for each."""


def execute(tasks: Sequence[Task], backend: Backend, listener: Listener) -> None:
    """Run every task once.

    Raises:
        UserError: If an agent fails, or a worker dies again and again.
    """
    run_jobs(
        _run, tasks, backend, finished=listener.finished, stepped=listener.stepped, named=_named
    )


def _run(task: Task, stepped: Stepped) -> RunResult:
    """Run a task; an error says which agent and seed it was."""
    try:
        return run_episode(task, on_step=lambda n, _: stepped(n))
    except ValueError as error:
        raise UserError(f"{_named(task)}: {error}") from error


def _named(task: Task) -> str:
    return f"{task.agent_label}, seed {task.seed}"
