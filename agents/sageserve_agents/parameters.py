"""What of an agent may be tuned, the one knob of calibration, and errors that name the nearest."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sageserve_env._config import closest


@dataclass(frozen=True)
class Range:
    """An interval that a tuner may search; ``kind`` is ``float``, ``log`` or ``int``."""

    low: float
    high: float
    kind: str = "float"


@dataclass(frozen=True)
class Choice:
    """A set of values that a tuner may choose from."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Weights:
    """Weights of a router that a tuner may search, each on the logarithm of its size.

    Attributes:
        limits: By feature the smallest and the largest weight; both have its sign.
    """

    limits: Mapping[str, tuple[float, float]]

    def part(self, feature: str, size: float) -> str:
        """Return the text of one weight from its size, as `sageserve_agents.weights` reads it."""
        return f"{feature}:{math.copysign(size, self.limits[feature][0]):.4g}"

    def sizes(self, feature: str) -> tuple[float, float]:
        """Return the least and the greatest size of a weight."""
        low, high = self.limits[feature]
        return abs(low), abs(high)


@dataclass(frozen=True)
class PerModel:
    """A factor for each model of a scenario that a tuner may search, on its logarithm.

    Attributes:
        low: Least factor.
        high: Greatest factor.
        models: Models of the scenario.
    """

    low: float
    high: float
    models: int = 1

    @staticmethod
    def text(factors: Iterable[float]) -> str:
        """Return the factors as an option has them, ``0.95/1.2``."""
        return "/".join(f"{factor:.3g}" for factor in factors)

    def changed(self, text: str | None, model: int, factor: float) -> str:
        """Return the factors of ``text`` (all 1 if it is empty) with that of one model set."""
        factors = [float(part) for part in text.split("/")] if text else [1.0] * self.models
        factors[model] = factor
        return self.text(factors)


Space = Range | Choice | Weights | PerModel
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
