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

# A search prevents misses for less than an agent pays: two fifths or less on `global-week`.
_OF_AGENT = 0.4  # (A)
_LEAST_SHARE, _MOST_SHARE = 0.05, 2.0  # of the scenario's charge (A)
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


def opening_share(turned: Sequence[Sequence[Played]], scenario: Scenario) -> float | None:
    """Return what a miss may be charged before the first sweep, over the scenario's charge for it.

    It is a part of what an agent pays to prevent a miss: the median, over other values of its
    service knob, of the difference of bills over that of misses. None where dearer values do not
    miss less.

    Args:
        turned: Of the agent, and of it at other values of its knob, the plays of all days.
        scenario: The cluster.
    """
    charges = np.array([tier.miss_usd for tier in scenario.tiers])
    bills = np.array([sum(float(one.usd.sum()) for one in plays) for plays in turned])
    missed = [sum(float((one.missed @ charges).sum()) for one in plays) for plays in turned]
    more, less = bills[1:] - bills[0], missed[0] - np.array(missed[1:])
    slopes = more[less != 0] / less[less != 0]
    share = _OF_AGENT * float(np.median(slopes)) if len(slopes) else 0.0
    return min(max(share, _LEAST_SHARE), _MOST_SHARE) if share > 0 else None


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
    shape = (len(scenario.models), len(scenario.tiers))
    try:
        found = read_price(file)
        if found is None:
            return None
        price = np.asarray(found, dtype=np.float64)
        fits = price.shape == shape and bool((np.isfinite(price) & (price > 0)).all())
    except ValueError:
        fits = False
    if not fits:
        raise UserError(f"{file}: price of misses: expected {shape} dollars above 0")
    return price
