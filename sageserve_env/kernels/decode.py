"""From the numbers of an action to targets, routing and ceilings in the state.

The formulas are documented in ``action_modes.py``. Every function first checks the whole action
and changes nothing if an entry is outside the space.
"""

from __future__ import annotations

import math

from sageserve_env.kernels.buffers import Buffers
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import (
    COLD,
    INFINITY,
    LEAST_WAIT,
    LEAST_WAIT_KV,
    NONE,
    SHARES,
    SPOT,
    THRESHOLD,
)
from sageserve_env.simulator.routing import seen_utilisation, set_router
from sageserve_env.simulator.state import State

# what is controlled
JOINT, SCALING, ROUTING = range(3)

PENALTY_LIMIT_S = 2.0
SHARE_SHARPNESS = 4.0
LOCAL_PENALTY_S = 0.5
LARGEST_DELTA = 2
CHOICES = 2 * LARGEST_DELTA + 1
EAGER_RELEASE = 0.9
REACTIVE_OUT, REACTIVE_IN = 0.7, 0.3  # the paper's thresholds (DOMAIN.md section 1)


@jit
def target_of(x: float, low: int, centre: int, high: int) -> int:
    """Decode one target: -1 is ``low``, 0 is ``centre``, 1 is ``high``; geometric above 0."""
    if x <= 0.0:
        return math.floor(centre + x * (centre - low) + 0.5)
    growth = (high + 1.0) / (centre + 1.0)
    wanted: float = (centre + 1.0) * growth**x - 1.0
    return math.floor(wanted + 0.5)


@jit
def _defaults(s: State, b: Buffers) -> None:
    """Put the scenario's own router, routing, discipline and ceilings into force."""
    settings = b.settings[0]
    set_router(s, settings.router)
    s.config[0].discipline = settings.discipline
    for e in range(s.endpoint.shape[0]):
        s.endpoint[e].release = settings.release
    for m in range(s.routing.shape[0]):
        for origin in range(s.routing.shape[1]):
            for r in range(s.routing.shape[2]):
                s.routing[m, origin, r] = b.default_routing[m, origin, r]


@jit
def _queue_aware(b: Buffers) -> int:
    """Return the router that takes penalties: the scenario's if it does, else ``least_wait``."""
    return LEAST_WAIT_KV if b.settings[0].router == LEAST_WAIT_KV else LEAST_WAIT


@jit
def _limit(s: State, b: Buffers) -> None:
    """Keep the total of every endpoint within the scenario's limits."""
    settings = b.settings[0]
    types = s.target.shape[1]
    for e in range(s.target.shape[0]):
        total = 0
        for g in range(types):
            total += s.target[e, g]
        for g in range(types):
            if b.usable[e, g] == 1 and total < settings.min_instances:
                s.target[e, g] += settings.min_instances - total
                total = settings.min_instances
        for j in range(types):
            g = types - 1 - j
            if total > settings.max_instances:
                cut = min(total - settings.max_instances, s.target[e, g])
                s.target[e, g] -= cut
                total -= cut


@jit
def count_free(s: State, b: Buffers) -> None:
    """Count the cold and spot VMs of each region and type."""
    for r in range(b.free.shape[0]):
        for g in range(b.free.shape[1]):
            b.free[r, g] = 0
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.state == COLD or vm.state == SPOT:
            b.free[vm.region, vm.gpu] += 1


@jit
def reactive(s: State, b: Buffers) -> None:
    """Scale each endpoint by the paper's rule: out above 70 % utilisation, in below 30 %.

    One instance per decision and none while one is pending or unmet; a scale-in must leave the
    rest below the upper threshold. New instances go to the first VM type with a free VM.
    """
    now_s = s.clock[0].now_s
    types = s.target.shape[1]
    count_free(s, b)
    for e in range(s.target.shape[0]):
        active, waiting, total = 0, 0, 0
        for g in range(types):
            active += s.active[e, g]
            waiting += s.pending[e, g] + s.unmet[e, g]
            total += s.target[e, g]
        used = seen_utilisation(s, e, now_s)
        if used == INFINITY:
            used = 1.0 if s.model[s.endpoint[e].model].n_global > 0 else 0.0
        if used > REACTIVE_OUT and waiting == 0:
            chosen = NONE
            for g in range(types):
                if b.usable[e, g] == 1:
                    if chosen == NONE or (
                        b.free[s.endpoint[e].region, chosen] == 0
                        and b.free[s.endpoint[e].region, g] > 0
                    ):
                        chosen = g
            if chosen != NONE and total < b.settings[0].max_instances:
                s.target[e, chosen] += 1
        elif used < REACTIVE_IN and total > b.settings[0].min_instances and active > 1:
            if used * active / (active - 1) <= REACTIVE_OUT:
                for j in range(types):
                    g = types - 1 - j
                    if s.target[e, g] > 0:
                        s.target[e, g] -= 1
                        break


@jit
def _penalty_s(x: float, default_s: float) -> float:
    """Decode one penalty: -1 is 0 s, 0 the round trip, 1 two seconds."""
    if x <= 0.0:
        return default_s * (1.0 + x)
    return default_s + x * (PENALTY_LIMIT_S - default_s)


