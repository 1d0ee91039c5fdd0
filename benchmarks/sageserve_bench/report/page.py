"""`report.html`: one file with everything in it, readable without a server and on a phone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.errors import UserError
from sageserve_bench.report.data import report_data
from sageserve_bench.report.table import Format, cheapest, columns_of
from sageserve_bench.results.store import REPORT, Store
from sageserve_bench.rows import Row, with_scores, write_text
from sageserve_bench.wording import short_names
from sageserve_env.extras import install_command
from sageserve_env.scenario import Scenario

BADGE = "cheapest at the targets"
"""Beside the name of the cheapest policy that meets every service target."""


def rebuild_report(store: Store) -> None:
    """Write the report of a folder anew from its rows and runs.

    Raises:
        UserError: If the folder holds no finished comparison.
    """
    rows = with_scores(store.read_rows())
    summary = store.read_summary()
    if not rows or "configuration" not in summary:
        raise UserError(f"{store.folder}: holds no finished comparison; run sageserve compare")
    least = float(summary.get("least_vms", 0.0))
    outcome = conclude(rows, summary["targets"], least_vms=least)
    write_text(store.folder / REPORT, build_report(store, rows, summary, outcome))


def build_report(
    store: Store, rows: Sequence[Row], summary: Mapping[str, Any], outcome: Outcome
) -> str:
    """Return the report as one HTML document.

    Args:
        store: Where the runs lie; those without a time series are left out of the time lines.
        rows: Rows with scores.
        summary: Content of ``summary.json``.
        outcome: What the rows say.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(f"{error.name} is not installed: {install_command('report')}") from error
    scenario = Scenario.from_dict(dict(summary["configuration"]))
    environment = Environment(
        loader=PackageLoader("sageserve_bench.report", "assets"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    page: str = environment.get_template("report.html").render(
        scenario=scenario.name,
        traces=list(dict.fromkeys(str(row["trace"]) for row in rows)),
        seeds=len({row["seed"] for row in rows}),
        runs=len(rows),
        requests=sum(int(str(row["requests"])) for row in rows),
        verdict=outcome.verdict,
        assumed=summary.get("assumptions", ()),
        badge=BADGE,
        columns=[column.title for column in columns_of(outcome)],
        agents=agent_lines(outcome),
        settings=settings(outcome),
        details={
            "Versions": _pretty(summary.get("versions", {})),
            "Comparison": _pretty(summary.get("grid", {})),
            "Scenario": _pretty(summary["configuration"]),
        },
        data=_embedded(report_data(store, rows, outcome, scenario)),
        plotly=get_plotlyjs(),
    )
    return page


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2)


def _embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def agent_lines(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a line of the table per agent: name, tag, runs and cells.

    A cell is the figure, its interval (empty if there is none) and whether it misses its target.
    """
    short = short_names([a.agent for a in outcome.agents])
    best = cheapest(outcome)
    lines = []
    for agent in outcome.agents:
        tag = "clairvoyant" if agent.clairvoyant else BADGE if agent.agent == best else ""
        cells = [_cell(agent, outcome, name, shown) for name, _, shown, _ in columns_of(outcome)]
        lines.append({"name": short[agent.agent], "tag": tag, "runs": agent.runs, "cells": cells})
    return lines


def _cell(agent: AgentOutcome, outcome: Outcome, name: str, shown: Format) -> tuple[str, str, bool]:
    target = outcome.targets.get(name)
    missed = target is not None and agent.means.get(name, 1.0) < target
    missed |= any(miss.startswith(f"{name} ") for miss in agent.misses)  # unfinished
    figure = agent.figures.get(name)
    if figure is None:
        return "-", "", missed
    if figure.low is None or figure.high is None:
        return shown(figure.value), "", missed
    return shown(figure.value), f"{shown(figure.low)}..{shown(figure.high)}", missed


def settings(outcome: Outcome) -> dict[str, str]:
    """Return the full specification of each agent whose name is cut, by its short name."""
    short = short_names([a.agent for a in outcome.agents])
    return {name: agent for agent, name in short.items() if name != agent}
