"""`report.html`: one file with everything in it, readable without a server and on a phone."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from sageserve_bench.errors import UserError
from sageserve_bench.outcome import Outcome, conclude
from sageserve_bench.report_data import report_data, short_names
from sageserve_bench.rows import Row, with_scores, write_text
from sageserve_bench.store import REPORT, Store
from sageserve_bench.table import Format, columns_of
from sageserve_env.scenario import Scenario


def rebuild_report(store: Store) -> None:
    """Write the report of a folder anew from its rows and runs.

    Raises:
        UserError: If the folder holds no finished comparison.
    """
    rows = with_scores(store.read_rows())
    summary = store.read_summary()
    if not rows or "configuration" not in summary:
        raise UserError(f"{store.folder}: holds no finished comparison; run sageserve compare")
    write_text(
        store.folder / REPORT,
        build_report(store, rows, summary, conclude(rows, summary["targets"])),
    )


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
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("plotly is not installed: pip install 'sageserve-env[report]'") from error
    scenario = Scenario.from_dict(dict(summary["configuration"]))
    data = report_data(store, rows, outcome, scenario)
    requests = sum(int(str(row["requests"])) for row in rows)
    seeds = len({row["seed"] for row in rows})
    text = {
        "TITLE": html.escape(f"{scenario.name}: {', '.join(data['traces'])}"),
        "HEADING": html.escape(
            f"Scenario {scenario.name}, {'trace' if len(data['traces']) == 1 else 'traces'} "
            f"{', '.join(data['traces'])}"
        ),
        "SUBTITLE": html.escape(
            f"{len(outcome.agents)} agents on identical traffic, {seeds} "
            f"{'seed' if seeds == 1 else 'seeds'}, {len(rows)} runs, {requests:,} requests served "
            "one by one in simulation."
        ),
        "VERDICT": "".join(f"<p>{html.escape(line)}</p>" for line in outcome.verdict),
        "ASSUMED": "".join(
            f"<li>{html.escape(line)}</li>" for line in summary.get("assumptions", ())
        ),
        "TABLE_NOTE": "Interquartile means over runs"
        + (", with 95 % stratified bootstrap intervals below." if seeds > 1 else ".")
        + " Red: the plain mean misses the service target.",
        "TABLE": summary_table(outcome),
        "SETTINGS": settings(outcome),
        "VERSIONS": _pretty(summary.get("versions", {})),
        "GRID": _pretty(summary.get("grid", {})),
        "CONFIGURATION": _pretty(summary["configuration"]),
        "DATA": _embedded(data),
        "CSS": _asset("report.css"),
        "JS": _asset("report.js"),
        "PLOTLY": get_plotlyjs(),
    }
    pieces = _asset("report.html").split("%")
    return "".join(
        text.get(piece, f"%{piece}%") if position % 2 else piece
        for position, piece in enumerate(pieces)
    )


def _asset(name: str) -> str:
    return files("sageserve_bench").joinpath("assets", name).read_text(encoding="utf-8")


def _pretty(value: object) -> str:
    return html.escape(json.dumps(value, indent=2))


def _embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def summary_table(outcome: Outcome) -> str:
    """Return the table of agents as HTML."""
    present = columns_of(outcome)
    short = short_names([a.agent for a in outcome.agents])
    good = [a for a in outcome.agents if a.attains and not a.clairvoyant]
    best = min(good, key=lambda a: a.cost_per_day_usd).agent if good else None
    head = "".join(f"<th>{html.escape(title)}</th>" for _, title, _ in present)
    body = []
    for agent in outcome.agents:
        cells = []
        for name, _, shown in present:
            target = outcome.targets.get(name)
            bad = target is not None and agent.means.get(name, 1.0) < target
            bad |= any(miss.startswith(f"{name} ") for miss in agent.misses)  # unfinished
            cells.append(
                f"<td{' class=bad' if bad else ''}>{_cell(agent.figures, name, shown)}</td>"
            )
        label = html.escape(short[agent.agent])
        if agent.agent == best:
            label += ' <span class="tag good">cheapest</span>'
        elif agent.clairvoyant:
            label += ' <span class="tag">clairvoyant</span>'
        body.append(f"<tr><td>{label}</td><td>{agent.runs}</td>{''.join(cells)}</tr>")
    return (
        f"<table><thead><tr><th>agent</th><th>runs</th>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def settings(outcome: Outcome) -> str:
    """Return the full specifications of agents whose names are cut, as HTML; empty if none is."""
    short = short_names([a.agent for a in outcome.agents])
    lines = [
        f"<li><b>{html.escape(name)}</b> {html.escape(agent)}</li>"
        for agent, name in short.items()
        if name != agent
    ]
    if not lines:
        return ""
    return f"<details><summary>Settings of the agents</summary><ul>{''.join(lines)}</ul></details>"


def _cell(figures: Mapping[str, Any], name: str, shown: Format) -> str:
    if name not in figures:
        return "-"
    figure = figures[name]
    if figure.low is None or figure.high is None:
        return shown(figure.value)
    return f"{shown(figure.value)}<small>{shown(figure.low)}..{shown(figure.high)}</small>"
