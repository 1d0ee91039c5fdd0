"""The router ``shares`` (``policies/shares.py``)."""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.pictures import place_for
from sageserve_env.simulator.state import State


@jit
def by_shares(s: State, i: int, batch: int, now_s: float) -> int:
    """Smooth weighted round robin over the shares; skips regions that cannot take the request.

    If no region with a share can, the first in the order of preference that can takes it.
    """
    request = s.request[i]
    m, o = request.model, request.region
    best, most, other = NONE, -INFINITY, NONE
    destination = NONE
    total = 0.0
    for j in range(s.round_trip.shape[0]):
        r = s.orders[request.preference, j]
        e = place_for(s, i, r, batch, now_s)
        if e != NONE:
            share = s.routing[m, o, r]
            if share > 0.0:
                s.credit[m, o, r] += share
                total += share
                if s.credit[m, o, r] > most:
                    best, most, destination = e, s.credit[m, o, r], r
            elif other == NONE:
                other = e
    if destination == NONE:
        return other
    s.credit[m, o, destination] -= total
    return best
