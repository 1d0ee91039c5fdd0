"""Tables of published headroom: one file of `sageserve headroom --json` per scenario."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from sageserve_bench.errors import UserError
from sageserve_env.knobs import BY_NAME
from sageserve_env.scenario import list_scenarios, load_scenario
from sageserve_search.headroom.ablation import BETWEEN, NEVER, shown
from sageserve_search.headroom.worth import KNOBS

ROWS = (
    ("least_fleet", "least fleet"),
    ("static", "static fleet"),
    ("rule", "best rule"),
    ("planner", "best planner"),
    ("perfect", "planner with a perfect forecast"),
    ("learned", "learned"),
    ("hindsight", "search with hindsight"),
    ("bound", "relaxation"),
)
CONDITIONS = (
    ("least fleet / best", 0.10, False),
    ("headroom", 0.15, True),
    ("of it decisions", 0.06, True),
    ("static / best", 0.40, True),
)


def headroom_tables(folder: Path) -> Callable[[str], str]:
    """Return what makes the tables of a scenario from the files in a folder.

    ``conditions`` is the table of all scenarios.
    """

    def make(name: str) -> str:
        if name == "conditions":
            found = [_read(path) for path in sorted(folder.glob("*.json"))]
            return conditions(found) if found else "No headroom is published yet."
        path = folder / f"{name}.json"
        if not path.is_file():
            raise UserError(f"headroom {name}: {path.name} is not published")
        return figures(_read(path))

    return make


def figures(report: Mapping[str, Any]) -> str:
    """Return the table of a scenario: dollars with intervals and service attained."""
    lines = [
        "| | agent | dollars | IW-F % | IW-N % | NIW % | worst model % |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for key, title in ROWS:
        usd = report.get(f"{key}_usd")
        if usd is None:
            continue
        service = report.get(f"{key}_service") or {}
        shares = [service.get(f"slo_{t}") for t in ("iwf", "iwn", "niw", "worst_model")]
        spec = f"`{report[key]}`" if report.get(key) else ""
        low, high = report["intervals"][f"{key}_usd"]
        bill = f"{usd:,.0f}" if high - low < 1.0 else f"{usd:,.0f} ({low:,.0f} to {high:,.0f})"
        cells = ("" if share is None else f"{100 * share:.2f}" for share in shares)
        lines.append(f"| {title} | {spec} | {bill} | {' | '.join(cells)} |")
    seeds = ", ".join(str(row["seed"]) for row in report["seeds"])
    plays = report["hindsight_plays"]
    begun = ", which began with plans found before" if " --from " in report["command"] else ""
    told = f"Seeds {seeds}; {plays} plays of each in the search{begun}. `{report['command']}`"
    redrawn = report.get("redrawn")
    if redrawn:
        gaps = " and ".join(
            f"{100 * redrawn[key]:.1f} % {over}"
            for key, over in (("headroom", "in all"), ("headroom_decision", "of decisions"))
            if redrawn.get(key) is not None
        )
        told = f"On the same days with other requests: {gaps}. {told}"
    return "\n".join([*lines, "", told])


def conditions(reports: list[Mapping[str, Any]]) -> str:
    """Return what each scenario shows of the conditions, with 95 % intervals where there are.

    A static fleet that serves less than the plans were asked for is marked: as much service would
    make it dearer still. What a knob is worth stands there for the best agent and at most for the
    plans, in parentheses where the scenario does not hand it over.
    """
    both = [(one.get("agent_frozen") or {}, one.get("frozen") or {}) for one in reports]
    knobs = sorted({knob for agent, plans in both for knob in (*agent, *plans)})
    titles = [
        *(f"{title} {'≥' if least else '≤'} {limit:.0%}" for title, limit, least in CONDITIONS),
        *(f"{knob} ≥ 2%" for knob in knobs),
    ]
    lines = ["| scenario | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for one, (agent, plans) in zip(reports, both, strict=True):
        best = fmean(row["rival_usd"] for row in one["seeds"])
        values = [
            _share(one["least_fleet_usd"] / best, 0.10, least=False),
            _share(one["headroom"], 0.15, interval=one["intervals"].get("headroom")),
            _share(one["headroom_decision"], 0.06, one["intervals"].get("headroom_decision")),
            _serving_less(one) + _share(one["static_usd"] / best - 1.0, 0.40),
        ]
        values += [
            _worth(agent.get(knob), plans.get(knob), offered=_handed_over(one, knob))
            for knob in knobs
        ]
        lines.append(f"| `{one['scenario']}` | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _worth(agent: Mapping[str, Any] | None, plans: float | None, *, offered: bool) -> str:
    """Return what a knob is worth to the best agent and at most to the plans, which is no proof."""
    if agent is None and plans is None:
        return "-"
    both = f"{_of_agent(agent)} / {'-' if plans is None else f'≤ {round(100 * plans, 1) + 0.0}'}"
    return both if offered else f"({both})"


def _handed_over(report: Mapping[str, Any], knob: str) -> bool:
    """Return whether ``control="joint"`` hands a knob over, with batch work for that of batch."""
    scenario = report["scenario"]
    if knob not in KNOBS or scenario not in list_scenarios():
        return True
    if knob == "batch" and "slo_niw" not in report["hindsight_service"]:
        return False
    loaded = load_scenario(scenario)
    return any(BY_NAME[name].joint.holds(loaded) for name in KNOBS[knob])


def _of_agent(found: Mapping[str, Any] | None) -> str:
    """Return what a knob is worth to an agent, as `_share`; in bold too where nothing attains."""
    if found is None:
        return "-"
    if found["said"] == BETWEEN:
        return _share(found["more"], 0.02)
    return f"**{NEVER}**" if found["said"] == NEVER else shown(found)


def _serving_less(report: Mapping[str, Any]) -> str:
    """Return a mark where the static fleet serves less than was asked of the plans."""
    service = report.get("static_service") or {}
    asked = report.get("asked") or {}
    return "> " if any(service.get(name, 1.0) < floor for name, floor in asked.items()) else ""


def _share(
    value: float | None,
    limit: float,
    interval: list[float] | None = None,
    *,
    least: bool = True,
) -> str:
    """Return a share in per cent, in bold where it meets its limit."""
    if value is None:
        return "-"
    figure = f"{100 * value:.1f}"
    if (value >= limit) == least:
        figure = f"**{figure}**"
    return figure + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def _read(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
