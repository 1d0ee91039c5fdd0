"""From the numbers of an action to targets, routing and ceilings in the state.

The formulas are documented in `sageserve_env.forms`; the tables are those of `Decoder`. Every
function first checks the whole action and changes nothing if an entry is outside the space.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sageserve_env.forms import (
    CHOICES,
    COUNT,
    LARGEST_DELTA,
    LIMIT,
    LINEAR,
    LOAD,
    LOAD_RANGE,
    SHARE,
    SHARE_SHARPNESS,
    STEP,
)
from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decoder import NO_ROUTER, Decoder
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import COLD, INFINITY, NONE, SPOT
from sageserve_env.simulator.decide import in_force, put
from sageserve_env.simulator.scoring import set_discipline, set_router
from sageserve_env.simulator.signals import seen_utilisation
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw

REACTIVE_OUT, REACTIVE_IN = 0.7, 0.3  # the paper's thresholds (docs/sources.md, "Paper")


@jit
def target_of(x: float, low: int, centre: int, high: int) -> int:
    """Decode one target: -1 is ``low``, 0 is ``centre``, 1 is ``high``; geometric above 0."""
    if x <= 0.0:
        return math.floor(centre + x * (centre - low) + 0.5)
    growth = (high + 1.0) / (centre + 1.0)
    wanted: float = (centre + 1.0) * growth**x - 1.0
    return math.floor(wanted + 0.5)


@jit
def linear_of(x: float, low: float, centre: float, high: float) -> float:
    """Decode one number: -1 is ``low``, 0 is ``centre``, 1 is ``high``."""
    if x <= 0.0:
        return low + (centre - low) * (1.0 + x)
    return centre + x * (high - centre)


@jit
def limit_of(x: float, scale: float, centre: float) -> float:
    """Decode one limit: -1 is 0, 0 is ``centre`` (which may be infinite), 1 is no limit."""
    if centre == INFINITY:
        return scale * (1.0 + x) / -x if x < 0.0 else INFINITY
    if x <= 0.0:
        return centre * (1.0 + x)
    return centre / (1.0 - x) if x < 1.0 else INFINITY


@jit
def _otherwise(s: State, b: Buffers, d: Decoder) -> None:
    """Put what nobody decides into force: router, discipline, fixed and neutral values."""
    set_router(s, d.otherwise[0].router)
    set_discipline(s, d.otherwise[0].discipline)
    for q in range(d.neutral.shape[0]):
        put(
            s,
            d.neutral_at[q, 0],
            d.neutral_at[q, 1],
            d.neutral_at[q, 2],
            d.neutral_at[q, 3],
            d.neutral[q],
        )
    if d.otherwise[0].by_rule == 1:
        reactive(s, b)


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


def reactive_targets(s: State, b: Buffers) -> NDArray[np.int64]:
    """Return the targets of the reactive rule, int64 [E, G]; nothing changes."""
    before = s.target.copy()
    reactive(s, b)
    wanted = s.target.copy()
    s.target[:] = before
    return wanted


@jit
def load_of(s: State, raw: Raw, e: int, g: int, otherwise: float) -> float:
    """Return the load of an endpoint in instances.

    Utilisation times active instances; where none is active, what the last minute's prompts of
    the region would keep busy of a VM type; ``otherwise`` while nothing was measured.
    """
    endpoint = s.endpoint[e]
    active = 0
    for j in range(s.target.shape[1]):
        active += s.active[e, j]
    used = seen_utilisation(s, e, s.clock[0].now_s)
    if active > 0 and used > 0.0 and used < INFINITY:
        return float(used * active)
    theta = s.profile[endpoint.model * s.target.shape[1] + g].theta
    if s.clock[0].now_s <= 0.0 or theta <= 0.0:
        return otherwise
    rate = 0.0
    for k in range(raw.prompt_rate.shape[3]):
        rate += raw.prompt_rate[0, endpoint.model, endpoint.region, k]
    return float(rate / theta)


@jit
def _continuous_value(s: State, raw: Raw, d: Decoder, i: int) -> float:
    """Decode one entry of a continuous action; of a share, its weight."""
    x, entry = d.action[i], d.entry[i]
    if entry.form == LINEAR:
        return float(linear_of(x, entry.low, entry.centre, entry.high))
    if entry.form == LIMIT:
        return limit_of(x, entry.low, entry.centre)
    if entry.form == SHARE:
        return math.exp(SHARE_SHARPNESS * (x + entry.centre))
    if entry.form == COUNT:
        return float(target_of(x, int(entry.low), int(entry.centre), int(entry.high)))
    p = entry.first
    now = in_force(s, entry.knob, d.place[p, 0], d.place[p, 1], d.place[p, 2])
    if entry.form == LOAD:
        load = load_of(s, raw, d.place[p, 0], d.place[p, 1], now / entry.centre)
        wanted = load * entry.centre * (1.0 + x if x <= 0.0 else LOAD_RANGE**x)
    else:
        wanted = now + x * entry.centre
    wanted = math.floor(wanted + 0.5)
    return float(min(entry.high, max(entry.low, wanted)))


@jit
def apply_continuous(s: State, b: Buffers, d: Decoder, raw: Raw) -> bool:
    """Put ``d.action`` into force; False, and nothing changed, if it is outside [-1, 1]."""
    n = d.entry.shape[0]
    for i in range(n):
        if not (d.action[i] >= -1.0 and d.action[i] <= 1.0):
            return False
    for i in range(n):
        d.value[i] = _continuous_value(s, raw, d, i)
    _otherwise(s, b, d)
    for i in range(n):
        group = d.entry[i].group
        if group > 1:
            total = 0.0
            for j in range(i, i + group):
                total += d.value[j]
            for j in range(i, i + group):
                d.value[j] /= total
        p = d.entry[i].first
        put(s, d.entry[i].knob, d.place[p, 0], d.place[p, 1], d.place[p, 2], d.value[i])
    _limit(s, b)
    return True


@jit
def apply_discrete(s: State, b: Buffers, d: Decoder) -> bool:
    """Put ``d.choice`` into force; False, and nothing changed, if a choice does not exist."""
    n = d.entry.shape[0]
    for i in range(n):
        if d.choice[i] < 0 or d.choice[i] >= d.entry[i].options:
            return False
    _otherwise(s, b, d)
    for i in range(n):
        entry = d.entry[i]
        p = entry.first
        if entry.form == STEP:
            now = in_force(s, entry.knob, d.place[p, 0], d.place[p, 1], d.place[p, 2])
            wanted = min(entry.high, max(entry.low, now + d.choice[i] - LARGEST_DELTA))
            put(s, entry.knob, d.place[p, 0], d.place[p, 1], d.place[p, 2], wanted)
            continue
        row = entry.preset + d.choice[i]
        router = d.preset_router[row]
        if router != NO_ROUTER and router != s.config[0].router:
            set_router(s, router)
        for j in range(entry.places):
            at = p + j
            put(s, entry.knob, d.place[at, 0], d.place[at, 1], d.place[at, 2], d.preset[row, j])
    _limit(s, b)
    return True


@jit
def fill_mask(s: State, b: Buffers, d: Decoder) -> None:
    """Mark the choices that lead somewhere: a target within its limits, and free VMs for it.

    Only what scales out needs VMs: a target that is not met may always be lowered.
    """
    for j in range(d.mask.shape[0]):
        d.mask[j] = True
    settings = b.settings[0]
    count_free(s, b)
    for i in range(d.entry.shape[0]):
        entry = d.entry[i]
        if entry.form != STEP:
            continue
        e, g = d.place[entry.first, 0], d.place[entry.first, 1]
        total = 0
        for other in range(s.target.shape[1]):
            total += s.target[e, other]
        free = b.free[s.endpoint[e].region, g] + s.draining[e, g] - s.unmet[e, g]
        for j in range(CHOICES):
            delta = j - LARGEST_DELTA
            wanted = s.target[e, g] + delta
            fits = wanted >= entry.low and wanted <= entry.high
            fits = fits and total + delta >= settings.min_instances
            fits = fits and total + delta <= settings.max_instances
            d.mask[entry.first_option + j] = delta == 0 or (fits and (delta < 0 or delta <= free))
