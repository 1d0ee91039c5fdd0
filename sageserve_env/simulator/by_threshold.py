"""The router ``threshold`` (``policies/threshold.py``)."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.pictures import known_utilisation, place_for
from sageserve_env.simulator.state import State


@jit
def by_threshold(s: State, i: int, batch: int, now_s: float) -> int:
    """Endpoint of the first region below the threshold, else of the least utilised; or NONE."""
    request = s.request[i]
    best, least = NONE, INFINITY
    for j in range(s.round_trip.shape[0]):
        r = s.orders[request.preference, j]
        e = place_for(s, i, r, batch, now_s)
        if e != NONE:
            used = known_utilisation(s, request.region, e, now_s)
            if used < s.config[0].threshold:
                return e
            if best == NONE or used < least:  # the utilisation seen may be infinite when stale
                best, least = e, used
    return best
