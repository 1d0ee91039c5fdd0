"""What an instance sustains of sessions: theta at the hit rate that it has at that load.

A probe of single requests has nothing to reuse, and a hit rate that was seen at another load says
little: memory that running requests need is memory that the cache loses, so that the hit rate falls
with the load, and with it what the load may be. So a few instances serve sessions in the simulator,
with the scenario's router and caches, under one load after another. Theta is the highest at which
they keep the promises of the tiers, in tokens of whole prompts: the hit rate in it is that of this
load (a fixed point). The router takes the load under trial for theta where it weighs waits. Beyond
theta the hit rate collapses and less is served than before.

Our assumptions (A): `INSTANCES` of one VM type stand for a fleet, and sessions of a reference seed,
which no episode has, for all days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env.capacity import alone, kept, order_of_file
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_traces.session_law import KINDS, Sessions
from sageserve_traces.sessions import make_sessions
from sageserve_traces.trace import RequestTrace, take

INSTANCES = 4
REFERENCE_SEED = 1_000_003
REFERENCE_HOUR_UTC = 16.0
WARM_S, COUNTED_S = 900.0, 1800.0  # (A) the caches fill before service is counted
_FORMAT = 1  # of the kept values; raise when the probe or the simulator's physics change
_FIRST = 1.0 / 16.0  # (A) sessions of the law per instance at which it counts as idle
_MOST_DOUBLINGS = 16
_HALVINGS = 6  # of the last doubling: to 2 %
_SERVED = 0.9  # (A) least share of the offered requests that a load which is sustained completes


class Served(NamedTuple):
    """What came of a load.

    Attributes:
        load: Prompt tokens per second that arrived at an instance.
        hit_rate: Prompt tokens that were found cached over those asked for.
        attained: Share of requests in time by tier of the scenario, 1 where none fell due, [K].
        completed: Completed requests over those offered.
    """

    load: float
    hit_rate: float
    attained: NDArray[np.float64]
    completed: float


def session_theta(scenario: Scenario, kinds: Sequence[Sessions] = KINDS) -> NDArray[np.float64]:
    """Return theta of sessions, float64 [M, G], in tokens of whole prompts per second.

    Args:
        scenario: The cluster; models, VM types, batching, tiers and the router matter.
        kinds: Laws of the sessions; a model that has none gets those of the first one.
    """
    routing = scenario.routing
    what = (
        "sessions",
        (_FORMAT, INSTANCES, REFERENCE_SEED, REFERENCE_HOUR_UTC, WARM_S, COUNTED_S),
        scenario.model_specs,
        scenario.gpu_specs,
        scenario.batching,
        scenario.tiers,
        scenario.slo_scale,
        scenario.workload.sessions,
        (routing, ROUTERS.spec(routing.router).weights),
        [_kinds_of(scenario, m, kinds) for m in range(len(scenario.models))],
        *order_of_file(scenario),
    )

    def measured() -> list[list[float]]:
        return [
            [_theta(scenario, m, g, kinds) for g in range(len(scenario.gpus))]
            for m in range(len(scenario.models))
        ]

    return np.array(kept(what, measured))


def _theta(scenario: Scenario, m: int, g: int, kinds: Sequence[Sessions]) -> float:
    if not scenario.compatible[m, g]:
        return 1.0
    few = alone(
        scenario, m, g, INSTANCES, horizon_s=WARM_S + COUNTED_S, sessions=scenario.workload.sessions
    )
    own = _kinds_of(scenario, m, kinds)

    def offered(scale: float) -> RequestTrace:
        return _offered(few, own, scale)

    targets = np.array([tier.target for tier in scenario.tiers])
    return max(1.0, highest(lambda trace: serve(few, trace), offered, targets).load)


def _kinds_of(scenario: Scenario, m: int, kinds: Sequence[Sessions]) -> tuple[Sessions, ...]:
    """Return the laws of the sessions that a model of the scenario serves."""
    renamed = scenario.workload.rename_models
    own = tuple(k for k in kinds if renamed.get(k.model, k.model) == scenario.models[m])
    return own or tuple(k for k in kinds if k.model == kinds[0].model)


def highest(
    served: Callable[[RequestTrace], Served],
    offered: Callable[[float], RequestTrace],
    targets: NDArray[np.float64],
) -> Served:
    """Return what came of the highest load that is sustained.

    The rate of new sessions doubles until it is not, then the last doubling is halved, by leaving
    out sessions. Where hardly any load misses a target already, the share that it attains is asked
    for of all loads.

    Args:
        served: Serves a trace.
        offered: Returns a trace by the rate of new sessions.
        targets: Share of each tier that is to be in time, [K].
    """
    scale = _FIRST
    best = served(offered(scale))
    needed = np.where(best.attained >= targets, targets, targets * best.attained)

    def sustained(one: Served) -> bool:
        return bool((one.attained >= needed).all() and one.completed >= _SERVED)

    for _ in range(_MOST_DOUBLINGS):
        scale *= 2.0
        trace = offered(scale)
        one = served(trace)
        if sustained(one):
            best = one
            continue
        low, high = 0.5, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            one = served(_thinned(trace, middle))
            if sustained(one):
                low, best = middle, one
            else:
                high = middle
        break
    return best


def _offered(few: Scenario, kinds: tuple[Sessions, ...], scale: float) -> RequestTrace:
    """Return sessions of one model in one region, so many times the law's rate per instance."""
    make = make_sessions.__wrapped__  # the one that is kept is the episode's
    trace = make(
        REFERENCE_SEED,
        few.horizon_s,
        scale * INSTANCES,
        start_hour_utc=REFERENCE_HOUR_UTC,
        history_days=0.0,
        kinds=kinds,
    )
    here = np.zeros_like(trace.region)
    return take(trace, slice(None), region=here, models=few.models, regions=few.region_names)


def _thinned(trace: RequestTrace, share: float) -> RequestTrace:
    """Return a trace with a share of its sessions, among them those of a smaller share."""
    assert trace.session is not None
    order = np.random.default_rng(REFERENCE_SEED).random(int(trace.session.max()) + 1)
    return take(trace, order[trace.session] < share)


def serve(few: Scenario, trace: RequestTrace) -> Served:
    """Serve sessions with a fixed fleet; what happens in the first `WARM_S` does not count."""
    from sageserve_env.simulator.simulator import Simulator

    late = trace.arrival_s >= WARM_S
    instances = len(few.models) * few.initial_instances
    rate = float(trace.prompt_tokens[late].sum()) / COUNTED_S / instances
    sim = Simulator(few, np.full((1, 1), max(1.0, rate)))
    sim.reset(trace)
    sim.advance(WARM_S)
    before, counts = sim.totals(), _counts(sim)
    sim.advance(WARM_S + COUNTED_S)
    after = sim.totals()
    prompt, found, asked = _counts(sim) - counts
    good, bad = after.attained - before.attained, after.missed - before.missed
    due = good + bad
    return Served(
        load=float(prompt) / COUNTED_S / instances,
        hit_rate=float(found) / max(1.0, float(asked)),
        attained=np.where(due > 0, good / np.maximum(due, 1), 1.0),
        completed=float((after.completed - before.completed).sum()) / max(1, int(late.sum())),
    )


def _counts(sim: Any) -> NDArray[np.float64]:
    """Return prompt tokens that have arrived, that were found cached and that were asked for."""
    clock = sim.state.clock[0]
    return np.array([sim.state.demand[..., 1].sum(), clock.found_tokens, clock.asked_tokens])
