"""The packaged table of profiles, made anew from measurements.

``python -m lab.packaged FILE --output profiles.csv`` fits every model, GPU and
engine of the catalogue with enough measurements. `lab.held_out` has their error on rows that a fit
has not seen.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import numpy as np
import typer

from sageserve_env.catalogue import LatencyProfile
from sageserve_env.catalogue.roofline import kv_tokens
from sageserve_env.catalogue.tables import Measured, devices, model_facts
from sageserve_validation.fitting.closed_loops import Instance, closed_loop, fit_group
from sageserve_validation.fitting.measurements import (
    Cell,
    Measurement,
    engine_batching,
    read_silicon,
)
from sageserve_validation.fitting.replica import Rules
from sageserve_validation.fitting.shape import Physics

LEAST_ROWS: Final = 10
SWEEP_BUDGET: Final = 8192
"""Token budget of the vLLM servers of the InferenceMAX sweeps; taken for their other engines too
(our assumption)."""
BUDGETS: Final = (2048, 4096, 8192)
"""Where the budget is not known, the one that fits best."""

Group: TypeAlias = tuple[str, str]  # model and device


@dataclass(frozen=True)
class Fit:
    """The fitted instances of one model and GPU, by number of GPUs."""

    budget: int
    instances: dict[int, Instance]
    profiles: dict[int, LatencyProfile]

    def errors(self, rows: Iterable[Measurement]) -> tuple[list[float], list[float]]:
        """Return absolute relative errors of TPOT and TTFT of rows of known numbers of GPUs."""
        tpot, ttft = [], []
        for row in rows:
            if row.gpus in self.profiles:
                rules = self.instances[row.gpus].rules
                first_s, each_s = closed_loop(self.profiles[row.gpus], rules, row)
                ttft.append(abs(first_s / row.ttft_s - 1.0))
                tpot.append(abs(each_s / row.tpot_s - 1.0))
        return tpot, ttft


def by_group(rows: Iterable[Measurement]) -> dict[Group, list[Measurement]]:
    """Return the rows that can be fitted, by model and device."""
    groups = defaultdict(list)
    for row in rows:
        if not row.saturated:
            groups[row.model, row.device].append(row)
    return {group: own for group, own in groups.items() if len(own) >= LEAST_ROWS}


def fit_rows(
    group: Group, rows: Sequence[Measurement], budget: int, out: Collection[Cell] = ()
) -> Fit:
    """Fit one model on one GPU type under a token budget to the rows outside some cells."""
    facts, device = model_facts()[group[0]], devices()[group[1]]
    instances = {}
    for gpus in sorted({row.gpus for row in rows}):
        capacity = kv_tokens(facts, device, gpus)
        own = tuple(row for row in rows if row.gpus == gpus)
        if capacity > max(row.prompt_tokens + row.output_tokens for row in own):
            rules = Rules.of(engine_batching(facts.engine, budget), capacity)
            known = tuple(row for row in own if row.cell not in out)
            instances[gpus] = Instance(gpus, Physics.of(facts, device, gpus), rules, known)
    profiles = fit_group(list(instances.values()))
    return Fit(budget, instances, dict(zip(instances, profiles, strict=True)))


def choose(group: Group, rows: Sequence[Measurement], out: Collection[Cell] = ()) -> Fit:
    """Fit one model on one GPU type; where the budget is unknown, under the best one.

    Args:
        group: Model and GPU type.
        rows: Its measurements.
        out: Cells that are not looked at.
    """
    if any(row.spread < 1.0 for row in rows):
        return fit_rows(group, rows, SWEEP_BUDGET, out)
    fits = [fit_rows(group, rows, budget, out) for budget in BUDGETS]
    known = [row for row in rows if row.cell not in out]
    return min(fits, key=lambda fit: float(np.mean(fit.errors(known)[0])))


def table_rows(group: Group, fit: Fit) -> list[Measured]:
    """Return the rows of the packaged table."""
    found = []
    for gpus, profile in fit.profiles.items():
        rows = fit.instances[gpus].rows
        tpot, ttft = fit.errors(rows)
        found.append(
            Measured(
                model=group[0],
                device=group[1],
                gpus=gpus,
                budget_tokens=fit.budget,
                prefill_ms=_digits(1e3 * profile.prefill_base_s),
                attention_ms=_digits(1e3 * profile.prefill_per_token2_s),
                sequence_ms=_digits(1e3 * profile.decode_per_sequence_s),
                context_ms=_digits(1e3 * profile.decode_per_context_token_s),
                frontend_ms=_digits(1e3 * profile.frontend_s),
                pass_ms=tuple(_digits(1e3 * s) for _, s in profile.pass_table),
                rows=len(rows),
                tpot_error=_digits(float(np.median(tpot)), 3),
                ttft_error=_digits(float(np.median(ttft)), 3),
            )
        )
    return found


def _digits(value: float, digits: int = 5) -> float:
    return float(f"{value:.{digits}g}")


def write_table(path: Path, rows: Sequence[Measured]) -> None:
    """Write rows as the packaged CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            values["pass_ms"] = " ".join(f"{ms:g}" for ms in row.pass_ms)
            writer.writerow(values)


def main(
    file: Annotated[Path, typer.Argument(help="Measurements in the columns of aiconfigurator.")],
    output: Annotated[Path, typer.Option("--output", help="The table of profiles.")],
) -> None:
    """Fit the packaged table of profiles."""
    groups = by_group(read_silicon(file)[0])
    order = list(model_facts())
    table: list[Measured] = []
    for group in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        rows = groups[group]
        fit = choose(group, rows)
        table += table_rows(group, fit)
        typer.echo(f"{' '.join(group):32} {_line(*fit.errors(rows))}")
    write_table(output, table)


def _line(tpot: Sequence[float], ttft: Sequence[float]) -> str:
    return (
        f"rows {len(tpot):4} TPOT {np.median(tpot):.3f} p90 {np.quantile(tpot, 0.9):.3f} "
        f"TTFT {np.median(ttft):.3f}"
    )


if __name__ == "__main__":
    typer.run(main)
