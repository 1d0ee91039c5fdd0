"""What a knob is where nobody decides it, and the entries it has in actions.

For each knob of `sageserve_env.knobs`: its neutral value, and what makes its entries in continuous
and in discrete actions. How an entry is read is its form, in `sageserve_env.forms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env.forms import (
    CHANGE,
    CHOICE,
    COUNT,
    LARGEST_DELTA,
    LIMIT,
    LINEAR,
    LOAD,
    SHARE,
    Entries,
    Preset,
    places,
)
from sageserve_env.policies import (
    DISCIPLINE_FEATURES,
    DISCIPLINE_LIMITS,
    DISCIPLINES,
    ROUTER_FEATURES,
    ROUTER_LIMITS,
    ROUTERS,
    weight_row,
)
from sageserve_env.scenario import Scenario

PENALTY_LIMIT_S = 2.0
LOCAL_PENALTY_S = 0.5
EAGER_RELEASE = 0.9
LARGEST_CHANGE = 0.125  # of a target in the form "delta", over its most (our assumption)


def routing_matrix(router: str) -> str | None:
    """Return what the routing matrix means to a router: ``shares``, ``penalties`` or nothing."""
    kind = ROUTERS.spec(router).routing
    return None if kind == "unused" else kind


class Context(NamedTuple):
    """What the entries of a knob depend on beside the knob."""

    scenario: Scenario
    router: str  # in force
    router_fixed: bool = False  # by the caller: no preset may change it
    targets: str = "absolute"  # form of the targets in continuous actions
    discipline: str = "fcfs"  # in force


# -- instances ----------------------------------------------------------------------------------


def initial_fleet(scenario: Scenario, router: str = "") -> NDArray[np.int64]:
    """Return the scenario's initial instances, [E, G], as far as the inventory goes."""
    s = scenario
    left = s.inventory.copy()
    fleet = np.zeros((len(s.endpoints), len(s.gpus)), dtype=np.int64)
    for e, endpoint in enumerate(s.endpoints):
        share = 1.0 if endpoint.pool == "unified" else s.pool_split.get(endpoint.pool, 0.0)
        want = round(s.initial_instances * share)
        r, m = s.region_names.index(endpoint.region), s.models.index(endpoint.model)
        for g in np.flatnonzero(s.compatible[m]):
            take = min(want, int(left[r, g]))
            fleet[e, g] += take
            left[r, g] -= take
            want -= take
    return fleet


def most_instances(scenario: Scenario) -> NDArray[np.int64]:
    """Return the most instances an endpoint can have of each VM type, [E, G]."""
    region = [scenario.region_names.index(p.region) for p in scenario.endpoints]
    most = np.where(scenario.usable, scenario.inventory[region], 0)
    return most if scenario.max_instances is None else np.minimum(most, scenario.max_instances)


def targets(context: Context, form: int, word: str) -> Entries:
    """Return an entry per endpoint and VM type that its region has."""
    s = context.scenario
    at = places(s.usable)
    e, g = at[:, 0, 0], at[:, 0, 1]
    centre = initial_fleet(s)[e, g]
    high = np.maximum(centre, most_instances(s)[e, g]).astype(np.float64)
    low = np.full(len(at), float(s.min_instances if len(s.gpus) == 1 else 0))
    names = tuple(f"{s.endpoints[i].name}.{word}[{s.gpus[j]}]" for i, j in zip(e, g, strict=True))
    return Entries(form, names, at, low, centre.astype(np.float64), high)


def continuous_targets(context: Context) -> Entries:
    """Return absolute targets, changes of those in force, or multiples of the load."""
    if context.targets == "absolute":
        return targets(context, COUNT, "target")
    if context.targets == "load":
        made = targets(context, LOAD, "load")
        return replace(made, centre=1.0 / _sharing(context.scenario)[made.at[:, 0, 0]])
    made = targets(context, CHANGE, "change")
    return replace(made, centre=np.maximum(LARGEST_DELTA, np.round(LARGEST_CHANGE * made.high)))


