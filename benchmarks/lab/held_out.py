"""Errors of the packaged profiles on measurements that their fits have not seen.

The cells of a model and GPU (engine, precision, number of GPUs, prompt and output lengths) are
dealt into four folds; the form of the packaged table is fitted to three of them, and the rows of
the fourth are simulated in the product's kernel, as `sageserve fidelity hardware` does. Where a
fold holds every row of an instance, its profile comes from those with other numbers of GPUs.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from lab.packaged import Group, by_group, choose
from sageserve_bench.results.journal import Journal
from sageserve_env.catalogue.gpus import slice_name
from sageserve_env.catalogue.tables import measured, model_facts
from sageserve_validation.fidelity.hardware import simulate
from sageserve_validation.fitting.measurements import Cell, Measurement, read_silicon

FOLDS: Final = 4
Reporter: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Unseen:
    """A row that was held out: what was measured and what was predicted.

    Attributes:
        model: Name in the catalogue.
        slice: VM type.
        clients: Requests in the system at any time.
        prompt_tokens: Longest prompt.
        output_tokens: Longest output.
        fold: In which it was held out.
        budget_tokens: Token budget that fitted the other folds best.
        others: Rows of the same instance that were fitted; 0 if its profile is extrapolated.
        ttft_s: Measured.
        tpot_s: Measured.
        ttft_error: Absolute relative error of the predicted mean TTFT.
        tpot_error: The same of TPOT.
    """

    model: str
    slice: str
    clients: int
    prompt_tokens: int
    output_tokens: int
    fold: int
    budget_tokens: int
    others: int
    ttft_s: float
    tpot_s: float
    ttft_error: float
    tpot_error: float


def deal(rows: Sequence[Measurement], folds: int = FOLDS) -> list[set[Cell]]:
    """Deal the cells of a model and GPU into folds, the same every time."""
    cells = sorted({row.cell for row in rows})
    order = np.random.default_rng(0).permutation(len(cells))
    return [{cells[i] for i in order[fold::folds]} for fold in range(folds)]


def predict(group: Group, rows: Sequence[Measurement], fold: int, out: set[Cell]) -> list[Unseen]:
    """Fit to the rows outside a fold and simulate those in it.

    Rows of an instance that has no packaged profile are left out.
    """
    fit = choose(group, rows, out)
    found = []
    for row in rows:
        if row.cell not in out or (row.model, row.device, row.gpus) not in measured():
            continue
        done = simulate(row, fit.profiles[row.gpus], fit.budget)
        found.append(
            Unseen(
                model=row.model,
                slice=slice_name(row.device, row.gpus),
                clients=row.clients,
                prompt_tokens=row.prompt_tokens,
                output_tokens=row.output_tokens,
                fold=fold,
                budget_tokens=fit.budget,
                others=len(fit.instances[row.gpus].rows),
                ttft_s=row.ttft_s,
                tpot_s=row.tpot_s,
                ttft_error=done.ttft_error,
                tpot_error=done.tpot_error,
            )
        )
    return found


def held_out(file: Path, journal: Journal, report: Reporter) -> Iterator[Unseen]:
    """Predict every usable row of a file of measurements, each by a fit without its cell.

    Args:
        file: Measurements in the columns of aiconfigurator.
        journal: Folds that are done, and where those of this run go.
        report: Called with a line for each fold.
    """
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    groups = by_group(read_silicon(file)[0])
    order = list(model_facts())
    for group in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        rows = groups[group]
        for fold, out in enumerate(deal(rows)):
            key = f"{digest} {' '.join(group)} {fold}"
            if journal.get(key) is None:
                journal.add(key, {"rows": [asdict(one) for one in predict(group, rows, fold, out)]})
            found = [Unseen(**one) for one in journal.get(key)["rows"]]
            if found:
                report(f"{' '.join(group)}, fold {fold + 1}: {line(found)}")
            yield from found


def line(found: Sequence[Unseen]) -> str:
    """Return the errors of some rows in words."""
    return "{rows} rows, TPOT median {0:.1%}, p90 {1:.1%}, TTFT median {2:.1%}".format(
        *_figures(found), rows=len(found)
    )


def table(found: Sequence[Unseen]) -> list[list[Any]]:
    """Return rows, TPOT median, p90 and TTFT median over all, per model and per profile."""
    parts: dict[str, list[Unseen]] = {"all": list(found)}
    parts["all, profile extrapolated"] = [one for one in found if one.others == 0]
    for model in dict.fromkeys(one.model for one in found):
        own = parts[model] = [one for one in found if one.model == model]
        for name in sorted({one.slice for one in own}):
            parts[f"{model} {name}"] = [one for one in own if one.slice == name]
    return [
        [name, len(own), *(f"{100 * error:.1f} %" for error in _figures(own))]
        for name, own in parts.items()
        if own
    ]


def _figures(found: Sequence[Unseen]) -> tuple[float, float, float]:
    tpot = [one.tpot_error for one in found]
    ttft = [one.ttft_error for one in found]
    return float(np.median(tpot)), float(np.quantile(tpot, 0.9)), float(np.median(ttft))


def write_rows(path: Path, found: Iterable[Unseen]) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Unseen)], lineterminator="\n")
        writer.writeheader()
        for one in found:
            values = asdict(one)
            digits = {k: f"{v:.5g}" for k, v in values.items() if isinstance(v, float)}
            writer.writerow(values | digits)
