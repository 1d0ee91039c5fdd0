"""Published results: folders with raw rows, the command behind them and every decision.

A folder below ``benchmarks/results/`` is published if it holds ``results.csv`` and
``command.txt``, the exact ``sageserve compare`` that made it. ``summary.json`` and
``decisions.npz`` are kept where the decisions are to be replayed.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from sageserve_bench.analysis.outcome import targets_of
from sageserve_bench.errors import UserError
from sageserve_bench.results.store import DECISIONS, RESULTS, SUMMARY, Store
from sageserve_bench.rows import TIMED, Row
from sageserve_env.scenario import list_scenarios, load_scenario

COMMAND = "command.txt"
ARMS = "arms.json"
"""Marks a folder as a paper experiment's, which has tables and a page of its own."""

DEFAULT_FOLDER = Path("benchmarks/results")
IGNORED = (*TIMED, "run")
"""Columns that differ between two machines: times, and the folder that the code names."""


@dataclass(frozen=True)
class Published:
    """One published comparison.

    Attributes:
        name: Folder relative to the results.
        folder: Where it lies.
        command: Words of its command, without ``sageserve compare``.
        rows: Raw rows.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """First heading of its README, else its name."""
        readme = self.folder / "README.md"
        found = re.search(r"^# (.+)$", readme.read_text("utf-8") if readme.exists() else "", re.M)
        return found[1] if found else self.name

    @property
    def command_line(self) -> str:
        """The command as a person types it."""
        return shlex.join(["sageserve", "compare", *self.command])

    @property
    def has_actions(self) -> bool:
        """Whether the decisions of every row are there to be replayed."""
        return {str(row["run"]) for row in self.rows} <= Store(self.folder).runs_with_actions()

    def copy_to(self, folder: Path) -> None:
        """Copy rows, summary and decisions into a folder to work in."""
        copy_results(self.folder, folder)

    def targets(self, scenario: str) -> dict[str, float]:
        """Return the service targets of the rows of a scenario."""
        said = Store(self.folder).read_summary().get("targets")
        if isinstance(said, dict):
            return {str(column): float(target) for column, target in said.items()}
        known = scenario if scenario in list_scenarios() else "o365-day"
        return targets_of(load_scenario(known))


def read_published(folder: Path) -> list[Published]:
    """Return the published comparisons below a folder, by name; there may be none.

    Raises:
        UserError: If there is no such folder, or one in it has rows without a command.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not found; run this in the root of the repository")
    places = [path.parent for path in sorted(folder.rglob(RESULTS))]
    return [read_one(place, folder) for place in places if not (place / ARMS).is_file()]


def read_one(folder: Path, root: Path) -> Published:
    """Return one published comparison.

    Raises:
        UserError: If its rows or its command cannot be read.
    """
    path = folder / COMMAND
    if not path.is_file():
        raise UserError(f"{path}: not found; it holds the sageserve compare behind {RESULTS}")
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    words = shlex.split(text, comments=True)
    if words[:2] != ["sageserve", "compare"] or words.count("sageserve") != 1:
        raise UserError(f"{path}: expected one command, sageserve compare ...")
    rows = Store(folder).read_rows()
    if not rows:
        raise UserError(f"{folder / RESULTS}: holds no row")
    name = folder.relative_to(root).as_posix()
    return Published(name, folder, without(words[2:], "--output", "-o", "--workers"), tuple(rows))


def without(words: list[str], *options: str) -> tuple[str, ...]:
    """Return words without some options and their values."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in options:
            next(rest, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return tuple(kept)


def copy_results(source: Path, target: Path) -> None:
    """Copy what is kept of a comparison: rows, summary and decisions."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (RESULTS, SUMMARY, DECISIONS):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def differences(published: Published, again: list[Row]) -> list[str]:
    """Return how the rows of a rerun differ from the published ones; empty if they do not."""

    def key(row: Row) -> tuple[object, ...]:
        return (row["agent"], row["scenario"], row["trace"], row["seed"])

    rerun = {key(row): row for row in again}
    lines = []
    for row in published.rows:
        where = f"{published.name}: {row['agent']} on {row['trace']}, seed {row['seed']}"
        other = rerun.get(key(row))
        if other is None:
            lines.append(f"{where}: not in the rerun")
            continue
        lines += [
            f"{where}: {name}: published {value!r}, again {other.get(name)!r}"
            for name, value in row.items()
            if name not in IGNORED and value != other.get(name)
        ]
    return lines
