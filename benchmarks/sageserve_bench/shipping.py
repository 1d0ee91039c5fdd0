"""Calibrated options that ship: a few settings of each agent at equal service, the best one kept.

Every agent has the same budget: the options as they come and the same number of draws of its own
tunable options, of the feedback on its own misses and of the ceiling of batch work. Each is
calibrated on a few of the seeds; the one with the best return among those that attain is calibrated
on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sageserve_agents import calibrated
from sageserve_agents.parameters import Choice, Range, ServiceKnob
from sageserve_agents.registry import agent_class, parse_spec
from sageserve_agents.stack import StackOptions
from sageserve_bench.calibration import Calibration, calibrate, service_knob
from sageserve_bench.errors import UserError
from sageserve_bench.probing import Prober, uncalibrated, with_options

SEARCH_PROBES = 5
"""Values of the service knob that each setting may have in the search."""

FEEDBACK = Choice((0.0, 3.0, 6.0))
"""Gains of the feedback on own misses that settings are drawn from (A)."""

CEILINGS = Choice((0.6, 0.8, 1.0))
"""Ceilings of batch work that settings are drawn from (A)."""

OWN_OPTIONS = 2
"""Of an agent's tunable options the first so many are drawn."""

SHIPPED_FIGURES = ("cost_usd", "reward", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")


def settings_of(agent: str, count: int, knob: ServiceKnob) -> list[dict[str, Any]]:
    """Return settings to try: the options as they come and ``count - 1`` draws of others."""
    name, given = parse_spec(agent)
    cls = agent_class(name)
    own = {k: v for k, v in getattr(cls, "tunable", {}).items() if k not in {knob.option, *given}}
    space: dict[str, Range | Choice] = dict(list(own.items())[:OWN_OPTIONS])
    if issubclass(getattr(cls, "options_type", object), StackOptions):
        shared = {"feedback": FEEDBACK, "niw_ceiling": CEILINGS}
        space |= {k: v for k, v in shared.items() if k not in given}
    rng = np.random.default_rng(count)
    draws = [{k: _draw(v, rng) for k, v in space.items()} for _ in range(count - 1)]
    return [{}, *(draw for draw in draws if draw)]


def _draw(values: Range | Choice, rng: np.random.Generator) -> Any:
    if isinstance(values, Choice):
        return values.values[int(rng.integers(len(values.values)))]
    if values.kind == "log":
        drawn = float(np.exp(rng.uniform(np.log(values.low), np.log(values.high))))
    else:
        drawn = float(rng.uniform(values.low, values.high))
    return round(drawn) if values.kind == "int" else float(f"{drawn:.3g}")


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
    """Calibrate the best of some settings of an agent.

    Args:
        agent: Specification; options given in it are not varied. Calibrated options that ship are
            left aside.
        prober: Runs a specification on all seeds.
        count: Settings, that of the specification among them.
        search_seeds: Seeds on which settings are compared.
        knob: What to turn; default the agent's own.
        max_probes: Values of the knob at most on all seeds.
        margin: Margin of the service to aim at.
    """
    raw = uncalibrated(agent)
    turned = knob or service_knob(raw)
    best = raw
    if count > 1:
        few = replace(prober, seeds=list(prober.seeds)[:search_seeds])
        found = []
        for setting in settings_of(agent, count, turned):
            try:
                one = calibrate(
                    with_options(raw, setting),
                    few,
                    knob=turned,
                    max_probes=SEARCH_PROBES,
                    margin=margin,
                )
            except UserError:  # options that exclude each other
                continue
            found.append(one)
        best = max(found, key=lambda c: (c.attains, c.best.means["reward"])).spec
    return calibrate(best, prober, knob=turned, max_probes=max_probes, margin=margin)


def write_shipped(
    scenario: str, one: Calibration, seeds: Sequence[int], folder: Path | None = None
) -> Path:
    """Put a calibration into the file of the scenario that ships; others stay in it."""
    path = (folder or calibrated.FOLDER) / f"{scenario}.yaml"
    data: dict[str, Any] = {}
    if path.is_file():
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    name, options = parse_spec(one.spec)
    options.pop("calibrated", None)
    measured = {k: round(float(v), 4) for k, v in one.best.means.items() if k in SHIPPED_FIGURES}
    data.setdefault("agents", {})[name] = {k: yaml.safe_load(v) for k, v in options.items()}
    data.setdefault("measured", {})[name] = {"seeds": len(seeds), **measured}
    lines = [
        f"# Options at which agents attain the targets of {scenario}, written by `sageserve",
        "# calibrate --ship`, and what they came to on that many validation days.",
    ]
    for part in ("agents", "measured"):
        lines.append(f"{part}:")
        for key, value in data[part].items():
            shown = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
            lines.append(f"  {key}: {shown.strip()}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    calibrated.calibrated.cache_clear()
    return path
