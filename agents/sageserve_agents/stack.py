"""What every rule and planner decides beside instances, declared once.

The *stack* of an agent is its router, its queue discipline, the ceiling below which endpoints take
batch work, the wait at which requests are refused, and how it answers its own misses. None of them
belongs to one way of scaling, so all agents have the same options for them, by default mostly those
of the scenario. What the paper's agents used is a preset, ``stack=paper``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_agents.misses import Misses
from sageserve_agents.options import Options, discipline_option, option
from sageserve_agents.parameters import Choice, PerModel, Routers, Tunable, Weights
from sageserve_agents.weights import changed_weights, read_weights
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats

# The paper's agents: threshold router, order of arrival, batch work below a fixed utilisation.
STACKS: Mapping[str, Mapping[str, Any]] = {
    "scenario": {},
    "paper": {"router": "threshold", "discipline": "fcfs"},
}

# Weights of the router that a tuner may set; that of a wait is 1 by default (A).
WEIGHTS_TRIED = Weights(
    {
        "prefix_s": (-0.02, -4.0),
        "running": (1e-3, 1.0),
        "kv": (1e-2, 20.0),
        "pending_tokens": (1e-8, 1e-4),
        "queue_s": (0.25, 16.0),
        "prompt_s": (0.02, 4.0),
    }
)

# What a tuner may vary of the stack, the same for every agent; None is the scenario's (A).
STACK_TUNABLE: Tunable = {
    "niw_ceiling": Choice((None, 0.6, 0.8, 1.0, 1.2)),
    "admission": Choice((None, 1.0, 3.0, 10.0, 30.0)),
    "feedback": Choice((0.0, 3.0, 6.0)),
    "trust": PerModel(0.7, 1.6),
    "discipline": Choice((None, "edf", "triage")),
    "router": Routers((None, "jsq", "least_wait", "least_wait_kv", "prefix_affinity")),
    "router_weights": WEIGHTS_TRIED,
}

_RESERVE_SHARE = (
    0.25  # (A) backlog is planned to be done this part of its objective before it is due
)
_LONGEST_RESERVE_S = 7200.0  # (A) and no longer than this
_URGENT_CEILING = 1.5  # (A) utilisation up to which work that is due is taken
_MOST_PRESSURE = 0.5  # (A) most that misses change the logarithm of the load that is served


@dataclass(frozen=True)
class StackOptions(Options):
    """Options that every rule and planner has.

    Attributes:
        stack: What applies where the following are None: ``scenario`` takes the scenario's own,
            ``paper`` what the paper's agents used.
        router: Router of the requests.
        router_weights: Changes of its weights, as ``prefix_s:-2/gpt-oss-120b.running:0.1``: of a
            feature for all models, or for one.
        discipline: Order of waiting requests.
        niw_ceiling: Utilisation below which endpoints take batch work that is not urgent; None for
            the scenario's ``pull_below``. In the last part of the time to the earliest deadline it
            rises to 1.5 (not under ``stack=paper``).
        admission: Expected wait, as a multiple of a tier's objective, above which its interactive
            requests are refused; None keeps the limits of the scenario's tiers.
        feedback: Gain of the load of each model on its own misses: the logarithm of the load that
            is provided for grows by this times what the shares of misses of the last hour and of
            the last six exceed what the service target allows. 0 never.
        trust: Factors on what an instance of each model is relied on to serve, in the scenario's
            order, as ``0.95/1.05/1.2/1``; one number is that of all, empty 1. How far a model may
            be loaded differs from what the probe of one instance says by how its misses weigh
            against its VMs.
    """

    stack: str = option("scenario", choices=STACKS)
    router: str | None = option(None, choices=ROUTERS)
    router_weights: str | None = option(None)
    discipline: str | None = discipline_option(None)
    niw_ceiling: float | None = option(None, low=0)
    admission: float | None = option(None, above=0)
    feedback: float = option(0.0, low=0, high=100)
    trust: str = ""

    def __post_init__(self) -> None:
        """Check every value."""
        super().__post_init__()
        self._factors()
        if self.router_weights is not None:
            read_weights(self.router_weights)

    def trust_by_model(self, models: int) -> Floats:
        """Return ``trust`` as numbers, [M].

        Raises:
            ValueError: If it is not one number, or one for each model.
        """
        values = self._factors()
        if len(values) == 1:
            values = np.full(models, values[0])
        if len(values) != models:
            raise ValueError(f"trust names {len(values)} models, the scenario has {models}")
        return values

    def _factors(self) -> Floats:
        try:
            values = np.array([float(v) for v in self.trust.split("/")] if self.trust else [1.0])
        except ValueError:
            values = np.zeros(1)
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"trust must be numbers above 0, as in 0.9/1.1, got {self.trust!r}")
        return values

    def chosen(self, name: str) -> Any:
        """Return an option, that of the stack where it is None; None is the scenario's."""
        value = getattr(self, name)
        return STACKS[self.stack].get(name) if value is None else value


