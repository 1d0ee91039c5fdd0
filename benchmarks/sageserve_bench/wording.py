"""Lengths of time and counts in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a length of time in words: seconds, minutes or hours, to two digits after the point.

    Args:
        seconds: Not negative.
    """
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{round(seconds / size, 2):,g} {unit}"
    return f"{round(seconds, 2):g} s"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 VM``, ``1,024 VMs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
