"""The comparison end to end: rows, files, resuming, replay, processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sageserve_bench
from sageserve_bench.comparison import run_grid
from sageserve_bench.errors import UserError
from sageserve_bench.replay import verify_grid
from sageserve_bench.results.archive import members
from sageserve_bench.results.store import Store
from sageserve_bench.rows import COLUMNS, TIMED, Row
from sageserve_bench.runs.actionlog import ActionLog, Recorder
from sageserve_bench.runs.episode import RunResult, run_episode
from sageserve_bench.runs.grid import make_grid
from sageserve_bench.runs.pools import Backend
from sageserve_bench.runs.tasks import Task
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec

from .conftest import AGENTS


def untimed(rows: list[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows]


def test_rows(compared: tuple[Path, pd.DataFrame]) -> None:
    folder, rows = compared
    assert list(rows.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert list(rows["agent"]) == AGENTS * 2
    assert list(rows["seed"]) == [2000, 2000, 2001, 2001]
    assert (rows["requests"] == rows["completed"] + rows["unfinished"]).all()
    assert rows["requests"].iloc[0] == rows["requests"].iloc[1]  # the same traffic
    assert rows["config_hash"].nunique() == 1
    assert ((rows["slo_iwf"] >= 0) & (rows["slo_iwf"] <= 1)).all()
    assert (rows["gpu_hours"] > 0).all()
    static = rows[rows["agent"] == "static"]["gpu_hours"]
    assert static.min() >= rows[rows["agent"] == "reactive"]["gpu_hours"].max()
    read = pd.read_csv(folder / "results.csv")
    assert np.array_equal(read["reward"], rows["reward"])


def test_summary(compared: tuple[Path, pd.DataFrame]) -> None:
    summary = json.loads((compared[0] / "summary.json").read_text())
    assert summary["grid"]["agents"] == AGENTS
    assert summary["runs"] == 4
    assert set(summary["agents"]) == set(AGENTS)
    assert summary["versions"]["numpy"] == np.__version__
    assert summary["targets"]["slo_niw"] == 0.999
    assert summary["verdict"]


def test_no_machine_path_in_the_results(compared: tuple[Path, pd.DataFrame]) -> None:
    for name in ("results.csv", "summary.json"):
        assert str(Path.home()) not in (compared[0] / name).read_text()


def test_an_interrupted_comparison_goes_on(
    compared: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    small: Scenario,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(compared[0], folder)
    before = (folder / "results.csv").read_bytes()
    gone = next(
        path for path in (folder / "runs").iterdir() if path.name.startswith("reactive-2001")
    )
    shutil.rmtree(gone)
    half = folder / "runs" / ".saving-x"  # what a killed process leaves behind
    half.mkdir()
    (half / "row.json").write_text("{")
    ran: list[Task] = []

    def counted(task: Task, **keywords: object) -> RunResult:
        ran.append(task)
        return run_episode(task, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr("sageserve_bench.runs.backends.run_episode", counted)
    rows = sageserve_bench.compare(AGENTS, scenario=small, seeds=2, output=folder)
    assert [(task.agent, task.seed) for task in ran] == [("reactive", 2001)]
    assert not half.exists()
    assert untimed(rows.to_dict("records")) == untimed(compared[1].to_dict("records"))
    lines = zip(
        before.splitlines(), (folder / "results.csv").read_bytes().splitlines(), strict=True
    )
    assert sum(a != b for a, b in lines) <= 1


def test_ctrl_c_leaves_the_finished_rows(
    tmp_path: Path, small: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: Task, **keywords: object) -> RunResult:
        if task.agent == "reactive":
            raise KeyboardInterrupt
        return run_episode(task, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr("sageserve_bench.runs.backends.run_episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sageserve_bench.compare(AGENTS, scenario=small, output=tmp_path)
    rows = Store(tmp_path).read_rows()
    assert [row["agent"] for row in rows] == ["static"]
    assert not list((tmp_path / "runs").glob(".*"))


def test_replay_reproduces_every_row(compared: tuple[Path, pd.DataFrame], small: Scenario) -> None:
    grid = make_grid(AGENTS, scenario=small, trace=None, seeds=2)
    assert verify_grid(grid, Store(compared[0])) == (4, 0, [])


def test_replay_finds_a_changed_row(
    compared: tuple[Path, pd.DataFrame], tmp_path: Path, small: Scenario
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(compared[0], folder)
    store = Store(folder)
    rows = store.read_rows()
    rows[1]["cost_usd"] = float(str(rows[1]["cost_usd"])) - 1e-9
    store.write_results(rows)
    grid = make_grid(AGENTS, scenario=small, trace=None, seeds=1)
    count, reused, problems = verify_grid(grid, store)
    assert (count, reused) == (2, 0)
    assert len(problems) == 1
    assert problems[0].startswith("reactive on o365, seed 2000: cost_usd")
    with pytest.raises(UserError, match="no row of static"):
        verify_grid(make_grid(AGENTS, scenario=small, trace=None, seeds=[5]), store)


def test_two_processes_give_the_same_rows(
    compared: tuple[Path, pd.DataFrame], small: Scenario, tmp_path: Path
) -> None:
    grid = make_grid(AGENTS, scenario=small, trace=None, seeds=2)
    rows = run_grid(grid, Store(tmp_path), Backend(workers=2))
    assert untimed(rows) == untimed(Store(compared[0]).read_rows())


class Lazy:
    """An agent of a user's own, given as an object."""

    name = "lazy"
    pooling = "siloed"
    clairvoyant = False

    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong

    def reset(self, scenario: Scenario, seed: int, history: object) -> None:
        self.scenario = scenario

    def act(self, view: object) -> ClusterAction:
        endpoints = len(self.scenario.endpoints) + self.wrong
        return ClusterAction(np.full((endpoints, 1), 1, dtype=np.int64))


