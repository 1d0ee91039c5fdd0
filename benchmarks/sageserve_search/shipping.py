"""Calibrated options that ship: settings of each agent at equal service, the cheapest one kept.

Every agent has the same budget and the same stack to choose from
(`sageserve_agents.stack.STACK_TUNABLE`), beside its own tunable options. The options as they come
are calibrated on a few of the seeds; then one option after another is changed, and a change is
kept if the cost at equal service falls (`sageserve_search.tuning.equal_cost`). What is found is
calibrated on all seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sageserve_agents import calibrated
from sageserve_agents.parameters import ServiceKnob
from sageserve_agents.registry import parse_spec
from sageserve_bench.errors import UserError
from sageserve_search.calibration import Calibration, calibrate
from sageserve_search.knob import position_of, service_knob
from sageserve_search.probing import Prober, uncalibrated, with_options
from sageserve_search.tuning import MOST_CREDIT, cost_rate, equal_cost, space_of

SEARCH_PROBES = 5
"""Values of the service knob with which the options as they come are calibrated at first."""

LEAST_GAIN = 0.002
"""Share of the cost at equal service by which a change has to lower it."""

SHIPPED_FIGURES = ("cost_usd", "reward", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")


def explore(agent: str, prober: Prober, knob: ServiceKnob, count: int, margin: float) -> str:
    """Change one option after another; return the specification with those that paid.

    Args:
        agent: Specification; options given in it are not varied.
        prober: Runs a specification on a few seeds.
        knob: The service knob, which follows the service of what was kept.
        count: Changes to try.
        margin: Margin of the service to aim at.
    """
    first = calibrate(agent, prober, knob=knob, max_probes=SEARCH_PROBES, margin=margin)
    space = space_of(agent, knob, prober.scenario)
    rate, pace = cost_rate(first), _pace(first)
    rng = np.random.default_rng(0)
    changes = {option: values.changes(rng) for option, values in space.items()}
    kept: dict[str, Any] = {}
    position = position_of(knob, first.value)
    least = equal_cost(first.best, rate, margin)
    best = first.spec
    for option in islice(cycle(space), count):
        value = space[option].changed(kept.get(option), next(changes[option]))
        setting = {**kept, option: value, knob.option: knob.at(position)}
        try:
            probe = prober(with_options(agent, setting))
        except UserError:  # options that exclude each other
            continue
        cost = equal_cost(probe, rate, margin)
        if cost < (1.0 - LEAST_GAIN) * least:
            least, best, kept = cost, probe.spec, {**kept, option: value}
            beyond = min(max(probe.margin - margin, -MOST_CREDIT), MOST_CREDIT)
            position = min(max(position - pace * beyond, 0.0), 1.0)
    return best


def _pace(calibration: Calibration) -> float:
    """Return by how much the knob's position moves per unit of margin, about."""
    knob = calibration.knob
    points = sorted(
        (p.margin, position_of(knob, float(parse_spec(p.spec)[1][knob.option])))
        for p in calibration.probes
    )
    near = sorted(points, key=lambda one: abs(one[0]))[:2]
    if len(near) < 2 or abs(near[0][0] - near[1][0]) < 1e-3:
        return 0.0
    slope = (near[0][1] - near[1][1]) / (near[0][0] - near[1][0])
    return min(max(slope, 0.0), 0.25)


def calibrate_settings(
    agent: str,
    prober: Prober,
    count: int,
    search_seeds: int,
    *,
    knob: ServiceKnob | None = None,
    max_probes: int = 10,
    margin: float = 0.0,
) -> Calibration:
    """Calibrate an agent with the best options of those tried.

    Args:
        agent: Specification; options given in it are not varied. Calibrated options that ship are
            left aside.
        prober: Runs a specification on all seeds.
        count: Changes of options that are tried.
        search_seeds: Seeds on which they are compared.
        knob: What to turn; default the agent's own.
        max_probes: Values of the knob at most on all seeds.
        margin: Margin of the service to aim at.
    """
    raw = uncalibrated(agent)
    turned = knob or service_knob(raw)
    best = raw
    if count > 0:
        few = replace(prober, seeds=list(prober.seeds)[:search_seeds])
        best = explore(raw, few, turned, count, margin)
    return calibrate(best, prober, knob=turned, max_probes=max_probes, margin=margin)


def write_shipped(
    scenario: str, one: Calibration, seeds: Sequence[int], folder: Path | None = None
) -> Path:
    """Put a calibration into the file of the scenario that ships; others and its comments stay."""
    path = (folder or calibrated.FOLDER) / f"{scenario}.yaml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    data: dict[str, Any] = yaml.safe_load(text) or {}
    name, options = parse_spec(one.spec)
    options.pop("calibrated", None)
    measured = {k: round(float(v), 4) for k, v in one.best.means.items() if k in SHIPPED_FIGURES}
    data.setdefault("agents", {})[name] = {k: yaml.safe_load(v) for k, v in options.items()}
    data.setdefault("measured", {})[name] = {"seeds": len(seeds), **measured}
    lines = [line for line in text.splitlines() if line.startswith("#")] or [
        f"# Options at which agents attain the targets of {scenario}, written by `sageserve",
        "# calibrate --ship`, and what they came to on that many validation days.",
    ]
    lines += [f"like: {data['like']}"] if "like" in data else []
    for part in ("agents", "measured"):
        lines.append(f"{part}:")
        for key, value in data[part].items():
            shown = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
            lines.append(f"  {key}: {shown.strip()}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    calibrated.calibrated.cache_clear()
    return path
