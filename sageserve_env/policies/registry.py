"""The tables of routers, disciplines and balancers; everything that lists them reads these.

A name is valid in a scenario, a decision, an agent's option and on the command line as soon as it
is registered. Where no Python runs before the name is read, it is given with the file that
registers it: ``my_policies.py:greedy``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args, overload

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import ScenarioError, shown, unknown_key_message
from sageserve_env.policies.features import (
    DISCIPLINE_FEATURES,
    LARGEST_WEIGHT,
    ROUTER_FEATURES,
    ROUTING_OPTIONS,
)
from sageserve_env.user_files import load_user_file

Weights = Mapping[str, float | str]
Matrix = Literal["penalties", "shares", "unused"]


@dataclass(frozen=True)
class Router:
    """How a request finds its instance.

    Attributes:
        name: Its name everywhere.
        summary: One line for the documentation.
        weights: Weights of `ROUTER_FEATURES`, those left out are 0; a text is one of
            `ROUTING_OPTIONS`. Empty for a router that is a kernel of the simulator.
        routing: What the ``routing`` matrix of a decision is to it.
    """

    name: str
    summary: str
    weights: Weights = field(default_factory=dict)
    routing: Matrix = "penalties"


@dataclass(frozen=True)
class Discipline:
    """In which order an instance serves its queue.

    Attributes:
        name: Its name everywhere.
        summary: One line for the documentation.
        weights: Weights of `DISCIPLINE_FEATURES`; those left out are 0.
    """

    name: str
    summary: str
    weights: Weights


@dataclass(frozen=True)
class Balancer:
    """Choice of the instance inside an endpoint where the router has chosen the endpoint only."""

    name: str
    summary: str


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...


Entry = TypeVar("Entry", bound=_Named)


class Registry(Sequence[str], Generic[Entry]):
    """Entries by name, in the order of their registration, which is that of their codes.

    As a sequence it is that of the names. Names with a file, ``file.py:name``, are loaded when they
    are first looked up.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> Entry:
        """Register an entry; one that is equal to that of its name changes nothing.

        Raises:
            ScenarioError: If the name is taken or cannot be a name.
        """
        if not entry.name.isidentifier():
            raise ScenarioError(f"{self.what}: {entry.name!r} is no name: use letters, digits, _")
        known = self._entries.setdefault(entry.name, entry)
        if known != entry:
            raise ScenarioError(f"{self.what}: the name {entry.name!r} is taken")
        return entry

    def spec(self, name: str) -> Entry:
        """Return an entry by its name.

        Raises:
            ScenarioError: If there is none; the message names the nearest.
        """
        plain = self._plain(name)
        if plain not in self._entries:
            message = unknown_key_message(name, list(self._entries), self.what)
            raise ScenarioError(message.replace("unknown key", "unknown value"))
        return self._entries[plain]

    def _plain(self, name: str) -> str:
        file, colon, plain = name.rpartition(":")
        if colon and file.endswith(".py"):
            try:
                load_user_file(file, f"{self.what} {name!r}")
            except ValueError as error:
                raise ScenarioError(str(error)) from None
            return plain
        return name

    def __contains__(self, name: object) -> bool:
        """Return whether an entry has this name."""
        return isinstance(name, str) and self._plain(name) in self._entries

    def index(self, name: str, start: int = 0, stop: int | None = None) -> int:
        """Return the code of a name."""
        return list(self._entries).index(self.spec(name).name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)

    @overload
    def __getitem__(self, code: int) -> str: ...
    @overload
    def __getitem__(self, code: slice) -> list[str]: ...
    def __getitem__(self, code: int | slice) -> str | list[str]:
        """Return the name of a code."""
        return list(self._entries)[code]


ROUTERS: Registry[Router] = Registry("router")
DISCIPLINES: Registry[Discipline] = Registry("discipline")
BALANCERS: Registry[Balancer] = Registry("balancer")


def register_router(
    name: str, weights: Weights, *, summary: str = "", routing: Matrix = "penalties"
) -> Router:
    """Register a router that takes the instance with the least weighted sum of features.

    Args:
        name: Its name in scenarios, decisions and agents' options.
        weights: Weights of `ROUTER_FEATURES`; a text is one of `ROUTING_OPTIONS`.
        summary: One line for the documentation.
        routing: What the ``routing`` matrix of a decision is to it.

    Raises:
        ScenarioError: If the name is taken, or a weight or ``routing`` is not one.
    """
    _check(weights, ROUTER_FEATURES, f"router {name!r}", ROUTING_OPTIONS)
    matrices = get_args(Matrix)
    if routing not in matrices:
        message = unknown_key_message(str(routing), list(matrices), f"router {name!r}: routing")
        raise ScenarioError(message.replace("unknown key", "unknown value"))
    if not weights:
        raise ScenarioError(f"router {name!r}: expected weights of {', '.join(ROUTER_FEATURES)}")
    return ROUTERS.add(Router(name, summary, dict(weights), routing))


def register_discipline(name: str, weights: Weights, *, summary: str = "") -> Discipline:
    """Register a discipline that serves the request with the least weighted sum of features.

    Args:
        name: Its name in scenarios, decisions and agents' options.
        weights: Weights of `DISCIPLINE_FEATURES`.
        summary: One line for the documentation.

    Raises:
        ScenarioError: If the name is taken, or a weight is not one.
    """
    _check(weights, DISCIPLINE_FEATURES, f"discipline {name!r}")
    if not weights:
        features = ", ".join(DISCIPLINE_FEATURES)
        raise ScenarioError(f"discipline {name!r}: expected weights of {features}")
    return DISCIPLINES.add(Discipline(name, summary, dict(weights)))


def _check(
    weights: Weights, features: Mapping[str, str], where: str, options: Sequence[str] = ()
) -> None:
    for key, value in weights.items():
        if key not in features:
            raise ScenarioError(unknown_key_message(key, list(features), where))
        if isinstance(value, str) and options:
            if value not in options:
                place = f"{where}: {key}: expected a number or an option of `routing`"
                message = unknown_key_message(value, list(options), place)
                raise ScenarioError(message.replace("unknown key", "unknown option"))
        else:
            _check_number(value, f"{where}: {key}")


def _check_number(value: Any, where: str) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not abs(value) <= LARGEST_WEIGHT:
        expected = f"a weight from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        raise ScenarioError(f"{where}: expected {expected}, got {shown(value)}")


def weight_row(
    weights: Weights, changes: Mapping[str, float], features: Mapping[str, str], options: object
) -> NDArray[np.float64]:
    """Return weights in the order of the features, float64 [len(features)].

    Args:
        weights: Those of an entry.
        changes: Those that a scenario changes.
        features: `ROUTER_FEATURES` or `DISCIPLINE_FEATURES`.
        options: Part of the scenario that named options are read from.

    Raises:
        ScenarioError: If a named option is too large for a weight.
    """
    values = {**weights, **changes}
    row = np.zeros(len(features))
    for i, feature in enumerate(features):
        value = values.get(feature, 0.0)
        row[i] = getattr(options, value) if isinstance(value, str) else value
        _check_number(float(row[i]), f"routing: {value}")
    return row


def check_weights(changes: Mapping[str, float], features: Mapping[str, str], where: str) -> None:
    """Raise ``ScenarioError`` if a scenario changes the weight of a feature that is not there."""
    _check(changes, features, where)
