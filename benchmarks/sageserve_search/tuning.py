"""Tuning: an agent's options at which equal service costs least, found on validation seeds.

Every agent gets the same number of simulated episodes. They are spent in three parts:

1. calibration of the options as they come (`sageserve_search.calibration`), which also shows how
   much cost this agent pays for how much service;
2. trials of optuna's TPE over the tunable options and the service knob together. A trial is one
   probe; it is judged by its *cost at equal service*: the logarithm of its cost, corrected by its
   service margin at the rate of part 1. So no trial has to hit the service exactly;
3. calibration of the best trials. The cheapest calibrated setting, the default among them, is
   chosen.

The sampler is seeded and finished episodes are kept, so that a tuning that was interrupted asks
the same questions again and goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import StatisticsError, linear_regression
from typing import TYPE_CHECKING, Any

from sageserve_agents import make_agent
from sageserve_agents.parameters import ServiceKnob, Space
from sageserve_agents.registry import agent_class, parse_spec
from sageserve_agents.stack import STACK_TUNABLE, StackOptions
from sageserve_bench.errors import UserError
from sageserve_env.scenario import Scenario
from sageserve_search.calibration import Calibration, calibrate
from sageserve_search.knob import position_of, service_knob
from sageserve_search.probing import Probe, Prober, uncalibrated, with_options

if TYPE_CHECKING:
    import optuna

FIRST_PROBES = 7
LAST_PROBES = 5
CANDIDATES = 2
LEAST_TRIALS = 4
KNOB_REACH = 0.25  # of the knob's range, to both sides of the calibrated default (A)
MOST_CREDIT = 0.7  # margins beyond this are not trusted to be worth their rate (A)
SHORT_FACTOR = 1.3  # a shortfall weighs more than an excess: what is sure comes first (A)
LEAST_RATE = 0.02  # of log cost per margin, where the probes of part 1 do not show it (A)


@dataclass(frozen=True)
class Trial:
    """One setting of the second part, and its cost at equal service."""

    probe: Probe
    options: Mapping[str, Any]
    equal_cost_usd: float


@dataclass(frozen=True)
class Tuning:
    """What came out.

    Attributes:
        agent: Specification as it was given.
        best: The cheapest calibrated setting.
        default: The options as they come, calibrated.
        trials: What was tried between.
        rate: Logarithm of cost per unit of service margin.
        episodes: Episodes used.
    """

    agent: str
    best: Calibration
    default: Calibration
    trials: tuple[Trial, ...]
    rate: float
    episodes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a file."""
        return {
            **self.best.to_dict(),
            "episodes": self.episodes,
            "default": {
                "spec": self.default.spec,
                "attains": self.default.attains,
                "cost_usd": self.default.best.cost_usd,
            },
            "log_cost_per_margin": self.rate,
            "trials": [
                {
                    "spec": t.probe.spec,
                    "cost_usd": t.probe.cost_usd,
                    "margin": t.probe.margin,
                    "equal_cost_usd": t.equal_cost_usd,
                }
                for t in self.trials
            ],
        }


def least_budget(seeds: int) -> int:
    """Return the fewest episodes that a tuning can be done with."""
    return seeds * (FIRST_PROBES + LEAST_TRIALS + CANDIDATES * LAST_PROBES)


def tune(agent: str, prober: Prober, budget: int, *, sampler_seed: int = 0) -> Tuning:
    """Search an agent's tunable options for the least cost at equal service.

    Args:
        agent: Specification; options given in it are not varied.
        prober: Runs a setting on the validation seeds.
        budget: Simulated episodes, all three parts together.
        sampler_seed: Of the sampler.

    Raises:
        UserError: If the agent has nothing to tune or the budget is too small.
    """
    agent = uncalibrated(agent)
    knob = service_knob(agent)
    space = space_of(agent, knob, prober.scenario)
    per_probe = len(prober.seeds)
    if budget < least_budget(per_probe):
        raise UserError(
            f"--budget {budget} is too small; {per_probe} seeds need at least "
            f"{least_budget(per_probe)} episodes"
        )
    began = prober.episodes
    default = calibrate(agent, prober, knob=knob, max_probes=FIRST_PROBES)
    rate = cost_rate(default)
    trials: tuple[Trial, ...] = ()
    finals = [default]
    if space:
        used = prober.episodes - began
        count = (budget - used) // per_probe - CANDIDATES * LAST_PROBES
        trials = _trials(agent, prober, knob, space, default, rate, count, sampler_seed)
        finals += [
            calibrate(trial.probe.spec, prober, knob=knob, max_probes=LAST_PROBES)
            for trial in _candidates(trials, knob)
        ]
    best = min(
        finals, key=lambda c: (not c.attains, c.best.cost_usd if c.attains else -c.best.margin)
    )
    return Tuning(agent, best, default, trials, rate, prober.episodes - began)


