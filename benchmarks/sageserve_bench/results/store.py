"""Finished runs on disk: one folder each, there as a whole or not at all.

A comparison's folder holds ``results.csv``, ``summary.json``, ``report.html``, ``decisions.npz``
(every decision of every run, for ``--verify``) and ``runs/KEY/`` with ``row.json`` and
``series.npz`` (what the report draws). The key changes with everything that decides about the
result, so a run that is there never has to be repeated. Until all runs are there, each has its
decisions beside its row, in ``actions.npz``; what an interruption leaves is packed by the next.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sageserve_bench.errors import UserError
from sageserve_bench.results import archive
from sageserve_bench.rows import Row, from_csv, to_csv, write_text
from sageserve_bench.runs.actionlog import ActionLog
from sageserve_bench.runs.episode import RunResult, Series

RESULTS = "results.csv"
SUMMARY = "summary.json"
REPORT = "report.html"
DECISIONS = "decisions.npz"
RUNS = "runs"
ACTIONS = "actions.npz"


class Store:
    """The folder of a comparison.

    Args:
        folder: Where it lies; made when the first run is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file; --output names a folder")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep other runs out of it; the lock ends with the process.

        Nothing is locked where the system cannot, as on Windows and some network drives.

        Raises:
            UserError: If another run has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:
            yield
            return
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                flock(folder, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.folder}: in use by another run; wait for its end or name another folder"
                ) from None
            except OSError:
                pass
            yield
        finally:
            os.close(folder)

    def run(self, key: str) -> Path:
        """Return the folder of a run."""
        return self.folder / RUNS / key

    def row(self, key: str) -> Row | None:
        """Return the row of a finished run, None if it is not there."""
        try:
            row = json.loads((self.run(key) / "row.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return row if isinstance(row, dict) else None

    def save(self, key: str, result: RunResult) -> None:
        """Keep a finished run; what an interrupted save left is replaced."""
        runs = self.folder / RUNS
        runs.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=runs, prefix=".saving-"))
        try:
            scratch.chmod(0o755)
            _save_arrays(scratch / ACTIONS, result.actions.arrays())
            _save_arrays(scratch / "series.npz", result.series)
            text = json.dumps(result.row, indent=1, allow_nan=False) + "\n"
            (scratch / "row.json").write_text(text, encoding="utf-8")
            target = self.run(key)
            if target.exists():
                shutil.rmtree(target)
            os.replace(scratch, target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise

    def actions(self, key: str) -> ActionLog:
        """Return the decisions of a run.

        Raises:
            UserError: If they are not there or cannot be read.
        """
        piece = self.run(key) / ACTIONS
        if piece.is_file():
            return ActionLog.load(piece)
        return ActionLog.load(self.folder / DECISIONS, key)

    def runs_with_actions(self) -> set[str]:
        """Return the keys of the runs whose decisions are there."""
        packed = archive.members(self.folder / DECISIONS)
        return packed | {path.parent.name for path in self._pieces()}

    def pack(self) -> None:
        """Move the decisions of all runs into one archive."""
        pieces = {path.parent.name: path for path in self._pieces()}
        if pieces:
            archive.add(self.folder / DECISIONS, pieces)
            for path in pieces.values():
                path.unlink()

    def _pieces(self) -> list[Path]:
        return sorted((self.folder / RUNS).glob(f"[!.]*/{ACTIONS}"))

    def series(self, key: str) -> Series | None:
        """Return the time series of a run, None if they are not there."""
        try:
            with np.load(self.run(key) / "series.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return None

    def write_results(self, rows: list[Row]) -> None:
        """Write the table of the rows finished so far."""
        write_text(self.folder / RESULTS, to_csv(rows))

    def remove_leftovers(self) -> None:
        """Remove what interrupted saves left behind."""
        for path in (self.folder / RUNS).glob(".saving-*"):
            shutil.rmtree(path, ignore_errors=True)
        for name in (RESULTS, DECISIONS):
            for path in self.folder.glob(f".{name}.*"):
                path.unlink(missing_ok=True)

    def read_rows(self) -> list[Row]:
        """Return the rows of ``results.csv`` with the types they were written with.

        Raises:
            UserError: If there is no such file or it is no table of results.
        """
        path = self.folder / RESULTS
        try:
            return from_csv(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: not found; make it with sageserve compare") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None

    def read_summary(self) -> dict[str, Any]:
        """Return ``summary.json``, empty if it is not there."""
        try:
            summary = json.loads((self.folder / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}


def _save_arrays(path: Path, arrays: Series) -> None:
    save: Any = np.savez_compressed
    save(path, **arrays)
