"""Every router that is a row of weights: the least score of an instance plus that of the way."""

from __future__ import annotations

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.by_prefix import best_for, elsewhere, weighs_prompt
from sageserve_env.simulator.codes import INFINITY, NONE
from sageserve_env.simulator.pictures import known_score, pictured, place_for
from sageserve_env.simulator.scoring import best_now, from_order_bits, region_cost
from sageserve_env.simulator.state import State


@jit
def by_score(s: State, i: int, batch: int, now_s: float) -> int:
    """VM with the least score over all regions, the first region of equals; or NONE."""
    request = s.request[i]
    m, o = request.model, request.region
    best, least = NONE, INFINITY
    if rare(weighs_prompt(s, i)):
        for r in range(s.round_trip.shape[0]):
            e = place_for(s, i, r, batch, now_s)
            if e != NONE:
                place, total = best_for(s, i, e, now_s)
                total += region_cost(s, m, o, r)
                if total < least:
                    best, least = int(s.member[e, place]), total
        return best
    # No region that costs more than the instance at home in full can have a better one.
    never_negative = s.config[0].never_negative == 1
    home, limit = NONE, INFINITY
    e = place_for(s, i, o, batch, now_s)
    if e != NONE:
        place = best_now(s, e, now_s)
        home = int(s.member[e, place])
        limit = from_order_bits(s.score[e, place]) + region_cost(s, m, o, o)
    for r in range(s.round_trip.shape[0]):
        if r == o:
            if limit < least:
                best, least = home, limit
            continue
        cost = region_cost(s, m, o, r)
        if never_negative and (cost > limit or cost >= least):
            continue
        e = place_for(s, i, r, batch, now_s)
        if e != NONE:
            place = best_now(s, e, now_s)
            total = from_order_bits(s.score[e, place]) + cost
            if total < least:
                best, least = int(s.member[e, place]), total
    return best


@jit
def region_by_score(s: State, i: int, batch: int, now_s: float) -> int:
    """Endpoint with the least score, as far as the gateway knows; the first of equals, or NONE.

    A region that it knows live scores as its best instance, which is noted in the clock; another as
    its mean one, less what the gateway has sent there of the prompt.
    """
    request = s.request[i]
    m, o = request.model, request.region
    best, least = NONE, INFINITY
    weighs = weighs_prompt(s, i)
    home, home_place, home_total = NONE, NONE, INFINITY
    if weighs:
        home = place_for(s, i, o, batch, now_s)
        if home != NONE and not pictured(s, o, home):
            home_place, home_total = best_for(s, i, home, now_s)
            home_total += region_cost(s, m, o, o)
    for r in range(s.round_trip.shape[0]):
        e = place_for(s, i, r, batch, now_s)
        if e != NONE:
            place = NONE
            if pictured(s, o, e):
                total = known_score(s, o, m, e) + region_cost(s, m, o, r)
                if weighs:
                    total += elsewhere(s, i, e, home_total - total)
            elif weighs and e == home:
                place, total = home_place, home_total
            elif weighs:
                place, total = best_for(s, i, e, now_s)
                total += region_cost(s, m, o, r)
            else:
                place = best_now(s, e, now_s)
                total = from_order_bits(s.score[e, place]) + region_cost(s, m, o, r)
            if total < least:
                best, least = e, total
                s.clock[0].chosen = place
    return best
