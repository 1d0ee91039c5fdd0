"""Regions and the network round trips between them (digitised; docs/sources.md, "Delays")."""

from __future__ import annotations

REGIONS: tuple[str, ...] = ("westus", "centralus", "eastus")

# Median round trips in seconds: East-Central 31 ms, East-West 69 ms, West-Central 43 ms; inside a
# region 3-6 ms, taken as 4 ms (A).
_MEDIAN_S: dict[frozenset[str], float] = {
    frozenset({"eastus", "centralus"}): 0.031,
    frozenset({"eastus", "westus"}): 0.069,
    frozenset({"westus", "centralus"}): 0.043,
}
_LOCAL_S = 0.004
_UNKNOWN_S = 0.060  # our assumption (A) for a pair that is not in the table


def round_trip_s(a: str, b: str) -> float:
    """Return the median round trip between two regions in seconds."""
    return _LOCAL_S if a == b else _MEDIAN_S.get(frozenset({a, b}), _UNKNOWN_S)
