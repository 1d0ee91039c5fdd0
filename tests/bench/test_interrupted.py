"""A full disk and Ctrl-C leave whole rows or none, and the comparison goes on afterwards."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sageserve_bench.results.store import Store
from sageserve_bench.rows import TIMED, Row
from sageserve_cli import cli

WORDS = ["compare", "--agents", "static,reactive", "--seeds", "2"]


def command(scenario: Path, output: Path, *more: str) -> list[str]:
    return [*WORDS, "--scenario", str(scenario), "--output", str(output), *more]


def check_whole(folder: Path, most: int) -> list[Row]:
    """Assert that a folder holds only finished runs, and return their rows."""
    store = Store(folder)
    rows = store.read_rows()
    assert len(rows) <= most
    assert len({(row["agent"], row["seed"]) for row in rows}) == len(rows)
    assert {path.name for path in folder.iterdir()} <= {"decisions.npz", "results.csv", "runs"}
    runs = {path.name for path in (folder / "runs").iterdir()} if (folder / "runs").exists() else {}
    assert {str(row["run"]) for row in rows} <= set(runs)
    for run in runs:
        assert store.row(run) is not None and store.series(run) is not None
        assert len(store.actions(run)) == 15
    return rows


def untimed(rows: list[Row]) -> list[Row]:
    """Return what a repeated run has in common; the folder's name changes with the code."""
    return [{k: v for k, v in row.items() if k not in (*TIMED, "run")} for row in rows]


def fill_disk_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """Let the disk be full in the middle of a file, after so many files of arrays."""
    save: Any = np.savez_compressed
    done: list[Path] = []

    def full(path: Path, **arrays: Any) -> None:
        if len(done) == saves:
            path.write_bytes(b"PK\x03\x04 the first half of an arch")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, **arrays)
        done.append(path)

    monkeypatch.setattr("numpy.savez_compressed", full)