def space_of(agent: str, knob: ServiceKnob, scenario: Scenario) -> dict[str, Space]:
    """Return what may be varied: the stack, which all agents share, and the agent's own options.

    The service knob and what the specification gives are left out.
    """
    name, given = parse_spec(agent)
    cls = agent_class(name)
    space: dict[str, Space] = {}
    if issubclass(getattr(cls, "options_type", object), StackOptions):
        space |= STACK_TUNABLE
    space |= getattr(cls, "tunable", {})
    return {k: v.on(scenario) for k, v in space.items() if k not in {knob.option, *given}}


def cost_rate(calibration: Calibration) -> float:
    """Return how much log cost a unit of service margin takes, from the probes of a calibration.

    The slope of a line through the probes near the target; at least `LEAST_RATE`.
    """
    near = [p for p in calibration.probes if abs(p.margin) <= 2 * MOST_CREDIT]
    if len(near) < 2:
        return LEAST_RATE
    margins, costs = [p.margin for p in near], [math.log(p.cost_usd) for p in near]
    try:
        slope = linear_regression(margins, costs).slope
    except StatisticsError:  # all at one margin
        return LEAST_RATE
    return max(slope, LEAST_RATE)


def equal_cost(probe: Probe, rate: float, margin: float = 0.0) -> float:
    """Return what a probe would cost if it served exactly as asked, in USD.

    An excess of service is credited up to `MOST_CREDIT`; a shortfall is charged in full.

    Args:
        probe: The probe.
        rate: Logarithm of cost per unit of margin.
        margin: Margin of the service that is asked for.
    """
    correction = -min(probe.margin - margin, MOST_CREDIT)
    if correction > 0:
        correction *= SHORT_FACTOR
    return probe.cost_usd * math.exp(rate * correction)


def _trials(
    agent: str,
    prober: Prober,
    knob: ServiceKnob,
    space: Mapping[str, Space],
    default: Calibration,
    rate: float,
    count: int,
    sampler_seed: int,
) -> tuple[Trial, ...]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=sampler_seed, multivariate=True, n_startup_trials=max(4, count // 4)
    )
    study = optuna.create_study(sampler=sampler)
    centre = position_of(knob, default.value)
    low, high = max(centre - KNOB_REACH, 0.0), min(centre + KNOB_REACH, 1.0)
    done: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        options = {key: values.suggest(trial, key) for key, values in space.items()}
        options[knob.option] = knob.at(trial.suggest_float(knob.option, low, high))
        try:
            probe = prober(with_options(agent, options))
        except UserError as error:  # options that exclude each other
            raise optuna.TrialPruned(str(error)) from error
        done.append(Trial(probe, options, equal_cost(probe, rate)))
        return math.log(done[-1].equal_cost_usd)

    made = getattr(make_agent(agent), "options", None)
    start: dict[str, Any] = {knob.option: centre}
    for key, values in space.items():
        start |= values.begin(key, getattr(made, key, None))
    study.enqueue_trial(start, skip_if_exists=True)
    study.optimize(objective, n_trials=count)
    return tuple(done)


def _candidates(trials: tuple[Trial, ...], knob: ServiceKnob) -> list[Trial]:
    """Return the best trials that differ in more than the service knob."""
    found: list[Trial] = []
    for trial in sorted(trials, key=lambda t: t.equal_cost_usd):
        rest = _without(trial, knob)
        if all(rest != _without(other, knob) for other in found):
            found.append(trial)
        if len(found) == CANDIDATES:
            break
    return found


def _without(trial: Trial, knob: ServiceKnob) -> dict[str, Any]:
    return {key: value for key, value in trial.options.items() if key != knob.option}