def test_an_agent_of_your_own(small: Scenario) -> None:
    rows = sageserve_bench.compare([Lazy()], scenario=small)
    assert rows["agent"][0] == "lazy"
    assert rows["pooling"][0] == "siloed"
    with pytest.raises(UserError, match=r"lazy, seed 2000: .*: instances: expected shape \(4, 1\)"):
        sageserve_bench.compare([Lazy(wrong=True)], scenario=small)


def test_action_log_is_exact(tmp_path: Path) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(2), size=(1, 2))
    actions = [
        ClusterAction(np.array([[3]]), "shares", shares, np.array([0.1 + 0.2]), "edf"),
        ClusterAction(np.array([[4]])),
        ClusterAction(np.array([[5]]), "shares", shares),
    ]
    recorder = Recorder()
    for action in actions:
        recorder.note(action)
    np.savez_compressed(tmp_path / "a.npz", **recorder.log().arrays())  # type: ignore[arg-type]
    log = ActionLog.load(tmp_path / "a.npz")
    assert len(log) == 3 and len(log.values["routing"]) == 1
    for step, action in enumerate(actions):
        back = log.action(step)
        assert (back.router, back.discipline) == (action.router, action.discipline)
        for name in ("instances", "routing", "niw_release"):
            assert np.array_equal(getattr(back, name), getattr(action, name)) or (
                getattr(back, name) is getattr(action, name) is None
            )
    with pytest.raises(UserError, match="ends after 3"):
        log.action(3)
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(UserError, match="no action log"):
        ActionLog.load(tmp_path / "a.npz")


def test_a_log_of_version_1_stays_readable() -> None:
    first = {
        "instances": np.array([[[1]], [[2]]]),
        "router": np.array([3, -1], dtype=np.int8),
        "discipline": np.array([-1, 4], dtype=np.int8),
        "routing": np.zeros(0),
        "routing_index": np.array([-1, -1], dtype=np.int32),
        "release": np.array([[0.25]]),
        "release_index": np.array([0, -1], dtype=np.int32),
    }
    log = ActionLog.read(first)
    one, two = log.action(0), log.action(1)
    assert (one.router, one.discipline, one.routing) == ("least_wait_kv", None, None)
    assert one.niw_release is not None and one.niw_release.tolist() == [0.25]
    assert (two.router, two.discipline, two.niw_release) == (None, "triage", None)
    again = ActionLog.read(log.arrays())  # written anew in the present version
    assert again.action(0).router == "least_wait_kv"
    with pytest.raises(ValueError, match="knob 'spot_bid' is not known here"):
        ActionLog.read({**log.arrays(), "spot_bid_index": np.zeros(2, np.int32)})


def test_published_archives_are_read(repository: Path) -> None:
    for path in sorted((repository / "benchmarks" / "results").rglob("decisions.npz")):
        run = min(members(path))
        log = ActionLog.load(path, run)
        assert log.action(len(log) - 1).instances.ndim == 2


def test_one_archive_of_decisions(
    compared: tuple[Path, pd.DataFrame], tmp_path: Path, small: Scenario
) -> None:
    folder = tmp_path / "wider"
    shutil.copytree(compared[0], folder)
    assert not list(folder.glob("runs/*/actions.npz"))
    with np.load(folder / "decisions.npz", allow_pickle=False) as file:  # NumPy alone reads it
        for run in compared[1]["run"]:
            assert file[f"{run}/instances"].shape == (15, 2, 1)
    before = (folder / "decisions.npz").read_bytes()
    piece = folder / "runs" / compared[1]["run"][0] / "actions.npz"
    log = Store(folder).actions(compared[1]["run"][0])
    np.savez_compressed(piece, **log.arrays())  # type: ignore[arg-type]
    Store(folder).pack()
    assert not piece.exists()
    assert (folder / "decisions.npz").read_bytes() == before
    sageserve_bench.compare(AGENTS, scenario=small, seeds=[2002], output=folder)
    assert len(Store(folder).runs_with_actions()) == 6
    with pytest.raises(UserError, match="no action log of gone"):
        Store(folder).actions("gone")


def test_run_episode_tells_its_steps(small: Scenario) -> None:
    seen: list[int] = []
    task = Task("static", small, TraceSpec(), 2000)
    episode = run_episode(task, on_step=lambda n, view: seen.append(n))
    assert seen == list(range(1, 16))
    assert len(episode.actions) == 15
    assert episode.series["active"].shape == (15, 2)
    assert episode.series["time_s"].tolist() == [60.0 * i for i in range(15)]
    billed = episode.series["vm_seconds"].sum() / 3600
    assert billed * 8 == pytest.approx(float(str(episode.row["gpu_hours"])))


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Store(tmp_path / "x")


@pytest.mark.slow
def test_ray_gives_the_same_rows(compared: tuple[Path, pd.DataFrame], small: Scenario) -> None:
    pytest.importorskip("ray")
    grid = make_grid(AGENTS, scenario=small, trace=None, seeds=2)
    rows = run_grid(grid, None, Backend("ray", workers=2))
    assert untimed(rows) == untimed(Store(compared[0]).read_rows())
