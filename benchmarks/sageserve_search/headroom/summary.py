"""Seeds together: means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from sageserve_bench.analysis.statistics import Floats, estimate
from sageserve_search.headroom.measure import INFORMED, KINDS, RIVAL

FIGURES = (
    "least_fleet_usd",
    *(f"{kind}_usd" for kind in KINDS),
    "hindsight_usd",
    "bound_usd",
)
RATIOS = (("headroom", RIVAL), ("headroom_decision", INFORMED))


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds by key, 95 % intervals, and who was best.

    Headroom is the bill of all days over that with hindsight, less 1: the search is held to the
    service of all days together.

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
    for key, who in RATIOS:
        found[key] = None
        bills = [[row.get(f"{who}_usd"), row.get("hindsight_usd")] for row in rows]
        if not all(None not in pair for pair in bills):
            continue
        dear, least = np.array(bills, dtype=np.float64).T
        every = np.arange(len(bills), dtype=np.float64)
        one = estimate([every], rng, partial(_over, dear, least))
        found[key], found["intervals"][key] = one.value, [one.low, one.high]
    for kind in KINDS:
        names = {row.get(kind) for row in rows}
        found[kind] = names.pop() if len(names) == 1 else None
        found[f"{kind}_service"] = _service([row.get(f"{kind}_service") for row in rows])
    found["hindsight_service"] = _service([row.get("hindsight_service") for row in rows])
    return found


def _over(dear: Floats, least: Floats, drawn: Floats) -> Any:
    """Return by what share the one bill of some days is above the other, less 1."""
    days = drawn.astype(np.int64)
    return dear[days].sum(axis=-1) / least[days].sum(axis=-1) - 1.0


def _service(rows: Sequence[dict[str, Any] | None]) -> dict[str, float] | None:
    known = [row for row in rows if row is not None]
    if not known or len(known) < len(rows):
        return None
    return {
        key: float(np.mean([row[key] for row in known]))
        for key in known[0]
        if all(isinstance(row.get(key), (int, float)) for row in known)
    }