@jit
def _release_of(x: float, default: float) -> float:
    """Decode one ceiling: -1 is 0 (hold everything), 0 the scenario's, 1 is 1."""
    if x <= 0.0:
        return default * (1.0 + x)
    return default + x * (1.0 - default)


@jit
def apply_continuous(s: State, b: Buffers, control: int) -> bool:
    """Put ``b.action`` into force; False, and nothing changed, if it is outside [-1, 1]."""
    a = b.action
    for i in range(a.shape[0]):
        if not (a[i] >= -1.0 and a[i] <= 1.0):
            return False
    _defaults(s, b)
    i = 0
    if control != ROUTING:
        for p in range(b.pair.shape[0]):
            s.target[b.pair[p, 0], b.pair[p, 1]] = target_of(a[i], b.low[p], b.centre[p], b.high[p])
            i += 1
    else:
        reactive(s, b)
    _limit(s, b)
    if control == SCALING:
        return True
    regions = s.routing.shape[1]
    set_router(s, SHARES if control == ROUTING else _queue_aware(b))
    for m in range(s.routing.shape[0]):
        for origin in range(regions):
            if control == JOINT:
                for r in range(regions):
                    rtt = s.round_trip[origin, r]
                    s.routing[m, origin, r] = _penalty_s(a[i], rtt)
                    i += 1
            else:
                total = 0.0
                for r in range(regions):
                    home = 1.0 if r == origin else 0.0
                    weight = math.exp(SHARE_SHARPNESS * (a[i] + home))
                    s.routing[m, origin, r] = weight
                    total += weight
                    i += 1
                for r in range(regions):
                    s.routing[m, origin, r] /= total
    if control == JOINT:
        for e in range(s.endpoint.shape[0]):
            s.endpoint[e].release = _release_of(a[i], b.settings[0].release)
            i += 1
    return True


@jit
def _preset(s: State, b: Buffers, choice: int) -> None:
    """Routing presets of the discrete action, see `action_modes.ROUTING_PRESETS`."""
    if choice == 0:
        return
    set_router(s, THRESHOLD if choice == 3 else _queue_aware(b))
    for m in range(s.routing.shape[0]):
        for origin in range(s.routing.shape[1]):
            for r in range(s.routing.shape[2]):
                value = s.round_trip[origin, r]
                if choice == 1 and origin != r:
                    value += LOCAL_PENALTY_S
                elif choice == 2:
                    value = 0.0
                s.routing[m, origin, r] = value


@jit
def apply_discrete(s: State, b: Buffers, control: int) -> bool:
    """Put ``b.choice`` into force; False, and nothing changed, if a choice does not exist."""
    for i in range(b.choice.shape[0]):
        if b.choice[i] < 0 or b.choice[i] >= b.options[i]:
            return False
    _defaults(s, b)
    i = 0
    if control != ROUTING:
        for p in range(b.pair.shape[0]):
            e, g = b.pair[p, 0], b.pair[p, 1]
            wanted = s.target[e, g] + b.choice[i] - LARGEST_DELTA
            s.target[e, g] = min(b.high[p], max(b.low[p], wanted))
            i += 1
    else:
        reactive(s, b)
    _limit(s, b)
    if control == JOINT:
        _preset(s, b, b.choice[i])
        niw = b.choice[i + 1]
        if niw > 0:
            for e in range(s.endpoint.shape[0]):
                s.endpoint[e].release = 0.0 if niw == 1 else EAGER_RELEASE
    elif control == ROUTING:
        set_router(s, SHARES)
        regions = s.routing.shape[1]
        for m in range(s.routing.shape[0]):
            for origin in range(regions):
                for r in range(regions):
                    share = 1.0 if r == origin else 0.0
                    if b.choice[i] == 1:
                        share = 1.0 / regions
                    elif b.choice[i] > 1:
                        share = 1.0 if r == b.choice[i] - 2 else 0.0
                    s.routing[m, origin, r] = share
                i += 1
    return True


@jit
def fill_mask(s: State, b: Buffers, control: int) -> None:
    """Mark the choices that lead somewhere: a target within its limits, and free VMs for it.

    Only what scales out needs VMs: a target that is not met may always be lowered.
    """
    for j in range(b.mask.shape[0]):
        b.mask[j] = True
    if control == ROUTING:
        return
    settings = b.settings[0]
    count_free(s, b)
    for p in range(b.pair.shape[0]):
        e, g = b.pair[p, 0], b.pair[p, 1]
        total = 0
        for other in range(s.target.shape[1]):
            total += s.target[e, other]
        free = b.free[s.endpoint[e].region, g] + s.draining[e, g] - s.unmet[e, g]
        for j in range(CHOICES):
            delta = j - LARGEST_DELTA
            wanted = s.target[e, g] + delta
            fits = wanted >= b.low[p] and wanted <= b.high[p]
            fits = fits and total + delta >= settings.min_instances
            fits = fits and total + delta <= settings.max_instances
            b.mask[CHOICES * p + j] = delta == 0 or (fits and (delta < 0 or delta <= free))
