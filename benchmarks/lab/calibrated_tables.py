"""Tables of the calibrated options that ship: what each agent costs at equal service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sageserve_agents import calibrated
from sageserve_bench.errors import UserError
from sageserve_env._markdown import markdown_table

_SHARES = (
    ("slo_iwf", "IW-F %"),
    ("slo_iwn", "IW-N %"),
    ("slo_niw", "NIW %"),
    ("slo_worst_model", "worst model %"),
)


def calibrated_table(scenario: str, folder: Path | None = None) -> str:
    """Return the calibrated agents of a scenario, the cheapest first, with their options.

    Raises:
        UserError: If no measured options ship for the scenario.
    """
    path = (folder or calibrated.FOLDER) / f"{scenario}.yaml"
    data: dict[str, Any] = {}
    if path.is_file():
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    measured, options = data.get("measured"), data.get("agents", {})
    if not measured:
        raise UserError(f"calibrated {scenario}: no measured options ship")
    rows = []
    for name in sorted(measured, key=lambda one: float(measured[one]["cost_usd"])):
        found = measured[name]
        shares = [f"{100 * found[key]:.1f}" if key in found else "-" for key, _ in _SHARES]
        spec = "; ".join(f"{key}={value}" for key, value in options.get(name, {}).items())
        rows.append(
            [f"`{name}`", f"{found['cost_usd']:,.0f}", *shares, str(found["seeds"]), f"`{spec}`"]
        )
    titles = ["agent", "dollars", *(title for _, title in _SHARES), "days", "options"]
    return markdown_table(titles, rows)
