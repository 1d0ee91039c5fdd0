"""The service knob of an agent: which option it is, its present value and where that lies."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sageserve_agents import make_agent
from sageserve_agents.parameters import ServiceKnob
from sageserve_agents.registry import agent_class, parse_spec
from sageserve_bench.errors import UserError
from sageserve_env.scenario import Scenario


def service_knob(agent: str) -> ServiceKnob:
    """Return the knob of an agent.

    Raises:
        UserError: If it has none.
    """
    knob = knob_of(agent)
    if knob is None:
        raise UserError(
            f"agent {parse_spec(agent)[0]!r} has no service knob; give one, as in "
            "--knob margin=2.0..0.3"
        )
    return knob


def knob_of(agent: str) -> ServiceKnob | None:
    """Return the service knob of an agent; None if it has none."""
    knob = getattr(agent_class(parse_spec(agent)[0]), "service_knob", None)
    return knob if isinstance(knob, ServiceKnob) else None


def parse_knob(text: str) -> ServiceKnob:
    """Return the knob of a text such as ``rho=2.0..0.3``: option, stingy and generous value.

    It is turned on a logarithmic scale where both values are positive.

    Raises:
        UserError: If the text has another form.
    """
    option, _, ends = text.partition("=")
    stingy, _, generous = ends.partition("..")
    try:
        low, high = float(stingy), float(generous)
    except ValueError:
        low = high = math.nan
    if not option.strip() or not math.isfinite(low) or not math.isfinite(high) or low == high:
        raise UserError(f"--knob {text!r}: write option=stingy..generous, as in rho=2.0..0.3")
    return ServiceKnob(option.strip(), low, high, log=min(low, high) > 0)


def position_of(knob: ServiceKnob, value: float | None) -> float:
    """Return where a value lies between stingy (0) and generous (1); None is the middle."""
    if value is None or (knob.log and value <= 0):
        return 0.5
    if knob.log:
        at = math.log(value / knob.stingy) / math.log(knob.generous / knob.stingy)
    else:
        at = (value - knob.stingy) / (knob.generous - knob.stingy)
    return min(max(at, 0.0), 1.0)


def present(agent: str, knob: ServiceKnob, scenario: Scenario | None = None) -> float | None:
    """Return the value of the knob in a specification, or by default on a scenario."""
    given: Mapping[str, str] = parse_spec(agent)[1]
    if knob.option in given:
        return float(given[knob.option])
    made = make_agent(agent, scenario=scenario)
    value = getattr(getattr(made, "options", made), knob.option, None)
    return float(value) if isinstance(value, int | float) else None
