"""What can be decided: one row per knob.

`KNOBS` is the only list of them. From it are made the checks of `ClusterAction`, the three action
modes and their masks, the agents of the PettingZoo form, the archive of decisions and the table in
the documentation. A new knob is a row here, a typed field of `ClusterAction`, and a line in
``simulator/decide.py`` that says where the simulator keeps it.

Axes: E endpoints, G VM types, M models, R regions, F features of a router, D of a discipline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env.forms import (
    CHANGE,
    CHOICE,
    COUNT,
    LARGEST_DELTA,
    LIMIT,
    LINEAR,
    SHARE,
    STEP,
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

Array = NDArray[Any]

PENALTY_LIMIT_S = 2.0
LOCAL_PENALTY_S = 0.5
EAGER_RELEASE = 0.9
LARGEST_CHANGE = 0.125  # of a target in the form "delta", over its most (our assumption)
LARGEST_ROUTING = 10.0  # of the structured space: seconds or unnormalised shares
LONGEST_WAIT_S = 86_400.0  # of the structured space
TARGET_FORMS = ("absolute", "delta")


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


class Joint(NamedTuple):
    """In which scenarios ``control="joint"`` hands a knob over, and that in words."""

    text: str
    holds: Callable[[Scenario], bool]


ALWAYS = Joint("", lambda scenario: True)
NAMED = Joint(", not in `joint`", lambda scenario: False)
CHARGED = Joint(
    ", in `joint` where `reward.refuse_usd` is set",
    lambda scenario: scenario.reward.refuse_usd is not None,
)


@dataclass(frozen=True)
class Knob:
    """One thing that can be decided.

    Attributes:
        name: Field of `ClusterAction` and key of ``policy``.
        control: Word of ``control`` that hands it to the learner.
        axes: Letters of its axes; empty for a choice among names.
        unit: Unit of its values.
        meaning: What it does, in a sentence.
        neutral: What is in force where nobody decides it, given the scenario and the router.
        low: Smallest value.
        high: Largest value of the structured action, an array or a number, given the scenario.
        integer: Whether values are whole numbers.
        unlimited: Whether infinity is a value.
        choices: Names to choose from, for a knob without axes.
        joint: Where ``control="joint"`` hands it over; else it has to be named.
        owner: Axis that says which region decides in the PettingZoo form: ``endpoint`` (the first
            axis counts endpoints), ``origin`` (the second counts origins) or ``cluster``.
        continuous: Makes the entries of continuous actions; None if there is no such form.
        discrete: Makes the entries of discrete actions; None if there is no such form.
    """

    name: str
    control: str
    axes: str
    unit: str
    meaning: str
    neutral: Callable[[Scenario, str], Any]
    low: float = 0.0
    high: Callable[[Scenario], Any] = lambda scenario: np.inf
    integer: bool = False
    unlimited: bool = False
    choices: Sequence[str] = ()
    joint: Joint = ALWAYS
    owner: str = "cluster"
    continuous: Callable[[Context], Entries | None] | None = None
    discrete: Callable[[Context], Entries | None] | None = None

    @property
    def code(self) -> int:
        """Return the number by which kernels know the knob: its row."""
        return KNOBS.index(self)

    def shape(self, scenario: Scenario) -> tuple[int, ...]:
        """Return the shape of its array."""
        size = {
            "E": len(scenario.endpoints),
            "G": len(scenario.gpus),
            "M": len(scenario.models),
            "R": len(scenario.regions),
            "K": len(scenario.tiers),
            "F": len(ROUTER_FEATURES),
            "D": len(DISCIPLINE_FEATURES),
        }
        return tuple(size[axis] for axis in self.axes)

    def check(self, value: Any, scenario: Scenario) -> Any:
        """Return a value with its canonical type.

        Raises:
            ValueError: If it does not fit; the message says what was expected.
        """
        if self.choices:
            if not isinstance(value, str) or value not in self.choices:
                expected = ", ".join(self.choices)
                raise ValueError(f"{self.name}: expected one of {expected}, got {value!r}")
            return value
        array, shape = np.asarray(value), self.shape(scenario)
        if array.shape != shape:
            raise ValueError(f"{self.name}: expected shape {shape}, got {array.shape}")
        if self.integer:
            if not np.issubdtype(array.dtype, np.integer):
                raise ValueError(f"{self.name}: expected integers, got {array.dtype}")
            array = array.astype(np.int64)
        else:
            if array.dtype.kind not in "fiu":
                raise ValueError(f"{self.name}: expected numbers, got {array.dtype}")
            array = array.astype(np.float64)
            if self.unlimited and np.isnan(array).any():
                raise ValueError(f"{self.name}: expected numbers or infinity, got NaN")
            if not self.unlimited and not np.isfinite(array).all():
                raise ValueError(f"{self.name}: expected finite numbers, got NaN or infinity")
        if (array < self.low).any():
            raise ValueError(f"{self.name}: expected {self.unit} of at least {self.low:g}")
        return array

    def fixed(self, value: Any, scenario: Scenario) -> Any:
        """Return a value given by a user, where one number may stand for all entries.

        Raises:
            ValueError: If it does not fit.
        """
        if not self.choices and np.ndim(value) == 0:
            value = np.full(self.shape(scenario), value)
        return self.check(value, scenario)

    def owners(self, scenario: Scenario, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the region that decides each entry, -1 where no single one does.

        Args:
            scenario: The cluster.
            at: Indices that the entries set, [N, P, 3].
        """
        if self.owner == "cluster":
            return np.full(len(at), -1)
        region = at[:, :, 1]
        if self.owner == "endpoint":
            of = [scenario.region_names.index(e.region) for e in scenario.endpoints]
            region = np.array(of)[at[:, :, 0]]
        return np.where((region == region[:, :1]).all(axis=1), region[:, 0], -1)


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


