"""What of an agent may be tuned, the one knob of calibration, and errors that name the nearest."""

from __future__ import annotations

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


Tunable = Mapping[str, Range | Choice]


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