def _sharing(scenario: Scenario) -> NDArray[np.float64]:
    """Return how many pairs of endpoint and VM type a region has for an endpoint's model, [E]."""
    usable = scenario.usable.sum(axis=1)
    keys = [(p.model, p.region) for p in scenario.endpoints]
    return np.array([sum(usable[i] for i, k in enumerate(keys) if k == key) for key in keys], float)


# -- routing ------------------------------------------------------------------------------------


def default_routing(scenario: Scenario, router: str) -> NDArray[np.float64]:
    """Return [M, R, R]: round trips as penalties, or shares that keep all traffic at home."""
    one = (
        np.eye(len(scenario.regions)) if routing_matrix(router) == "shares" else scenario.round_trip
    )
    return np.broadcast_to(one, (len(scenario.models), *one.shape)).copy()


def _origins(scenario: Scenario) -> list[str]:
    return [f"{m}/{r}" for m in scenario.models for r in scenario.region_names]


def continuous_routing(context: Context) -> Entries | None:
    """Return penalties or shares per (model, origin, destination), as the router takes them."""
    s, kind = context.scenario, routing_matrix(context.router)
    if kind is None:
        return None
    centre = default_routing(s, context.router).ravel()
    at = places(np.ones((len(s.models), len(s.regions), len(s.regions)), dtype=np.bool_))
    routes = [f"{o}->{d}" for o in _origins(s) for d in s.region_names]
    low, high = np.zeros(len(at)), np.full(len(at), PENALTY_LIMIT_S)
    if kind == "penalties":
        return Entries(LINEAR, tuple(f"{r}.penalty" for r in routes), at, low, centre, high)
    names = tuple(f"{r}.share" for r in routes)
    return Entries(SHARE, names, at, low, centre, np.ones(len(at)), group=len(s.regions))


def discrete_routing(context: Context) -> Entries | None:
    """Return a preset for the whole matrix, or with shares a destination per (model, origin).

    The presets: what is in force otherwise; ``local``: least wait, half a second for leaving home;
    ``pooled``: least wait without penalties; ``threshold``: the first region below the threshold.
    """
    s, kind = context.scenario, routing_matrix(context.router)
    if kind is None and context.router_fixed:
        return None
    m, r = len(s.models), len(s.regions)
    at = places(np.ones((m, r, r), dtype=np.bool_))
    if kind == "shares":
        names = tuple(f"{o}.destination" for o in _origins(s))
        choices = []
        for home in np.tile(np.eye(r), (m, 1)):
            rows = [home, np.full(r, 1.0 / r), *np.eye(r)]
            choices.append(tuple(Preset(row) for row in rows))
        return Entries(CHOICE, names, at.reshape(m * r, r, 3), presets=tuple(choices))
    trips = default_routing(s, context.router)
    away = trips + LOCAL_PENALTY_S * (1.0 - np.eye(r))
    aware = context.router if kind == "penalties" else "least_wait"
    presets = [
        Preset(trips.ravel(), context.router),
        Preset(away.ravel(), aware),
        Preset(np.zeros(m * r * r), aware),
    ]
    if not context.router_fixed:
        presets.append(Preset(trips.ravel(), "threshold"))
    return Entries(CHOICE, ("routing_preset",), at.reshape(1, -1, 3), presets=(tuple(presets),))


# -- batch work ---------------------------------------------------------------------------------


def default_release(scenario: Scenario, router: str = "") -> NDArray[np.float64]:
    """Return the scenario's ceiling for every endpoint, [E]."""
    return np.full(len(scenario.endpoints), scenario.niw.pull_below)


def continuous_release(context: Context) -> Entries:
    """Return a ceiling per endpoint."""
    s = context.scenario
    n = len(s.endpoints)
    names = tuple(f"{e.name}.niw_release" for e in s.endpoints)
    at = places(np.ones(n, dtype=np.bool_))
    return Entries(LINEAR, names, at, np.zeros(n), default_release(s), np.ones(n))


def discrete_release(context: Context) -> Entries:
    """Return a preset for all ceilings: those in force otherwise, 0 (hold) or 0.9 (eager)."""
    own = default_release(context.scenario)
    presets = tuple(Preset(x) for x in (own, 0.0 * own, np.full_like(own, EAGER_RELEASE)))
    at = places(np.ones(len(own), dtype=np.bool_))
    return Entries(CHOICE, ("niw_preset",), at.reshape(1, -1, 3), presets=(presets,))


