"""Learning curves by recipe: one folder of what `sageserve train` wrote, as a table and a picture.

``benchmarks/results/NAME/zoo/AGENT/`` holds ``curve.csv`` and ``evaluate.json`` of a run, and its
command in ``command.txt``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sageserve_agents.learned.on_id import LINE, Curve
from sageserve_env._markdown import markdown_table
from sageserve_traces.plotting import save

PICTURE = Path("docs/images/learning_tiny.png")
NOTHING = "No curve is published yet."


@dataclass(frozen=True)
class Learned:
    """One run.

    Attributes:
        agent: Name of the recipe.
        curve: Its evaluations on validation seeds.
        test: Its figures on test seeds, and those of the planner.
        command: What made it.
    """

    agent: str
    curve: Curve
    test: dict[str, Any]
    command: str


def read(folder: Path) -> list[Learned]:
    """Return the runs in a folder, the best on test seeds first."""
    found = []
    for path in sorted(folder.glob("*/curve.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        curve = Curve({"reward": rows[0][f"{LINE}_reward"]}, rows)
        test = json.loads((path.parent / "evaluate.json").read_text(encoding="utf-8"))
        command = (path.parent / "command.txt").read_text(encoding="utf-8").strip()
        found.append(Learned(path.parent.name, curve, test, command))
    return sorted(found, key=lambda one: -float(one.test["reward"]))


def zoo(results: Path) -> Callable[[str], str]:
    """Return what makes the table of the runs of a published folder by name."""

    def make(name: str) -> str:
        runs = read(results / name / "zoo")
        return table(runs) if runs else NOTHING

    return make


def table(runs: Sequence[Learned]) -> str:
    """Return the runs and the planner as Markdown, with their commands."""
    rows = []
    for one in runs:
        last, best = one.curve.rows[-1], one.curve.best
        flat = one.curve.verdict().startswith("flat")
        rows.append(
            [
                f"`{one.agent}`",
                f"{last['steps']:,.0f}",
                f"{one.curve.rows[0]['reward']:.1f}",
                f"{best['reward']:.1f}" + (", flat" if flat else ""),
                f"{one.test['reward']:.1f}",
                f"{one.test['cost_usd']:,.0f}",
                f"{100 * one.test['slo_iwf']:.1f}",
            ]
        )
    test, curve = runs[0].test, runs[0].curve
    figures = [f"{test[f'{LINE}_reward']:.1f}", f"{test[f'{LINE}_cost_usd']:,.0f}"]
    attained = f"{100 * test[f'{LINE}_slo_iwf']:.1f}"
    rows.append([f"`{LINE}`", "", "", f"{curve.line['reward']:.1f}", *figures, attained])
    titles = ["recipe", "steps", "first", "best", "test", "dollars", "IW-F %"]
    commands = "\n".join(one.command for one in runs)
    reason = "<!-- not run: each learns for minutes -->"
    return f"{markdown_table(titles, rows)}\n\n{reason}\n```sh\n{commands}\n```"


def picture(results: Path, name: str, output: Path = PICTURE) -> None:
    """Draw the curves of a published folder against the line of the planner.

    Returns are negative and the first of a curve may lie far below the last: they are drawn on a
    logarithmic axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    runs = read(results / name / "zoo")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for one in runs:
        steps = [row["steps"] / 1000 for row in one.curve.rows]
        axis.plot(steps, [-row["reward"] for row in one.curve.rows], ".-", label=one.agent)
    line = runs[0].curve.line["reward"]
    axis.axhline(-line, color="black", linestyle="--", linewidth=1, label=f"{LINE}, calibrated")
    axis.set_yscale("log")
    axis.invert_yaxis()
    axis.yaxis.set_major_locator(
        LogLocator(subs=(1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0))
    )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, at: f"-{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("decisions learned from, thousands")
    axis.set_ylabel("return on validation days, logarithmic")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save(figure, output)