def _targets(context: Context, form: int, word: str) -> Entries:
    s = context.scenario
    at = places(s.usable)
    e, g = at[:, 0, 0], at[:, 0, 1]
    centre = initial_fleet(s)[e, g]
    high = np.maximum(centre, most_instances(s)[e, g]).astype(np.float64)
    low = np.full(len(at), float(s.min_instances if len(s.gpus) == 1 else 0))
    names = tuple(f"{s.endpoints[i].name}.{word}[{s.gpus[j]}]" for i, j in zip(e, g, strict=True))
    return Entries(form, names, at, low, centre.astype(np.float64), high)


def _continuous_targets(context: Context) -> Entries:
    if context.targets == "absolute":
        return _targets(context, COUNT, "target")
    made = _targets(context, CHANGE, "change")
    return replace(made, centre=np.maximum(LARGEST_DELTA, np.round(LARGEST_CHANGE * made.high)))


# -- routing ------------------------------------------------------------------------------------


def default_routing(scenario: Scenario, router: str) -> NDArray[np.float64]:
    """Return [M, R, R]: round trips as penalties, or shares that keep all traffic at home."""
    one = (
        np.eye(len(scenario.regions)) if routing_matrix(router) == "shares" else scenario.round_trip
    )
    return np.broadcast_to(one, (len(scenario.models), *one.shape)).copy()


def _origins(scenario: Scenario) -> list[str]:
    return [f"{m}/{r}" for m in scenario.models for r in scenario.region_names]


def _continuous_routing(context: Context) -> Entries | None:
    """Penalties or shares per (model, origin, destination), as the router takes them."""
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


#: Routing presets of discrete actions: name, meaning.
ROUTING_PRESETS = (
    "default: the router and the matrix that are in force otherwise",
    "local: least wait, half a second for leaving home",
    "pooled: least wait, no penalties",
    "threshold: first region below the threshold",
)


def _discrete_routing(context: Context) -> Entries | None:
    """Return a preset for the whole matrix, or with shares a destination per (model, origin)."""
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

#: Presets of the ceilings of discrete actions.
NIW_PRESETS = ("default: the ceilings that are in force otherwise", "hold: 0", "eager: 0.9")


def _default_release(scenario: Scenario, router: str = "") -> NDArray[np.float64]:
    return np.full(len(scenario.endpoints), scenario.niw.pull_below)


def _continuous_release(context: Context) -> Entries:
    s = context.scenario
    n = len(s.endpoints)
    names = tuple(f"{e.name}.niw_release" for e in s.endpoints)
    at = places(np.ones(n, dtype=np.bool_))
    return Entries(LINEAR, names, at, np.zeros(n), _default_release(s), np.ones(n))


def _discrete_release(context: Context) -> Entries:
    own = _default_release(context.scenario)
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


def _continuous_router_weights(context: Context) -> Entries | None:
    if not ROUTERS.spec(context.router).weights:
        return None
    centre = default_router_weights(context.scenario, context.router)
    features = tuple(ROUTER_FEATURES)
    return _weights(context.scenario, centre, features, ROUTER_LIMITS, "router_weight")


def _continuous_discipline_weights(context: Context) -> Entries:
    centre = default_discipline_weights(context.scenario, context.discipline)
    features = tuple(DISCIPLINE_FEATURES)
    return _weights(context.scenario, centre, features, DISCIPLINE_LIMITS, "discipline_weight")


# -- admission ----------------------------------------------------------------------------------

#: Presets of admission of discrete actions.
ADMISSION_PRESETS = (
    "default: the limits that are in force otherwise",
    "in time: the objectives of the tiers",
    "strict: a fourth of them",
)


def _objectives(scenario: Scenario) -> NDArray[np.float64]:
    return np.tile([tier.objective_s for tier in scenario.tiers], (len(scenario.models), 1))


def _admit_all(scenario: Scenario, router: str = "") -> NDArray[np.float64]:
    return np.full((len(scenario.models), len(scenario.tiers)), np.inf)


