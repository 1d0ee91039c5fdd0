"""A Ray cluster of two nodes on this machine, one of which dies in the middle of a comparison."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sageserve_bench.comparison import run_grid
from sageserve_bench.errors import UserError
from sageserve_bench.replay import verify_grid
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row
from sageserve_bench.runs.grid import make_grid
from sageserve_bench.runs.pools import Backend
from sageserve_env.scenario import Scenario

from .test_compare import untimed

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

AGENT = """
import os, time
from pathlib import Path
from sageserve_agents.heuristics.static import Static

FOLDER = Path({folder!r})

class Slow(Static):
    def reset(self, scenario, seed, history):
        super().reset(scenario, seed, history)
        node = self.node()
        (FOLDER / f"{{node}}-{{seed}}-{{os.getpid()}}-{{time.monotonic_ns()}}").touch()
        doomed = (FOLDER / "doomed").read_text()
        until = time.monotonic() + 120
        while node != "none" and not list(FOLDER.glob(doomed + "-*")) and time.monotonic() < until:
            time.sleep(0.1)  # until the other node is at work as well

    def node(self):
        import ray
        return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "none"

    def act(self, view):
        if self.node() != "none":
            time.sleep(0.1)
        return super().act(view)
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Yield a cluster with two nodes of one processor each."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


class Counted:
    """A reporter that counts what is finished."""

    def __init__(self) -> None:
        self.seeds: list[object] = []

    def begin(self, labels: list[str], steps: list[int], reused: int) -> None:
        """Ignore it."""

    def stepped(self, index: int, steps: int) -> None:
        """Ignore it."""

    def finished(self, index: int, row: Row) -> None:
        self.seeds.append(row["seed"])


def kill_when_at_work(cluster: Any, node: Any, starts: Path) -> None:
    """Take a node away without notice as soon as a run has begun on it."""
    until = time.monotonic() + 120
    while not list(starts.glob(f"{node.node_id}-*")) and time.monotonic() < until:
        time.sleep(0.1)
    cluster.remove_node(node, allow_graceful=False)


def test_a_node_that_dies_costs_no_row(tmp_path: Path, small: Scenario, cluster: Any) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    (doomed,) = cluster.worker_nodes
    (starts / "doomed").write_text(doomed.node_id)
    file = tmp_path / "slow.py"
    file.write_text(AGENT.format(folder=str(starts)), encoding="utf-8")
    grid = make_grid([f"{file}:Slow"], scenario=small, trace=None, seeds=4)
    counted, store = Counted(), Store(tmp_path / "ray")
    killer = threading.Thread(target=kill_when_at_work, args=(cluster, doomed, starts))
    killer.start()
    rows = run_grid(grid, store, Backend("ray", ray_address=cluster.address), counted)
    killer.join()
    assert list(starts.glob(f"{doomed.node_id}-*"))  # a run was lost,
    assert len(list(starts.glob("*-*"))) > 4  # began again elsewhere,
    assert sorted(map(str, counted.seeds)) == [str(seed) for seed in grid.seeds]  # counted once
    assert [row["seed"] for row in store.read_rows()] == list(grid.seeds)
    assert len(list((store.folder / "runs").iterdir())) == 4
    assert untimed(rows) == untimed(run_grid(grid, Store(tmp_path / "serial")))
    assert verify_grid(grid, store) == (4, 0, [])


def test_no_cluster_there(small: Scenario) -> None:
    grid = make_grid(["static"], scenario=small, trace=None, seeds=1)
    with pytest.raises(UserError, match="no Ray cluster at"):
        run_grid(grid, None, Backend("ray", ray_address="127.0.0.1:1"))
