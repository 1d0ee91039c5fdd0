"""The flat observation, in one pass over the state; names and bounds are in ``observations.py``."""

from __future__ import annotations

import math

from sageserve_env.kernels.buffers import Buffers
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import COLD, NONE, SPOT
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import queues, service

COUNT_LIMIT = 4.0


@jit
def _count(instances: float, share: float) -> float:
    """Instances over an equal share of the region's VMs, at most 4."""
    return min(4.0, instances / share)


@jit
def _ratio(x: float) -> float:
    """Return x / (1 + x): 0 to 1, one half at 1."""
    return x / (1.0 + x)


@jit
def _log(x: float, top: float) -> float:
    """Logarithmic scale: 0 at 0, 1 from ``top`` on."""
    return min(1.0, math.log1p(max(0.0, x)) / math.log1p(top))


@jit
def _endpoints(s: State, b: Buffers, i: int, now_s: float) -> int:
    o = b.observation
    settings = b.settings[0]
    for e in range(s.target.shape[0]):
        active = 0
        for g in range(s.target.shape[1]):
            share = b.share[e, g]
            active += s.active[e, g]
            o[i] = _count(s.target[e, g], share)
            o[i + 1] = _count(s.active[e, g], share)
            o[i + 2] = _count(s.pending[e, g], share)
            o[i + 3] = 0.0
            if b.ready[e, g] < math.inf:
                o[i + 3] = _ratio(max(0.0, b.ready[e, g]) / settings.redeploy_s)
            o[i + 4] = _count(s.draining[e, g], share)
            o[i + 5] = _count(s.unmet[e, g], share)
            i += 6
        theta = s.endpoint[e].theta
        wait_s = b.queue[e, 2] / theta if theta > 0.0 else 60.0 * b.queue[e, 2]
        o[i] = _ratio(b.service[e, 0])
        o[i + 1] = min(1.0, b.service[e, 1])
        o[i + 2] = _log(wait_s, 3600.0)
        o[i + 3] = _log(b.queue[e, 0], 10_000.0)
        o[i + 4] = min(1.0, b.queue[e, 1] / (settings.max_sequences * max(1, active)))
        o[i + 5] = _ratio(b.service[e, 2])
        o[i + 6] = b.service[e, 3]
        o[i + 7] = min(1.0, max(0.0, s.endpoint[e].release))
        i += 8
    return i


@jit
def _demand(s: State, b: Buffers, i: int, now_s: float) -> int:
    """Rates of the last 1, 5 and 15 minutes; the minute that has begun counts as it has lasted."""
    o = b.observation
    end = min(math.ceil(now_s / 60.0), s.demand.shape[0])
    for m in range(s.model.shape[0]):
        for r in range(s.round_trip.shape[0]):
            for j in range(5):
                for w in range(3):
                    b.rates[j, w] = 0.0
            for t in range(max(0, end - 15), end):
                first = 2
                if t >= end - 1:
                    first = 0
                elif t >= end - 5:
                    first = 1
                for k in range(s.tier.shape[0]):
                    batch = b.batch_tier[k]
                    for w in range(first, 3):
                        b.rates[batch, w] += s.demand[t, m, r, k, 0]
                        b.rates[2 + batch, w] += s.demand[t, m, r, k, 1]
                        b.rates[4, w] += s.demand[t, m, r, k, 2]
            for w in range(3):
                minutes = 1 if w == 0 else (5 if w == 1 else 15)
                span = now_s - 60.0 * max(0, end - minutes)
                inverse = 1.0 / span if span > 0.0 else 0.0
                o[i + w] = _log(b.rates[0, w] * inverse, 100.0)
                o[i + 3 + w] = _log(b.rates[1, w] * inverse, 100.0)
                o[i + 6 + w] = min(4.0, b.rates[2, w] * inverse / b.unit_rate[m, r])
                o[i + 9 + w] = min(4.0, b.rates[3, w] * inverse / b.unit_rate[m, r])
                o[i + 12 + w] = _log(b.rates[4, w] * inverse, 100_000.0)
            i += 15
    return i


@jit
def _models(s: State, b: Buffers, i: int, now_s: float) -> int:
    o = b.observation
    for m in range(s.model.shape[0]):
        model = s.model[m]
        left = 1.0
        if model.held_head != NONE:
            first = s.request[model.held_head]
            left = (first.arrival_s + first.objective_s - now_s) / b.settings[0].deadline_s
        work_s = model.held_tokens / s.profile[model.reference].theta
        o[i] = _log(model.n_held, 100_000.0)
        o[i + 1] = _log(work_s, 1_000_000.0)
        o[i + 2] = min(1.0, max(-1.0, left))
        o[i + 3] = _log(model.n_global, 10_000.0)
        i += 4
    return i


@jit
def _regions(s: State, b: Buffers, i: int) -> int:
    """Share of a region's VMs that is cold, and that is spot with each model."""
    o = b.observation
    types = s.target.shape[1]
    width = (1 + s.model.shape[0]) * types
    regions = s.round_trip.shape[0]
    for j in range(i, i + regions * width):
        o[j] = 0.0
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.state == COLD:
            o[i + vm.region * width + vm.gpu] += 1.0
        elif vm.state == SPOT:
            o[i + vm.region * width + (1 + vm.model) * types + vm.gpu] += 1.0
    for r in range(regions):
        for j in range(width):
            o[i + r * width + j] = min(1.0, o[i + r * width + j] / b.vms[r, j % types])
    return int(i + regions * width)


@jit
def _routing(s: State, b: Buffers, i: int) -> int:
    """Routing in force: shares as they are, penalties over 2 s."""
    scale = 1.0 if s.config[0].router == 1 else 0.5
    for m in range(s.routing.shape[0]):
        for origin in range(s.routing.shape[1]):
            for r in range(s.routing.shape[2]):
                b.observation[i] = min(1.0, scale * s.routing[m, origin, r])
                i += 1
    return i


@jit
def _globals(b: Buffers, i: int, now_s: float) -> int:
    settings = b.settings[0]
    hour = settings.week_hour + now_s / 3600.0
    day, week = 2.0 * math.pi * hour / 24.0, 2.0 * math.pi * hour / 168.0
    b.observation[i] = min(1.0, now_s / settings.horizon_s)
    b.observation[i + 1] = math.sin(day)
    b.observation[i + 2] = math.cos(day)
    b.observation[i + 3] = math.sin(week)
    b.observation[i + 4] = math.cos(week)
    return i + 5


@jit
def observe(s: State, b: Buffers) -> int:
    """Fill ``b.observation`` from the state and return the number of entries written."""
    now_s = s.clock[0].now_s
    service(s, now_s, b.service)
    queues(s, now_s, b.queue, b.ready)
    i = _endpoints(s, b, 0, now_s)
    i = _demand(s, b, i, now_s)
    i = _models(s, b, i, now_s)
    i = _regions(s, b, i)
    i = _routing(s, b, i)
    return int(_globals(b, i, now_s))
