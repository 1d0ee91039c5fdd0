"""What of the headroom is luck: the plans that were found, on the same days with other requests.

A search with hindsight knows every request. What holds for other requests at the same rates of
every minute is knowledge of the rates and better decisions; the rest is luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sageserve_agents import make_agent
from sageserve_bench.analysis.targets import Targets
from sageserve_search.headroom.playing import Day, Floats, Played
from sageserve_search.headroom.search import Best, figures
from sageserve_traces import SyntheticTrace


def redrawn(
    days: Sequence[Day], best: Best, rivals: Mapping[str, str | None], times: int
) -> dict[str, Any] | None:
    """Return headroom and service when agents and plans play the days with other requests.

    A difference of misses is counted at the prices that the search ended with.

    Args:
        days: The days.
        best: Their best plans.
        rivals: By name of a headroom the agent that it is over; None is left out.
        times: How often other requests are drawn.

    Returns:
        None if the days are not generated from rates.
    """
    plans: list[Played] = []
    agents: dict[str, list[Played]] = {spec: [] for spec in rivals.values() if spec is not None}
    for day, (plan, _) in zip(days, best.days, strict=True):
        trace = day.workload.trace
        if not isinstance(trace, SyntheticTrace):
            return None
        for k in range(1, times + 1):
            other = Day(day.scenario, day.seed, replace(trace, redraw=k))
            try:
                plans.append(other.play(plan))
                for agent, played in agents.items():
                    made = make_agent(agent, scenario=day.scenario)
                    played.append(other.play_agent(made, agent)[0])
            finally:
                other.close()
    means = Targets.of(days[0].scenario).means([one.metrics for one in plans])
    found: dict[str, Any] = {"times": times, "hindsight_service": figures(means)}
    for name, spec in rivals.items():
        found[name] = None if spec is None else _over(agents[spec], plans, best.price)
    return found


def _over(agent: Sequence[Played], plans: Sequence[Played], price: Floats) -> float:
    """Return the bill of an agent over that of the plans at the same service, less 1."""
    missed = sum(one.missed for one in plans) - sum(one.missed for one in agent)
    bill = sum(float(one.usd.sum()) for one in plans) + float(np.sum(missed * price))
    return sum(float(one.usd.sum()) for one in agent) / bill - 1.0