# -- weights ------------------------------------------------------------------------------------


def default_router_weights(scenario: Scenario, router: str) -> NDArray[np.float64]:
    """Return the weights of a router, the same for every model, [M, F]; zeros of a kernel."""
    routing = scenario.routing
    own = ROUTERS.index(router) == ROUTERS.index(routing.router)
    changes = routing.weights if own else {}
    row = weight_row(ROUTERS.spec(router).weights, changes, ROUTER_FEATURES, routing)
    return np.tile(row, (len(scenario.models), 1))


def default_discipline_weights(scenario: Scenario, discipline: str) -> NDArray[np.float64]:
    """Return the weights of a discipline, the same for every model, [M, D]."""
    batching = scenario.batching
    own = DISCIPLINES.index(discipline) == DISCIPLINES.index(batching.discipline)
    changes = batching.discipline_weights if own else {}
    row = weight_row(DISCIPLINES.spec(discipline).weights, changes, DISCIPLINE_FEATURES, batching)
    return np.tile(row, (len(scenario.models), 1))


def _weights(
    scenario: Scenario,
    centre: NDArray[np.float64],
    features: Sequence[str],
    limits: Mapping[str, float],
    word: str,
) -> Entries:
    at = places(np.ones(centre.shape, dtype=np.bool_))
    most = np.tile(list(limits.values()), len(centre))
    own = centre.ravel()
    low, high = np.minimum(0.0, np.minimum(own, most)), np.maximum(0.0, np.maximum(own, most))
    names = tuple(f"{m}.{word}[{feature}]" for m in scenario.models for feature in features)
    return Entries(LINEAR, names, at, low, own, high)


def continuous_router_weights(context: Context) -> Entries | None:
    """Return a weight per model and feature, for a router that is weights."""
    if not ROUTERS.spec(context.router).weights:
        return None
    centre = default_router_weights(context.scenario, context.router)
    features = tuple(ROUTER_FEATURES)
    return _weights(context.scenario, centre, features, ROUTER_LIMITS, "router_weight")


def continuous_discipline_weights(context: Context) -> Entries:
    """Return a weight per model and feature."""
    centre = default_discipline_weights(context.scenario, context.discipline)
    features = tuple(DISCIPLINE_FEATURES)
    return _weights(context.scenario, centre, features, DISCIPLINE_LIMITS, "discipline_weight")


# -- admission ----------------------------------------------------------------------------------


def _objectives(scenario: Scenario) -> NDArray[np.float64]:
    return np.tile([tier.objective_s for tier in scenario.tiers], (len(scenario.models), 1))


def default_admission(scenario: Scenario, router: str = "") -> NDArray[np.float64]:
    """Return the limits of the tiers, for every model, [M, K]; infinite where there is none."""
    limits = [np.inf if t.refuse_above_s is None else t.refuse_above_s for t in scenario.tiers]
    return np.tile(np.array(limits, dtype=np.float64), (len(scenario.models), 1))


def continuous_admission(context: Context) -> Entries:
    """Return a limit per model and tier; 0 leaves the tier's own in force."""
    s = context.scenario
    at = places(np.ones((len(s.models), len(s.tiers)), dtype=np.bool_))
    names = tuple(f"{m}.admission[{tier}]" for m in s.models for tier in s.tier_names)
    centre = default_admission(s).ravel()
    return Entries(LIMIT, names, at, _objectives(s).ravel(), centre, np.full(len(at), np.inf))


def discrete_admission(context: Context) -> Entries:
    """Return a preset for all limits: the tiers' own, their objectives, or a fourth of those."""
    objectives = _objectives(context.scenario)
    rows = (default_admission(context.scenario), objectives, 0.25 * objectives)
    at = places(np.ones(objectives.shape, dtype=np.bool_))
    presets = tuple(Preset(row.ravel()) for row in rows)
    return Entries(CHOICE, ("admission_preset",), at.reshape(1, -1, 3), presets=(presets,))
