"""The common part of agents that set one count per endpoint at each decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.endpoints import Endpoints
from sageserve_agents.parameters import ServiceKnob, Tunable
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats, Ints
from sageserve_traces.trace import DemandSeries

OptionsT = TypeVar("OptionsT")


class RuleAgent(ABC, Generic[OptionsT]):
    """An agent whose decision is a total per endpoint.

    Subclasses say what the options are and implement `desired`; limits, VM types and the router
    are handled here. Totals stand on ``view.target``, which contains pending and unmet instances,
    so that no rule asks twice for the same instance.

    Attributes:
        name: Identifier in tables.
        pooling: Pools the agent works with.
        clairvoyant: Whether it needs the realised future.
        router: Router of its requests.
        discipline: Order of waiting requests; None for the scenario's.
        options_type: Frozen dataclass of its options.
        tunable: What a tuner may vary.
        service_knob: What calibration to equal service bisects on; None if there is none.
        planner_failures: Plans that failed in this episode.
        plans_tried: Plans that were tried in this episode, the failed ones among them.
    """

    name: str = ""
    pooling: str = "unified"
    clairvoyant: bool = False
    router: str = "least_wait"
    discipline: str | None = None
    options_type: ClassVar[type[Any]]
    tunable: ClassVar[Tunable] = {}
    service_knob: ClassVar[ServiceKnob | None] = None

    def __init__(self, options: OptionsT | None = None) -> None:
        self.options: OptionsT = options if options is not None else self.options_type()
        self.router = getattr(self.options, "router", self.router)
        self.discipline = getattr(self.options, "discipline", self.discipline)
        self.planner_failures = 0
        self.plans_tried = 0
        self.endpoints: Endpoints

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode (see `Agent.reset`).

        Raises:
            ValueError: If the scenario has other pools than the agent works with.
        """
        if scenario.pooling != self.pooling:
            raise ValueError(
                f"agent {self.name!r} needs pooling {self.pooling!r}, got {scenario.pooling!r}"
            )
        self.scenario = scenario
        self.endpoints = Endpoints.of(scenario)
        self.rng = np.random.default_rng(seed)
        self.history = history
        self.planner_failures = 0
        self.plans_tried = 0
        self.start()

    def start(self) -> None:
        """Prepare the state of an episode; ``scenario``, ``endpoints`` and ``history`` are set."""
        return None

    @abstractmethod
    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances per endpoint, int64 [E]; limits are applied afterwards."""

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the decision for the next interval."""
        totals = wake(view, self.endpoints, self.desired(view))
        return ClusterAction(
            self.endpoints.spread(view, totals),
            router=self.router,
            niw_release=self.niw_release(),
            discipline=self.discipline,
        )

    def niw_release(self) -> Floats | None:
        """Return utilisation ceilings for non-interactive work, [E], or None for the scenario's."""
        return None


def wake(view: ClusterView, endpoints: Endpoints, totals: Ints) -> Ints:
    """Return totals with one instance where a model has work but nothing that could take it.

    Waking from zero (docs/sources.md, "Traps"): with no instance of a model anywhere every
    utilisation is 0 and no threshold is ever crossed. The region with the most traffic of the model
    is woken.
    """
    per_model = totals.reshape(len(view.theta), -1).sum(axis=1)
    asleep = np.flatnonzero(
        (per_model == 0) & ((view.global_queue > 0) | (view.niw_backlog > 0) | _traffic(view))
    )
    if not len(asleep):
        return totals
    totals = totals.copy()
    rate = view.request_rate[0].sum(axis=2)  # [M, R]
    for m in asleep:
        home = int(np.argmax(rate[m]))
        candidates = np.flatnonzero((endpoints.model == m) & (endpoints.high > 0))
        if len(candidates):
            at_home = candidates[endpoints.region[candidates] == home]
            totals[(at_home if len(at_home) else candidates)[0]] = 1
    return totals


def _traffic(view: ClusterView) -> NDArray[np.bool_]:
    moving: NDArray[np.bool_] = view.request_rate[0].sum(axis=(1, 2)) > 0
    return moving
