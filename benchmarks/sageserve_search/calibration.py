"""Calibration to equal service: the lowest cost at which an agent attains every target.

Agents that serve differently well cannot be compared by cost. Each has one option, its service
knob, that trades the one for the other (`sageserve_agents.parameters.ServiceKnob`); the search is
for the stingiest value at which it still attains the service
(`sageserve_bench.analysis.targets`) on average over validation seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy.optimize import brentq

from sageserve_agents.parameters import ServiceKnob
from sageserve_env.scenario import Scenario
from sageserve_search.knob import position_of, present, service_knob
from sageserve_search.probing import Probe, with_options

MARGIN_TOLERANCE = 0.01  # an attained margin below this is as good as exact (A)
_FIRST_STEP = 0.04  # of the knob's range
_GROWTH = 2.0
_RTOL = 1e-9  # the tolerance is absolute


@dataclass(frozen=True)
class Calibration:
    """The outcome for one agent.

    Attributes:
        agent: Its specification as it was given.
        knob: The knob that was turned.
        value: Its value.
        best: What comes of it: the cheapest setting that attains; where none does, the nearest.
        probes: Every setting that was tried, in order.
    """

    agent: str
    knob: ServiceKnob
    value: float
    best: Probe
    probes: tuple[Probe, ...]

    @property
    def attains(self) -> bool:
        """Whether the service is attained."""
        return self.best.attains

    @property
    def spec(self) -> str:
        """The specification with the knob set."""
        return self.best.spec

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a file."""
        return {
            "spec": self.spec,
            "knob": self.knob.option,
            "value": self.value,
            "attains": self.attains,
            "misses": list(self.best.misses),
            "means": dict(self.best.means),
            "probes": [
                {"spec": p.spec, "cost_usd": p.cost_usd, "margin": p.margin} for p in self.probes
            ],
        }


def calibrate(
    agent: str,
    prober: Callable[[str], Probe],
    *,
    knob: ServiceKnob | None = None,
    tolerance: float = 0.01,
    max_probes: int = 10,
    margin: float = 0.0,
    scenario: Scenario | None = None,
) -> Calibration:
    """Turn an agent's service knob to the lowest cost at which it attains the service.

    Starts at the agent's present value, steps towards the target until it is passed, and then
    looks for the margin's zero between the last two values (Brent's method).

    Args:
        agent: Specification; its knob may be set in it as the place to start.
        prober: Runs a specification, see `sageserve_search.probing.Prober`.
        knob: What to turn; default the agent's own. Any numeric option will do.
        tolerance: Relative accuracy of the knob.
        max_probes: Settings tried at most.
        margin: Margin of the service to aim at (`Targets.margin`), so that other days attain too.
        scenario: Whose calibrated value is the present one; None for that of no scenario.

    Raises:
        ValueError: If the agent has no service knob and none is given.
    """
    turned = knob or service_knob(agent)
    tried: dict[float, Probe] = {}

    def beyond(position: float) -> float:
        value = float(f"{turned.at(position):.4g}")
        if value not in tried:
            tried[value] = prober(with_options(agent, {turned.option: value}))
        return tried[value].margin - margin

    span = abs(math.log(turned.generous / turned.stingy)) if turned.log else 1.0
    search(
        beyond,
        start=position_of(turned, present(agent, turned, scenario)),
        tolerance=tolerance / span,
        max_probes=max_probes,
    )
    good = {value: probe for value, probe in tried.items() if probe.attains}
    safe = {value: probe for value, probe in good.items() if probe.margin >= margin}
    if safe:
        value = min(safe, key=lambda v: safe[v].cost_usd)
    elif good:
        value = max(good, key=lambda v: good[v].margin)
    else:
        value = max(tried, key=lambda v: tried[v].margin)
    return Calibration(agent, turned, value, tried[value], tuple(tried.values()))


def search(
    margin: Callable[[float], float], *, start: float, tolerance: float, max_probes: int
) -> float:
    """Return the least position in [0, 1] with a margin of at least 0, within a tolerance.

    Args:
        margin: Grows with the position, but for noise.
        start: Where to begin.
        tolerance: Width of the bracket at which the search ends.
        max_probes: Positions asked for at most.

    Returns:
        A position that attains; 1 if none was found.
    """
    known: dict[float, float] = {}

    def judged(position: float) -> float:
        """Return the margin; one that is as good as exact is 0, which ends the search."""
        if position not in known:
            known[position] = margin(position)
        return 0.0 if 0 <= known[position] < MARGIN_TOLERANCE else known[position]

    at, other, step = start, start, _FIRST_STEP
    direction = -1.0 if judged(start) >= 0 else 1.0
    while len(known) < max_probes and (judged(other) >= 0) == (judged(at) >= 0):
        if judged(other) == 0:
            return other
        at, other = other, min(max(other + direction * step, 0.0), 1.0)
        if other == at:  # the end of the range
            return at
        step *= _GROWTH
        judged(other)
    low, high = min(at, other), max(at, other)
    if judged(high) < 0:  # out of probes
        return 1.0
    left = max_probes - len(known)
    if left > 0 and judged(low) < 0 < judged(high):
        brentq(judged, low, high, xtol=tolerance, rtol=_RTOL, maxiter=left, disp=False)
    return min(position for position, value in known.items() if value >= 0)
