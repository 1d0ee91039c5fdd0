"""What can be decided: one row per knob.

`KNOBS` is the only list of them. From it are made the checks of `ClusterAction`, the three action
modes and their masks, the agents of the PettingZoo form, the archive of decisions and the table in
the documentation. A new knob is a row here, a typed field of `ClusterAction`, and a line in
``simulator/decide.py`` that says where the simulator keeps it; its entries in actions are made in
`sageserve_env.entries`.

Axes: E endpoints, G VM types, M models, R regions, K tiers, F features of a router, D of a
discipline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env import entries
from sageserve_env._markdown import markdown_table
from sageserve_env.forms import STEP, Entries
from sageserve_env.policies import (
    DISCIPLINE_FEATURES,
    DISCIPLINE_LIMITS,
    DISCIPLINES,
    LARGEST_WEIGHT,
    ROUTER_FEATURES,
    ROUTER_LIMITS,
    ROUTERS,
)
from sageserve_env.scenario import Scenario

Array = NDArray[Any]

LARGEST_ROUTING = 10.0  # of the structured space: seconds or unnormalised shares
LONGEST_WAIT_S = 86_400.0  # of the structured space
TARGET_FORMS = ("absolute", "delta", "load")


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
        largest: Value farthest from 0 that is taken.
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
    largest: float = np.inf
    high: Callable[[Scenario], Any] = lambda scenario: np.inf
    integer: bool = False
    unlimited: bool = False
    choices: Sequence[str] = ()
    joint: Joint = ALWAYS
    owner: str = "cluster"
    continuous: Callable[[entries.Context], Entries | None] | None = None
    discrete: Callable[[entries.Context], Entries | None] | None = None

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
        if (np.abs(array) > self.largest).any():
            low, high = max(self.low, -self.largest), self.largest
            raise ValueError(f"{self.name}: expected {self.unit} from {low:g} to {high:g}")
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


# -- the table ----------------------------------------------------------------------------------

KNOBS = (
    Knob(
        name="instances",
        control="scaling",
        axes="EG",
        unit="targets",
        meaning="Target instances per endpoint and VM type, kept within the scenario's limits per "
        "endpoint; what the inventory cannot provide is unmet and retried while the target stands",
        neutral=entries.initial_fleet,
        high=entries.most_instances,
        integer=True,
        owner="endpoint",
        continuous=entries.continuous_targets,
        discrete=lambda context: entries.targets(context, STEP, "delta"),
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
        neutral=entries.default_routing,
        largest=LARGEST_WEIGHT,
        high=lambda scenario: LARGEST_ROUTING,
        owner="origin",
        continuous=entries.continuous_routing,
        discrete=entries.discrete_routing,
    ),
    Knob(
        name="niw_release",
        control="batch",
        axes="E",
        unit="utilisations",
        meaning="Utilisation below which an endpoint pulls non-interactive work, two requests at "
        "0.1 below; 0 holds all of it",
        neutral=entries.default_release,
        high=lambda scenario: 1.0,
        owner="endpoint",
        continuous=entries.continuous_release,
        discrete=entries.discrete_release,
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
        neutral=entries.default_router_weights,
        low=-np.inf,
        largest=LARGEST_WEIGHT,
        high=lambda scenario: np.abs(list(ROUTER_LIMITS.values())),
        joint=NAMED,
        continuous=entries.continuous_router_weights,
    ),
    Knob(
        name="discipline_weights",
        control="weights",
        axes="MD",
        unit="weights",
        meaning="What an instance serves first, the least, per model: see `DISCIPLINE_FEATURES`; "
        "the discipline's own where nobody decides",
        neutral=lambda scenario, router: entries.default_discipline_weights(
            scenario, scenario.batching.discipline
        ),
        low=-np.inf,
        largest=LARGEST_WEIGHT,
        high=lambda scenario: np.abs(list(DISCIPLINE_LIMITS.values())),
        joint=NAMED,
        continuous=entries.continuous_discipline_weights,
    ),
    Knob(
        name="admission",
        control="admission",
        axes="MK",
        unit="seconds",
        meaning="Expected wait above which a gateway refuses a request of the model and tier; the "
        "request is missed at once; infinite admits all",
        neutral=entries.default_admission,
        high=lambda scenario: LONGEST_WAIT_S,
        unlimited=True,
        joint=CHARGED,
        continuous=entries.continuous_admission,
        discrete=entries.discrete_admission,
    ),
)

BY_NAME: Mapping[str, Knob] = {knob.name: knob for knob in KNOBS}


def table() -> str:
    """Return the knobs as a table in Markdown."""
    head = ("knob", "`control`", "axes", "what", "from", "entries: continuous", "discrete")
    rows = []
    for knob in KNOBS:
        axes = f"[{', '.join(knob.axes)}]" if knob.axes else "one of its names"
        low = "" if knob.choices else "any" if np.isinf(knob.low) else f"{knob.low:g}"
        word = f"`{knob.control}`{knob.joint.text}"
        forms = ["yes" if form else "-" for form in (knob.continuous, knob.discrete)]
        rows.append((f"`{knob.name}`", word, axes, knob.meaning, low, *forms))
    return markdown_table(head, rows)
