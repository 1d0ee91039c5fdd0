"""The gateway: a request whose expected wait is above the limit of its tier is refused on arrival.

A refused request is missed at once, is charged, and never served. One that has been admitted stays
so, whatever happens to its instance.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.pictures import pictured, place_for
from sageserve_env.simulator.scoring import be_current
from sageserve_env.simulator.slots import free_slot
from sageserve_env.simulator.state import State


@jit
def expected_wait_s(s: State, i: int, now_s: float) -> float:
    """Seconds until the prefill of request ``i`` would begin; infinite where nothing can serve it.

    Interactive work: queued prompt tokens over theta of the instance that has the least, over all
    regions that may serve it; of a region that the gateway knows by a picture, of the mean
    instance. Other work: the tokens that the manager holds for the model over theta of all
    instances that may.
    """
    request = s.request[i]
    interactive = s.tier[request.tier].interactive == 1
    least, theta = INFINITY, 0.0
    for r in range(s.round_trip.shape[0]):
        e = place_for(s, i, r, 0 if interactive else 1, now_s)
        if e == NONE:
            continue
        if pictured(s, request.region, e):
            picture = s.picture[e]
            theta += picture.theta
            sent = s.sent[request.region, e]
            least = min(least, (picture.queued_tokens + sent) / picture.theta)
            continue
        theta += s.endpoint[e].theta
        if interactive:
            be_current(s, e, now_s)
            for place in range(s.endpoint[e].n_members):
                vm = s.vm[s.member[e, place]]
                least = min(least, vm.queued_tokens / s.profile[vm.profile].theta)
    if interactive:
        return float(least)
    return float(s.model[request.model].held_tokens / theta) if theta > 0.0 else INFINITY


@jit
def refused(s: State, i: int, now_s: float) -> bool:
    """Refuse request ``i``, which arrives now, if it would wait too long."""
    request = s.request[i]
    limit_s = s.admission[request.model, request.tier]
    if limit_s == INFINITY or expected_wait_s(s, i, now_s) <= limit_s:
        return False
    count = s.count[request.model, request.region, request.tier]
    count.missed += 1
    count.refused += 1
    s.clock[0].refused += 1
    free_slot(s, i)
    return True
