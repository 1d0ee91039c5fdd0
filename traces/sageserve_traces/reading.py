"""How a trace file is to be read: one set of options for every function and command."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypedDict

from .errors import TraceError

OnError = Literal["raise", "drop"]

#: Units in which a column of numbers may count time, in seconds.
TIME_UNITS: Final[dict[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
}
_SPELLINGS = {
    "nanoseconds": "ns",
    "microseconds": "us",
    "milliseconds": "ms",
    "seconds": "s",
    "sec": "s",
    "minutes": "min",
    "hours": "h",
    "days": "d",
}


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions` as keywords of functions."""

    columns: Mapping[str, str] | tuple[tuple[str, str], ...] | None
    on_error: str
    time_unit: str | None
    time_format: str | None
    start_s: float


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about a trace file.

    Attributes:
        columns: Which columns of a file with a header of its own hold ``arrival``, ``prompt`` and
            ``output`` (and ``model``, ``region``, ``tier``, ``request_id`` if there are any); a
            mapping is kept as pairs, so that options can be hashed.
        on_error: ``raise``, or ``drop`` rows that cannot be used.
        time_unit: What numbers in the time column count (see `TIME_UNITS`); None finds out.
        time_format: Form of the time column as `datetime.strptime` writes it; None reads numbers
            and ISO 8601.
        start_s: Seconds after the first arrival at which the trace begins.

    Raises:
        TraceError: If a value is not one of these.
    """

    columns: tuple[tuple[str, str], ...] = ()
    on_error: OnError = "raise"
    time_unit: str | None = None
    time_format: str | None = None
    start_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the values; take a mapping of columns, and units in words."""
        columns: Any = self.columns
        pairs = columns.items() if isinstance(columns, Mapping) else columns or ()
        object.__setattr__(self, "columns", tuple((str(key), str(name)) for key, name in pairs))
        if self.on_error not in ("raise", "drop"):
            raise TraceError(f"on_error must be 'raise' or 'drop', got {self.on_error!r}")
        if self.time_unit is not None:
            unit = _SPELLINGS.get(str(self.time_unit).lower(), str(self.time_unit))
            if unit not in TIME_UNITS:
                raise TraceError(
                    f"unknown time unit {self.time_unit!r}; use {', '.join(TIME_UNITS)}"
                )
            object.__setattr__(self, "time_unit", unit)
        if self.time_format is not None and "%" not in self.time_format:
            raise TraceError(
                f"time format {self.time_format!r} has no field; write it as in %d/%m/%Y %H:%M:%S"
            )
        if self.time_format is not None and self.time_unit is not None:
            raise TraceError("give a time unit or a time format, not both")
        if isinstance(self.start_s, bool) or not isinstance(self.start_s, int | float):
            raise TraceError(f"start_s must be a number of seconds, got {self.start_s!r}")
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise TraceError(f"start_s must be at least 0 and finite, got {self.start_s!r}")

    @classmethod
    def of(cls, reading: ReadOptions | None, keywords: Mapping[str, Any]) -> ReadOptions:
        """Return the options of a call that takes ``reading`` or the same as keywords.

        Raises:
            TypeError: If a keyword is unknown.
            TraceError: If both are given, or a value is wrong.
        """
        names = [field.name for field in fields(cls)]
        for key in keywords:
            if key not in names:
                near = difflib.get_close_matches(key, names, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"unexpected keyword {key!r}{hint}")
        if reading is None:
            return cls(**keywords)
        if keywords:
            raise TraceError(f"give reading=... or {next(iter(keywords))}=..., not both")
        return reading

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of what is not the default."""
        default = type(self)()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: [list(pair) for pair in value] if name == "columns" else value
            for name, value in values.items()
            if value != getattr(default, name)
        }
