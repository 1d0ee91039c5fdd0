"""What of an agent may be tuned, the one knob of calibration, and errors that name the nearest."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from sageserve_env._config import closest
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario

PREFIX = "prefix_s"  # the feature of routers that prefix caches are for


class Trial(Protocol):
    """What suggests values to a search, such as a trial of optuna."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number of an interval."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return a whole number of an interval, its ends included."""


class Space(ABC):
    """The values of an option that a search may try."""

    def on(self, scenario: Scenario) -> Space:
        """Return the space as a scenario has it."""
        return self

    @abstractmethod
    def suggest(self, trial: Trial, name: str) -> Any:
        """Return a trial's value of the option ``name``."""

    @abstractmethod
    def begin(self, name: str, value: Any) -> dict[str, Any]:
        """Return a value as what `suggest` asks for, by name; nothing if it lies outside."""

    @abstractmethod
    def changes(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield changes of the option without end."""

    def changed(self, kept: Any, change: Any) -> Any:
        """Return the value after a change; ``kept`` is the one before, None at first."""
        return change


@dataclass(frozen=True)
class Range(Space):
    """An interval; ``kind`` is ``float``, ``log`` or ``int``."""

    low: float
    high: float
    kind: str = "float"

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return a number of the interval."""
        if self.kind == "int":
            return trial.suggest_int(name, round(self.low), round(self.high))
        return trial.suggest_float(name, self.low, self.high, log=self.kind == "log")

    def begin(self, name: str, value: Any) -> dict[str, Any]:
        """Return the value if it lies in the interval."""
        inside = isinstance(value, int | float) and self.low <= value <= self.high
        return {name: value} if inside else {}

    def changes(self, rng: np.random.Generator) -> Iterator[float | int]:
        """Yield values to three digits."""
        while True:
            if self.kind == "log":
                drawn = float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
            else:
                drawn = float(rng.uniform(self.low, self.high))
            yield round(drawn) if self.kind == "int" else float(f"{drawn:.3g}")


@dataclass(frozen=True)
class Choice(Space):
    """A set of values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return one of the values."""
        return trial.suggest_categorical(name, list(self.values))

    def begin(self, name: str, value: Any) -> dict[str, Any]:
        """Return the value if it is one of the set."""
        return {name: value} if value in self.values else {}

    def changes(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield the values in random order; every one is had before one comes again."""
        while True:
            for i in reversed(rng.permutation(len(self.values))):
                yield self.values[i]


@dataclass(frozen=True)
class Routers(Choice):
    """A set of routers, None for the scenario's."""

    def on(self, scenario: Scenario) -> Space:
        """Return the space without those for prefix caches, where there are none."""
        if scenario.batching.prefix_cache != "none":
            return self
        return Choice(
            tuple(r for r in self.values if r is None or PREFIX not in ROUTERS.spec(r).weights)
        )


@dataclass(frozen=True)
class Weights(Space):
    """Weights of a router, each on the logarithm of its size, or those that the router has.

    Attributes:
        limits: By feature the smallest and the largest weight; both have its sign.
    """

    limits: Mapping[str, tuple[float, float]]
    own: ClassVar[str] = "own"  # the router's

    def on(self, scenario: Scenario) -> Space:
        """Return the space without what scores prefix caches, where there are none."""
        if scenario.batching.prefix_cache != "none":
            return self
        return Weights({f: limit for f, limit in self.limits.items() if f != PREFIX})

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return all weights as `sageserve_agents.weights` reads them, or None for the router's."""
        if trial.suggest_categorical(name, [self.own, "searched"]) == self.own:
            return None
        parts = (
            self._part(f, trial.suggest_float(f"{name}.{f}", *self.sizes(f), log=True))
            for f in self.limits
        )
        return "/".join(parts)

    def begin(self, name: str, value: Any) -> dict[str, Any]:
        """Return the mark of the router's own weights where none are given."""
        return {name: self.own} if value is None else {}

    def changes(self, rng: np.random.Generator) -> Iterator[str]:
        """Yield one weight each."""
        drawn = {f: Range(*self.sizes(f), "log").changes(rng) for f in self.limits}
        while True:
            feature = str(rng.choice(list(self.limits)))
            yield self._part(feature, next(drawn[feature]))

    def changed(self, kept: Any, change: Any) -> Any:
        """Return the weights with one more; later parts win."""
        return f"{kept}/{change}" if kept else change

    def sizes(self, feature: str) -> tuple[float, float]:
        """Return the least and the greatest size of a weight."""
        low, high = self.limits[feature]
        return abs(low), abs(high)

    def _part(self, feature: str, size: float) -> str:
        return f"{feature}:{math.copysign(size, self.limits[feature][0]):.4g}"


@dataclass(frozen=True)
class PerModel(Space):
    """A factor for each model of a scenario, on its logarithm, written ``0.95/1.2``.

    Attributes:
        low: Least factor.
        high: Greatest factor.
        models: Models of the scenario.
    """

    low: float
    high: float
    models: int = 1

    def on(self, scenario: Scenario) -> Space:
        """Return the space with a factor for each model."""
        return replace(self, models=len(scenario.models))

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return a factor for each model."""
        names = (f"{name}.{m}" for m in range(self.models))
        return _joined(trial.suggest_float(one, self.low, self.high, log=True) for one in names)

    def begin(self, name: str, value: Any) -> dict[str, Any]:
        """Return 1 for each model."""
        return {f"{name}.{m}": 1.0 for m in range(self.models)}

    def changes(self, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
        """Yield a model and its factor."""
        for factor in Range(self.low, self.high, "log").changes(rng):
            yield int(rng.integers(self.models)), factor

    def changed(self, kept: Any, change: Any) -> Any:
        """Return the factors with that of one model set."""
        factors = [float(part) for part in kept.split("/")] if kept else [1.0] * self.models
        model, factors[model] = change
        return _joined(factors)


def _joined(factors: Iterable[float]) -> str:
    return "/".join(f"{factor:.3g}" for factor in factors)


Tunable = Mapping[str, Space]


@dataclass(frozen=True)
class ServiceKnob:
    """The option that trades cost for service, for calibration to equal service by bisection.

    Service and cost rise monotonically (but for noise) from ``stingy`` to ``generous``.

    Attributes:
        option: Name of the option.
        stingy: Value with the least cost.
        generous: Value with the most service; may be below ``stingy``.
        log: Bisect on the logarithm.
    """

    option: str
    stingy: float
    generous: float
    log: bool = False

    def at(self, position: float) -> float:
        """Return the value at ``position`` in [0, 1] from stingy to generous."""
        if self.log:
            ratio = self.generous / self.stingy
            return float(self.stingy * ratio**position)
        return self.stingy + (self.generous - self.stingy) * position


def nearest(name: str, valid: Iterable[str], what: str) -> ValueError:
    """Return the one-line error for an unknown name, which names the nearest valid one."""
    names = sorted(valid)
    near = closest(name, names)
    hint = f"; did you mean {near!r}?" if near else ""
    return ValueError(f"unknown {what} {name!r}{hint} (valid: {', '.join(names) or 'none'})")


def check_choice(value: str, valid: Collection[str], what: str) -> None:
    """Raise the error of `nearest` if ``value`` is not among ``valid``."""
    if value not in valid:  # a registry also knows names that are given with their file
        raise nearest(value, valid, what)
