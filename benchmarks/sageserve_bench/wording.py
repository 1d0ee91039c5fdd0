"""Lengths of time, counts and names of agents in words."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_NAME = 18
"""Characters of an agent's name that plots and tables have room for."""


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


def short_names(agents: Sequence[str]) -> dict[str, str]:
    """Return what to call each agent where there is little room.

    A specification that is long is cut to the agent's name, with a number where several share it.
    """
    cut = {agent: agent if len(agent) <= LONGEST_NAME else _base(agent) for agent in agents}
    shared = [name for name in cut.values() if list(cut.values()).count(name) > 1]
    seen: dict[str, int] = {}
    for agent, name in cut.items():
        if name in shared and name != agent:
            seen[name] = seen.get(name, 0) + 1
            cut[agent] = f"{name} #{seen[name]}"
    return cut


def _base(agent: str) -> str:
    """Return an agent's name without its options: ``ilp``, or the class of a file's agent."""
    parts = agent.split(":")
    return parts[1] if parts[0].endswith(".py") and len(parts) > 1 else parts[0]
