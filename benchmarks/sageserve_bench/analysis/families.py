"""What planning and learning are worth: the best agent of each kind against the kind before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from sageserve_agents.registry import agent_class, is_file, parse_spec
from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.statistics import Estimate

KINDS = ("rule", "planner", "learned agent")
"""In the order in which each is held against the one before."""

_FOLDERS = {"heuristics": "rule", "planner": "planner", "learned": "learned agent"}
FIXED = "static"
"""Not held against planners: a fleet that never changes is no rule."""


def kind_of(spec: str) -> str | None:
    """Return the kind of an agent of the package; None for others, and for the fixed fleet."""
    name = parse_spec(spec)[0]
    if name == FIXED or is_file(name):
        return None
    try:
        module = agent_class(name).__module__.split(".")
    except (ImportError, ValueError):
        return None
    return next((kind for folder, kind in _FOLDERS.items() if folder in module), None)


def best_of_kinds(agents: Sequence[AgentOutcome]) -> dict[str, AgentOutcome]:
    """Return the cheapest agent of each kind that attains every target and knows no future."""
    found: dict[str, AgentOutcome] = {}
    for agent in agents:
        kind = kind_of(agent.agent)
        if kind is None or agent.clairvoyant or not agent.attains:
            continue
        if kind not in found or agent.cost_per_day_usd < found[kind].cost_per_day_usd:
            found[kind] = agent
    return found


def savings(
    agents: Sequence[AgentOutcome], paired: Callable[[str, str], Mapping[str, Estimate]]
) -> list[str]:
    """Return a sentence for each pair of kinds that are both there.

    Args:
        agents: All of a comparison.
        paired: Gives the statistics of the second agent's cost over the first's.
    """
    best = best_of_kinds(agents)
    lines = []
    for before, kind in itertools.pairwise(KINDS):
        if before not in best or kind not in best:
            continue
        old, new = best[before], best[kind]
        saved = paired(new.agent, old.agent).get("cost_per_day_usd_more")
        base = old.cost_per_day_usd
        if saved is None or not base:
            continue
        share = (base - new.cost_per_day_usd) / base
        worth = f"saves {share:.1%} against" if share >= 0 else f"costs {-share:.1%} more than"
        line = f"The best {kind} ({new.agent}) {worth} the best {before} ({old.agent})"
        if saved.low is not None and saved.high is not None:
            ends = sorted(math.copysign(1.0, share) * end / base for end in (saved.low, saved.high))
            line += f"; 95 % interval {ends[0]:+.1%} to {ends[1]:+.1%}"
        lines.append(line + ".")
    return lines
