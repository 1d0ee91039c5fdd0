"""A worker that dies is replaced, and nothing is lost or counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from sageserve_bench.errors import UserError
from sageserve_bench.runs.backends import execute
from sageserve_bench.runs.episode import RunResult
from sageserve_bench.runs.pools import Backend
from sageserve_bench.runs.tasks import Task
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec

AGENT = """
import os, signal
from pathlib import Path
from sageserve_agents.heuristics.static import Static

class Mortal(Static):
    def start(self):
        super().start()
        self.died = Path({marker!r})
        if {always} or (self.scenario.slo_scale == 4.0 and not self.died.exists()):
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def tasks_of(folder: Path, small: Scenario, *, always: bool) -> list[Task]:
    file = folder / "mortal.py"
    file.write_text(AGENT.format(marker=str(folder / "died"), always=always), encoding="utf-8")
    scenarios = [small, small.replace(slo_scale=4.0), small.replace(slo_scale=5.0)]
    return [Task(f"{file}:Mortal", scenario, TraceSpec(), 1) for scenario in scenarios]


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path: Path, small: Scenario) -> None:
    done: dict[int, RunResult] = {}
    tasks = tasks_of(tmp_path, small, always=False)
    execute(tasks, Backend(workers=2), done.__setitem__)
    assert (tmp_path / "died").exists()
    assert sorted(done) == [0, 1, 2]


@pytest.mark.slow
def test_workers_that_always_die_end_it(tmp_path: Path, small: Scenario) -> None:
    with pytest.raises(UserError, match="died 3 times in a row"):
        execute(tasks_of(tmp_path, small, always=True), Backend(workers=2), print)


def test_nothing_to_do() -> None:
    execute([], Backend(), pytest.fail)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "keywords", [{"kind": "mpi"}, {"workers": 0}, {"ray_address": "auto"}], ids=str
)
def test_bad_backends(keywords: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Backend(**keywords)  # type: ignore[arg-type]
