"""Compare the learned policy of several training seeds with the planners on the raw rows here.

Usage, in the root of the repository: ``python benchmarks/results/learned/analyse.py``. Prints one
Markdown table per part; the learned rows are the mean over training seeds. Intervals are 95 %
percentile bootstraps of the paired cost difference that draw training seeds and test seeds
independently, because each training seed meets the same test seeds.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
LEARNED, PLANNERS = "residual-es", ("staffing", "ilp", "mpc")
SERVICE = ("slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")
REPETITIONS = 10_000

Floats = NDArray[np.float64]


def read(path: Path) -> dict[str, dict[str, dict[int, dict[str, str]]]]:
    """Return rows by name of the agent, its specification and the test seed."""
    found: dict[str, dict[str, dict[int, dict[str, str]]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["agent"].partition(":")[0]
            found.setdefault(name, {}).setdefault(row["agent"], {})[int(row["seed"])] = row
    return found


def values(runs: dict[str, dict[int, dict[str, str]]], column: str) -> Floats:
    """Return a column, [specifications, test seeds]."""
    return np.array([[float(r[s][column]) for s in sorted(r)] for r in runs.values()])


def interval(difference: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean of differences [training seeds, test seeds]."""
    rng = np.random.default_rng(0)
    rows, columns = difference.shape
    means = [
        difference[rng.integers(rows, size=rows)][:, rng.integers(columns, size=columns)].mean()
        for _ in range(REPETITIONS)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def table(path: Path) -> list[str]:
    """Return the lines of a table of one comparison."""
    found = read(path)
    learned = values(found[LEARNED], "cost_usd")
    count = f"{learned.shape[0]} training seeds x {learned.shape[1]} test seeds"
    lines = [
        f"**{path.stem}** ({count})",
        "",
        "| agent | cost $ | learned is | 95 % | IW-F | IW-N | NIW | worst model | unfinished "
        "| return |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, runs in found.items():
        cost = values(runs, "cost_usd")
        versus = ["-", "-"]
        if name != LEARNED:
            low, high = interval((learned - cost) / cost.mean())
            versus = [f"{learned.mean() / cost.mean() - 1:+.1%}", f"{low:+.1%} to {high:+.1%}"]
        served = [f"{values(runs, column).mean():.2%}" for column in SERVICE]
        share = values(runs, "unfinished").sum() / values(runs, "requests").sum()
        cells = [f"`{name}`", f"{cost.mean():,.0f}", *versus, *served, f"{share:.2%}"]
        cells.append(f"{values(runs, 'reward').mean():,.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def main(paths: Sequence[Path]) -> None:
    """Print the tables."""
    for path in paths:
        print("\n".join(table(path)))


if __name__ == "__main__":
    main(sorted(FOLDER.glob("*.csv")))
