"""What a comparison writes when it is done: ``summary.json`` and ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sageserve_bench.analysis.assumptions import assumptions
from sageserve_bench.analysis.outcome import Outcome, conclude, targets_of
from sageserve_bench.analysis.targets import least_vms
from sageserve_bench.analysis.verdict import DAYS_PER_MONTH
from sageserve_bench.report.page import build_report
from sageserve_bench.results.store import REPORT, SUMMARY, Store
from sageserve_bench.rows import Row, write_json, write_text
from sageserve_bench.runs.grid import Grid
from sageserve_bench.runs.versions import versions


def summarise(rows: Sequence[Row], outcome: Outcome, grid: Grid) -> dict[str, Any]:
    """Return ``summary.json``: what was asked, what came out, with which versions."""
    return {
        "scenario": {"name": grid.scenario.name, "config_hash": grid.scenario.config_hash},
        "grid": grid.to_dict(),
        "runs": len(rows),
        "targets": dict(outcome.targets),
        "least_vms": least_vms(grid.scenario),
        "verdict": list(outcome.verdict),
        "assumptions": assumptions(grid, rows),
        "pareto_front": list(outcome.front),
        "agents": {
            a.agent: {
                "runs": a.runs,
                "clairvoyant": a.clairvoyant,
                "attains": a.attains,
                "misses": list(a.misses),
                "cost_per_day_usd": a.cost_per_day_usd,
                "cost_per_month_usd": a.cost_per_day_usd * DAYS_PER_MONTH,
                "mean": dict(a.means),
                "iqm": {name: figure.to_dict() for name, figure in a.figures.items()},
                "against_cheapest": {
                    name: figure.to_dict()
                    for name, figure in outcome.pairs.get(a.agent, {}).items()
                },
            }
            for a in outcome.agents
        },
        "versions": versions(),
        "configuration": grid.scenario.to_dict(),
    }


def write_outcome(store: Store, rows: Sequence[Row], grid: Grid) -> Outcome:
    """Write ``summary.json`` and ``report.html``; return what the rows say."""
    cluster = grid.scenario
    outcome = conclude(rows, targets_of(cluster), least_vms=least_vms(cluster))
    summary = summarise(rows, outcome, grid)
    write_json(store.folder / SUMMARY, summary)
    write_text(store.folder / REPORT, build_report(store, rows, summary, outcome))
    return outcome
