"""Plans from which a search begins beside those of the agents that are asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sageserve_agents import make_agent
from sageserve_bench.errors import UserError
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.plan import Array, Plan, read_plan, read_price
from sageserve_search.headroom.playing import Played
from sageserve_search.knob import knob_of, position_of, present
from sageserve_search.probing import with_options

_STEPS = (-0.08, -0.04, 0.04, 0.08)  # of a service knob, as shares of its range (A)


def neighbours(spec: str, scenario: Scenario) -> list[str]:
    """Return an agent with its service knob a little further to either side.

    Nothing where it has no knob, or one without effect on it; fewer at an end of the range.
    """
    knob = knob_of(spec)
    if knob is None:
        return []
    at = position_of(knob, present(spec, knob, scenario))
    places = [min(max(at + step, 0.0), 1.0) for step in _STEPS]
    found = [with_options(spec, {knob.option: knob.at(place)}) for place in places if place != at]
    try:
        make_agent(found[0], scenario=scenario)
    except ValueError:
        return []
    return list(dict.fromkeys(found))


def marginal_share(turned: Sequence[Sequence[Played]], scenario: Scenario) -> float | None:
    """Return what an agent pays to prevent a miss, as a share of what the scenario charges for it.

    It is the slope of a line through its bills and misses of all days at some values of its service
    knob. None where dearer values do not miss less.

    Args:
        turned: Of each value the plays of all days.
        scenario: The cluster.
    """
    charges = np.array([tier.miss_usd for tier in scenario.tiers])
    bills = [sum(float(one.usd.sum()) for one in plays) for plays in turned]
    missed = [sum(float((one.missed @ charges).sum()) for one in plays) for plays in turned]
    if len(turned) < 2 or np.ptp(missed) <= 0:
        return None
    slope = -float(np.polyfit(missed, bills, 1)[0])
    return slope if slope > 0 else None


def found_before(file: Path, seed: int, scenario: Scenario) -> Plan:
    """Read the plan of a day that a search wrote.

    Raises:
        UserError: If there is none, or none that can be played.
    """
    steps = math.ceil(scenario.horizon_s / scenario.decision_interval_s)
    try:
        plan = read_plan(file, seed, scenario)
        if len(plan) != steps:
            raise ValueError(f"it has {len(plan)} steps instead of {steps}")
        for step in range(steps):
            plan.action(step).validate(scenario)
    except (ValueError, KeyError) as error:
        raise UserError(f"{file}: no plan of day {seed} of {scenario.name}: {error}") from None
    return plan


def price_before(file: Path, scenario: Scenario) -> Array | None:
    """Read what a miss was charged when the plans of a file were found, [M, K]; None if unknown.

    Raises:
        UserError: If it is not a price of the scenario's models and tiers.
    """
    price = read_price(file)
    if price is None:
        return None
    shape = (len(scenario.models), len(scenario.tiers))
    price = np.asarray(price, dtype=np.float64)
    if price.shape != shape or not (np.isfinite(price) & (price > 0)).all():
        raise UserError(f"{file}: price of misses: expected {shape} dollars above 0")
    return price