class Stack:
    """The stack of one agent in one episode.

    Args:
        options: The options.
        endpoints: Endpoints of the scenario.

    Attributes:
        misses: Shares of misses per model.
        trust: Factor on what an instance of each model serves, float64 [M].
        pressure: Factor on the load of each model by its misses, float64 [M].
        router_weights: Weights of the router, [M, F], or None for its own.
    """

    def __init__(self, options: StackOptions, endpoints: Endpoints) -> None:
        self.options = options
        self.endpoints = endpoints
        scenario = endpoints.scenario
        models = len(scenario.models)
        self.misses = Misses(models)
        self.trust = options.trust_by_model(models)
        self.pressure: Floats = np.ones(models)
        self.admission = _limits(scenario, options.admission)
        changes = options.router_weights
        self.router_weights: Floats | None = None
        if changes is not None:
            self.router_weights = changed_weights(changes, scenario, options.chosen("router"))
        self._allowed = 1.0 - max((t.target for t in scenario.tiers if t.interactive), default=1.0)

    def observe(self, view: ClusterView) -> None:
        """Take a view; to be called once per decision."""
        if self.options.feedback > 0:
            self.misses.update(view, self.endpoints)
            answer = self.options.feedback * self.beyond()
            self.pressure = np.exp(np.clip(answer, -_MOST_PRESSURE, _MOST_PRESSURE))

    def beyond(self) -> Floats:
        """Return by how much misses exceed what is allowed, an hour's plus six hours', [M]."""
        beyond: Floats = (self.misses.shares() - self._allowed).sum(axis=0)
        return beyond

    @property
    def load_factor(self) -> Floats:
        """What the load of each model is multiplied by, for misses and for trust, [M]."""
        factor: Floats = self.pressure / self.trust
        return factor

    @property
    def pressed(self) -> Floats:
        """The factor on the load of each endpoint, [E]."""
        by_endpoint: Floats = self.load_factor[self.endpoints.model]
        return by_endpoint

    def release(self, view: ClusterView) -> Floats | None:
        """Return ceilings for batch work, [E], or None for the scenario's."""
        calm = self.calm_ceiling
        if self.options.stack == "paper":
            given = self.options.niw_ceiling
            return None if given is None else np.full(len(self.endpoints.model), given)
        return batch_ceiling(self.endpoints, view, calm)

    @property
    def calm_ceiling(self) -> float:
        """Utilisation below which endpoints take batch work that is not urgent."""
        given = self.options.niw_ceiling
        return self.endpoints.scenario.niw.pull_below if given is None else given


def reserve_s(scenario: Scenario) -> float:
    """Return how long before its deadline batch work is planned to be done.

    A quarter of the shortest objective or of the episode, at most two hours.
    """
    batch = [t for t in scenario.tiers if not t.interactive]
    shortest = min((min(t.objectives_s or (t.objective_s,)) for t in batch), default=np.inf)
    return min(_LONGEST_RESERVE_S, _RESERVE_SHARE * min(shortest, scenario.horizon_s))


def batch_left_s(view: ClusterView) -> Floats:
    """Return seconds in which the batch work held of each model has to be done, [M].

    That is up to its earliest deadline, but no longer than the episode: costs of agents that leave
    different amounts of work behind could not be compared.
    """
    left: Floats = np.minimum(view.niw_deadline_s, max(view.horizon_s - view.time_s, 0.0))
    return left


def batch_ceiling(endpoints: Endpoints, view: ClusterView, calm: float | Floats) -> Floats:
    """Return the utilisation below which endpoints take batch work, [E].

    ``calm``, a number or one by model [M], while there is time, so that the work runs in valleys;
    it rises evenly to `_URGENT_CEILING` in the last `reserve_s` before the work has to be done.
    """
    urgency = np.clip(1.0 - batch_left_s(view) / reserve_s(endpoints.scenario), 0.0, 1.0)  # [M]
    ceiling: Floats = calm + np.maximum(_URGENT_CEILING - calm, 0.0) * urgency
    return ceiling[endpoints.model]


def _limits(scenario: Scenario, factor: float | None) -> Floats | None:
    """Return the waits at which requests are refused, [M, K], or None for the scenario's."""
    if factor is None:
        return None
    row = [factor * t.objective_s if t.interactive else np.inf for t in scenario.tiers]
    limits: Floats = np.tile(row, (len(scenario.models), 1))
    return limits