@pytest.mark.parametrize("saves", [0, 1, 5])
def test_a_full_disk_in_a_run(
    saves: int,
    tmp_path: Path,
    small_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        fill_disk_after(patch, saves)
        assert cli.run(command(small_file, tmp_path / "out")) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith("sageserve: error: No space left on device")
    assert len(check_whole(tmp_path / "out", 4)) == saves // 2  # two files of arrays a run
    assert cli.run(command(small_file, tmp_path / "out")) == 0
    assert len(Store(tmp_path / "out").read_rows()) == 4


@pytest.mark.parametrize("name", ["results.csv", "summary.json", "report.html"])
def test_a_full_disk_in_a_file(
    name: str,
    tmp_path: Path,
    small_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    replace = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        assert cli.run(command(small_file, folder)) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not (folder / name).exists()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert cli.run(command(small_file, folder)) == 0
    assert (folder / name).stat().st_size > 0


def test_a_full_disk_in_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import csv as pa_csv

    def full(table: Any, handle: Any, options: Any) -> None:
        handle.write(b"0.5,llama")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pa_csv, "write_csv", full)
    words = ["trace", "make", "o365", "--length", "5m", "--output", str(tmp_path / "day.csv")]
    assert cli.run(words) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "finished"),
    [("before the run is saved", 0), ("after it is saved", 1), ("while it goes to the table", 1)],
)
def test_ctrl_c_at_the_end_of_a_run(
    moment: str, finished: int, tmp_path: Path, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is saved is in the table, whenever Ctrl-C comes."""
    folder = tmp_path / "out"
    replace = os.replace

    def interrupted(source: str | Path, target: str | Path) -> None:
        saved = list((folder / "runs").glob("static-*"))
        table = Path(target).name == "results.csv"
        if saved if table else moment.startswith("before"):
            monkeypatch.undo()  # Ctrl-C is pressed once
            raise KeyboardInterrupt
        replace(source, target)
        if not table and moment.startswith("after"):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    assert cli.run(command(small_file, folder)) == 130
    rows = check_whole(folder, 1)
    assert [row["agent"] for row in rows] == ["static"] * finished
    assert len(list((folder / "runs").glob("static-*"))) == finished
    assert cli.run(command(small_file, folder)) == 0
    again = Store(folder).read_rows()
    assert len(again) == 4
    assert untimed(again[:finished]) == untimed(rows)


def interruptible(words: list[str]) -> subprocess.Popen[str]:
    """Start the program as a terminal does, in a process group of its own."""
    script = (
        "import signal, sys; from sageserve_cli.cli import main; "
        # In a job that runs in the background Ctrl-C is ignored, and children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler); main(sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(happened: Callable[[], object]) -> None:
    """Return as soon as something has happened; fail if it does not."""
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def living(group: int) -> list[str]:
    """Return the processes of a group that have not ended, as Linux shows them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, _, member = file.read_text().rpartition(")")[2].split()[:3]
            if int(member) == group and state != "Z":
                found.append(file.parent.name)
    return found


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Interrupt every process of a job and assert that it ends with one line."""
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "sageserve: error: interrupted"
    assert "Traceback" not in said


def test_sigterm_is_as_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import csv as pa_csv

    monkeypatch.setattr(pa_csv, "write_csv", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    words = ["trace", "make", "o365", "--length", "5m", "--output", str(tmp_path / "day.csv")]
    assert cli.run(words) == 130
    assert capsys.readouterr().err == "sageserve: error: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_two_runs_in_one_folder(
    tmp_path: Path, small_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    with Store(folder).held():
        saving = folder / "runs" / ".saving-of-another"
        saving.mkdir(parents=True)
        assert cli.run(command(small_file, folder)) == 2
        said = capsys.readouterr().err
        assert f"{folder}: in use by another run" in said and said.count("\n") == 1
        assert saving.is_dir()
    with Store(folder).held():  # it is free again
        pass


@pytest.mark.slow
def test_sigterm_leaves_no_workers(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = ["compare", "--agents", "static,reactive", "--scenario", "small-day", "--seeds", "90"]
    process = interruptible([*words, "--output", str(folder), "--workers", "2"])
    wait_for(lambda: list((folder / "runs").glob("*-*")))
    process.terminate()
    assert process.communicate(timeout=60)[1].splitlines()[-1] == "sageserve: error: interrupted"
    assert process.returncode == 130
    wait_for(lambda: not living(process.pid))
    assert not list((folder / "runs").glob(".*"))


@pytest.mark.slow
def test_ctrl_c_while_workers_start(
    tmp_path: Path, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is interrupted while it still imports says nothing."""
    started = tmp_path / "started"
    (tmp_path / "sitecustomize.py").write_text(  # Python imports it first of all
        "import pathlib, sys, time\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    time.sleep(5.0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = interruptible(command(small_file, tmp_path / "out", "--workers", "2"))
    wait_for(started.exists)
    press_ctrl_c(process)
    assert check_whole(tmp_path / "out", 0) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c(workers: int, tmp_path: Path, small_file: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\n"
        "from sageserve_agents.heuristics.static import Static\n\n"
        "class Slow(Static):\n"
        "    def act(self, view):\n"
        "        time.sleep(0.2)\n"
        "        return super().act(view)\n"
    )
    folder = tmp_path / "out"
    words = command(small_file, folder, "--workers", str(workers))
    words[words.index("static,reactive")] = f"static,{slow}:Slow"
    process = interruptible(words)
    wait_for(lambda: list((folder / "runs").glob("static-*")))
    press_ctrl_c(process)
    rows = check_whole(folder, 3)
    assert rows and rows[0]["agent"] == "static"
    assert cli.run(words) == 0
    finished = {(row["agent"], row["seed"]): row for row in Store(folder).read_rows()}
    assert len(finished) == 4
    assert untimed([finished[row["agent"], row["seed"]] for row in rows]) == untimed(rows)
