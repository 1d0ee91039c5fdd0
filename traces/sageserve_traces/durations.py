"""Lengths of time as people write them."""

from __future__ import annotations

import math
import re

from .errors import TraceError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: str | float) -> float:
    """Return seconds: ``90``, ``"90s"``, ``"5min"``, ``"6h"``, ``"1.5d"``, ``"1w"``.

    Raises:
        TraceError: If it is not a positive length of time.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*(s|min|m|h|d|w)?\s*", str(text))
    try:
        seconds = float(match[1]) * _UNITS[match[2] or ""] if match else math.nan
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise TraceError(f"{text!r} is not a length of time; write 90s, 5min, 6h, 1.5d or 1w")
    return seconds
