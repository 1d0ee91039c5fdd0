"""Options of agents: parsing, checking, what may be tuned, and the one knob of calibration."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

OptionsT = TypeVar("OptionsT")


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
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ValueError(f"unknown {what} {name!r}{hint} (valid: {', '.join(names) or 'none'})")


def check_choice(value: str, valid: Iterable[str], what: str) -> None:
    """Raise the error of `nearest` if ``value`` is not among ``valid``."""
    names = tuple(valid)
    if value not in names:
        raise nearest(value, names, what)


def build_options(cls: type[OptionsT], values: Mapping[str, Any], owner: str) -> OptionsT:
    """Make an options dataclass from keywords; text is converted to the type of the field.

    Args:
        cls: A frozen dataclass, all fields with defaults.
        values: Keywords; values may be text, as they come from a command line.
        owner: Name of the agent, for errors.

    Raises:
        ValueError: On an unknown option or a value of the wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    converted = {}
    for key, value in values.items():
        if key not in names:
            raise nearest(key, names, f"option of agent {owner!r}:")
        converted[key] = _convert(hints[key], value, f"agent {owner!r}: option {key}")
    try:
        return cls(**converted)
    except ValueError as error:
        text = str(error)
        raise ValueError(
            text if text.startswith("agent ") else f"agent {owner!r}: {text}"
        ) from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        rest = [t for t in typing.get_args(hint) if t is not type(None)]
        return _convert(rest[0], value, where)
    if hint is bool:
        text = str(value).lower()
        if text not in {"true", "false", "1", "0", "yes", "no"}:
            raise ValueError(f"{where}: expected true or false, got {value!r}")
        return text in {"true", "1", "yes"}
    if hint in (int, float):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{where}: expected a number, got {value!r}") from None
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError(f"{where}: expected a finite number, got {value!r}")
        if hint is int:
            if number != int(number):
                raise ValueError(f"{where}: expected a whole number, got {value!r}")
            return int(number)
        return number
    return str(value)
