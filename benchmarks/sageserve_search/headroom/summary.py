"""Seeds together: means with intervals, and what every knob is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sageserve_bench.analysis.statistics import estimate
from sageserve_search.headroom.measure import KINDS

FIGURES = (
    "least_fleet_usd",
    *(f"{kind}_usd" for kind in KINDS),
    "hindsight_usd",
    "bound_usd",
    "headroom",
    "headroom_decision",
)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds by key, 95 % intervals, and who was best.

    A figure that a seed lacks is None; so is the name of a kind whose best differs by seed.
    """
    found: dict[str, Any] = {"intervals": {}}
    rng = np.random.default_rng(0)
    for key in FIGURES:
        values = [row.get(key) for row in rows]
        if not values or any(value is None for value in values):
            found[key] = None
            continue
        one = estimate([np.array(values, dtype=np.float64)], rng, lambda x: x.mean(axis=-1))
        found[key] = one.value
        found["intervals"][key] = [one.low, one.high]
    for kind in KINDS:
        names = {row.get(kind) for row in rows}
        found[kind] = names.pop() if len(names) == 1 else None
        found[f"{kind}_service"] = _service([row.get(f"{kind}_service") for row in rows])
    for key in ("knobs", "frozen"):
        found[key] = _means([row.get(key) for row in rows])
    found["hindsight_service"] = _service([row.get("hindsight_service") for row in rows])
    return found


def _means(rows: Sequence[dict[str, float | None] | None]) -> dict[str, float | None] | None:
    """Return means by key; None where a row lacks it."""
    known = [row for row in rows if row]
    if not known or len(known) < len(rows):
        return None
    found: dict[str, float | None] = {}
    for key in known[0]:
        values = [value for row in known if (value := row.get(key)) is not None]
        found[key] = float(np.mean(values)) if len(values) == len(known) else None
    return found


def _service(rows: Sequence[dict[str, Any] | None]) -> dict[str, float] | None:
    known = [row for row in rows if row is not None]
    if not known or len(known) < len(rows):
        return None
    return {
        key: float(np.mean([row[key] for row in known]))
        for key in known[0]
        if all(isinstance(row.get(key), (int, float)) for row in known)
    }
