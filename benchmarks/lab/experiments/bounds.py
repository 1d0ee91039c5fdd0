"""Lower bounds of the traces of an experiment, one line per scenario, seed and variant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from sageserve_bench.errors import UserError
from sageserve_bench.rows import write_text

if TYPE_CHECKING:
    from sageserve_bench.runs.grid import Grid

BOUNDS = "bounds.csv"
STRICT, SLACK = "strict", "slack"
PERIOD_S = 300.0


@dataclass(frozen=True)
class BoundRow:
    """A lower bound.

    Attributes:
        scenario: Name of the scenario.
        seed: Of the trace.
        variant: ``strict`` (interactive work within five minutes, all work done) or ``slack``
            (what the service targets leave open may be late or left).
        vm_hours: VM-hours of the fluid model.
        cost_usd: Their price.
        work_vm_hours: All work over theta.
        floor_vm_hours: What the minimum counts hold.
    """

    scenario: str
    seed: int
    variant: str
    vm_hours: float
    cost_usd: float
    work_vm_hours: float
    floor_vm_hours: float


def bounds_of(grid: Grid) -> list[BoundRow]:
    """Return the bounds of every seed of a grid."""
    from lab.experiments.fluid import Slack, fluid_bound

    found = []
    for task in {task.seed: task for task in grid.tasks()}.values():
        workload = task.workload()
        for variant, slack in ((STRICT, None), (SLACK, Slack())):
            bound = fluid_bound(workload, period_s=PERIOD_S, slack=slack)
            found.append(BoundRow(grid.scenario.name, task.seed, variant, **asdict(bound)))
    return found


def write_bounds(path: Path, rows: Sequence[BoundRow]) -> None:
    """Write bounds as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(BoundRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(path, text.getvalue())


def read_bounds(path: Path) -> list[BoundRow]:
    """Return the bounds of a CSV.

    Raises:
        UserError: If it is no file of `write_bounds`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_row(line) for line in csv.DictReader(file)]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _row(line: dict[str, str]) -> BoundRow:
    hours, dollars, work, floor = (
        float(line[key]) for key in ("vm_hours", "cost_usd", "work_vm_hours", "floor_vm_hours")
    )
    return BoundRow(
        line["scenario"], int(line["seed"]), line["variant"], hours, dollars, work, floor
    )