def _continuous_admission(context: Context) -> Entries:
    s = context.scenario
    centre = _objectives(s).ravel()
    at = places(np.ones((len(s.models), len(s.tiers)), dtype=np.bool_))
    names = tuple(f"{m}.admission[{tier}]" for m in s.models for tier in s.tier_names)
    return Entries(LIMIT, names, at, np.zeros(len(at)), centre, np.full(len(at), np.inf))


def _discrete_admission(context: Context) -> Entries:
    objectives = _objectives(context.scenario)
    rows = (_admit_all(context.scenario), objectives, 0.25 * objectives)
    at = places(np.ones(objectives.shape, dtype=np.bool_))
    presets = tuple(Preset(row.ravel()) for row in rows)
    return Entries(CHOICE, ("admission_preset",), at.reshape(1, -1, 3), presets=(presets,))


# -- the table ----------------------------------------------------------------------------------

KNOBS = (
    Knob(
        name="instances",
        control="scaling",
        axes="EG",
        unit="targets",
        meaning="Target instances per endpoint and VM type, kept within the scenario's limits per "
        "endpoint; what the inventory cannot provide is unmet and retried while the target stands",
        neutral=initial_fleet,
        high=most_instances,
        integer=True,
        owner="endpoint",
        continuous=_continuous_targets,
        discrete=lambda context: _targets(context, STEP, "delta"),
    ),
    Knob(
        name="router",
        control="routing",
        axes="",
        unit="name",
        meaning="How a request finds an instance",
        neutral=lambda scenario, router: scenario.routing.router,
        choices=ROUTERS,
    ),
    Knob(
        name="routing",
        control="routing",
        axes="MRR",
        unit="values",
        meaning="Origin by destination: penalties in seconds for the least-wait routers, shares "
        "that add up to 1 per origin for `shares`; not used by `threshold`",
        neutral=default_routing,
        high=lambda scenario: LARGEST_ROUTING,
        owner="origin",
        continuous=_continuous_routing,
        discrete=_discrete_routing,
    ),
    Knob(
        name="niw_release",
        control="batch",
        axes="E",
        unit="utilisations",
        meaning="Utilisation below which an endpoint pulls non-interactive work, two requests at "
        "0.1 below; 0 holds all of it",
        neutral=_default_release,
        high=lambda scenario: 1.0,
        owner="endpoint",
        continuous=_continuous_release,
        discrete=_discrete_release,
    ),
    Knob(
        name="discipline",
        control="discipline",
        axes="",
        unit="name",
        meaning="Order of waiting requests; applies to those that are queued from now on",
        neutral=lambda scenario, router: scenario.batching.discipline,
        choices=DISCIPLINES,
    ),
    Knob(
        name="router_weights",
        control="weights",
        axes="MF",
        unit="weights",
        meaning="What a router that is weights takes for the least, per model: see "
        "`ROUTER_FEATURES`; the router's own where nobody decides",
        neutral=default_router_weights,
        low=-np.inf,
        high=lambda scenario: np.abs(list(ROUTER_LIMITS.values())),
        joint=NAMED,
        continuous=_continuous_router_weights,
    ),
    Knob(
        name="discipline_weights",
        control="weights",
        axes="MD",
        unit="weights",
        meaning="What an instance serves first, the least, per model: see `DISCIPLINE_FEATURES`; "
        "the discipline's own where nobody decides",
        neutral=lambda scenario, router: default_discipline_weights(
            scenario, scenario.batching.discipline
        ),
        low=-np.inf,
        high=lambda scenario: np.abs(list(DISCIPLINE_LIMITS.values())),
        joint=NAMED,
        continuous=_continuous_discipline_weights,
    ),
    Knob(
        name="admission",
        control="admission",
        axes="MK",
        unit="seconds",
        meaning="Expected wait above which a gateway refuses a request of the model and tier; the "
        "request is missed at once; infinite admits all",
        neutral=_admit_all,
        high=lambda scenario: LONGEST_WAIT_S,
        unlimited=True,
        joint=CHARGED,
        continuous=_continuous_admission,
        discrete=_discrete_admission,
    ),
)

BY_NAME: Mapping[str, Knob] = {knob.name: knob for knob in KNOBS}


def table() -> str:
    """Return the knobs as a table in Markdown."""
    lines = [
        "| knob | `control` | axes | what | from | entries: continuous | discrete |",
        "|---|---|---|---|---|---|---|",
    ]
    for knob in KNOBS:
        axes = f"[{', '.join(knob.axes)}]" if knob.axes else "one of its names"
        low = "" if knob.choices else "any" if np.isinf(knob.low) else f"{knob.low:g}"
        word = f"`{knob.control}`{knob.joint.text}"
        forms = ["yes" if form else "-" for form in (knob.continuous, knob.discrete)]
        cells = (f"`{knob.name}`", word, axes, knob.meaning, low, *forms)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
