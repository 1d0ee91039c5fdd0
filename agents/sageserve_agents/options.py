"""Options of agents: declared with the values they may have, and made from keywords.

An options class is a frozen dataclass on `Options` whose fields are made by `option`:

    rho: float = option(1.0, above=0)
    beta: float = option(1.5, low=0, when=("staffing=sqrt", lambda o: o.staffing == "sqrt"))
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sageserve_agents.parameters import check_choice, nearest
from sageserve_env.policies import DISCIPLINES

OptionsT = TypeVar("OptionsT")
When = tuple[str, Callable[[Any], bool]]


@dataclass(frozen=True)
class Limits:
    """The values that an option may have; None is left to the option's type.

    Attributes:
        low: Least value.
        above: Bound that is no value itself.
        high: Most.
        below: Bound that is no value itself.
        multiple_of: Step of the values.
        choices: The values, of text.
        when: With which other options it has an effect: in words, and as a test of the options.
    """

    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    multiple_of: float | None = None
    choices: Collection[str] | None = None
    when: When | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` unless a value is within the limits."""
        if self.choices is not None:
            check_choice(value, self.choices, name)
            return
        bounds = (self.low, self.above, self.high, self.below)
        if all(b is None for b in bounds) and self.multiple_of is None:
            return
        fits = math.isfinite(value)
        fits &= self.low is None or value >= self.low
        fits &= self.above is None or value > self.above
        fits &= self.high is None or value <= self.high
        fits &= self.below is None or value < self.below
        fits &= self.multiple_of is None or value % self.multiple_of == 0
        if not fits:
            raise ValueError(f"{name} must be {self.words()}, got {value}")

    def words(self) -> str:
        """Return the limits as text, to be read after "must be"."""
        if self.multiple_of is not None:
            least = f", at least {self.low:g}" if self.low is not None else ""
            return f"a multiple of {self.multiple_of:g}{least}"
        if self.high is not None or self.below is not None:
            left = f"[{self.low:g}" if self.low is not None else f"({self.above or 0:g}"
            right = f"{self.high:g}]" if self.high is not None else f"{self.below:g})"
            return f"in {left}, {right}"
        if self.above is not None:
            return "positive" if self.above == 0 else f"above {self.above:g}"
        return f"at least {self.low:g}"


def option(default: Any, **limits: Any) -> Any:
    """Return the field of an option with a default and its `Limits`."""
    return dataclasses.field(default=default, metadata={"limits": Limits(**limits)})


def discipline_option(default: str | None) -> Any:
    """Return the field of the order of waiting requests; None is the scenario's."""
    return option(default, choices=DISCIPLINES)


@dataclass(frozen=True)
class Options:
    """Options of an agent, checked when they are made."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: If one is out of its limits.
        """
        for name, limits in limits_of(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                limits.check(name, value)


def limits_of(cls: type[Any]) -> dict[str, Limits]:
    """Return the limits of an options class by the name of the option."""
    fields = dataclasses.fields(cls)
    return {f.name: f.metadata["limits"] for f in fields if "limits" in f.metadata}


def refuse_without_effect(options: Any, given: Iterable[str]) -> None:
    """Raise ``ValueError`` if an option that was given changes nothing beside the others."""
    limits = limits_of(type(options))
    for name in given:
        when = limits[name].when if name in limits else None
        if when is not None and not when[1](options):
            raise ValueError(f"option {name} has no effect unless {when[0]}")


def build_options(
    cls: type[OptionsT],
    values: Mapping[str, Any],
    owner: str,
    defaults: Mapping[str, Any] | None = None,
) -> OptionsT:
    """Make an options dataclass from keywords; text is converted to the type of the field.

    Args:
        cls: A frozen dataclass, all fields with defaults.
        values: Keywords; values may be text, as they come from a command line.
        owner: Name of the agent, for errors.
        defaults: Values in place of the class's own; one that has no effect beside ``values`` is
            left out.

    Raises:
        ValueError: On an unknown option, a value of the wrong type or out of its limits, or an
            option that has no effect beside the others.
    """
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]

    def convert(given: Mapping[str, Any]) -> dict[str, Any]:
        for key in given:
            if key not in names:
                raise nearest(key, names, f"option of agent {owner!r}:")
        where = f"agent {owner!r}: option"
        return {key: _convert(hints[key], value, f"{where} {key}") for key, value in given.items()}

    converted = convert(values)
    base = convert(defaults or {})
    try:
        made = cls(**{**base, **converted})
        refuse_without_effect(made, converted)
    except ValueError as error:
        text = str(error)
        raise ValueError(
            text if text.startswith("agent ") else f"agent {owner!r}: {text}"
        ) from None
    return made


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
