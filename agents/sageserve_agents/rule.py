"""The common part of agents that set one count per endpoint at each decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_agents.parameters import ServiceKnob, Tunable
from sageserve_agents.stack import Stack, StackOptions
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats, Ints
from sageserve_traces.trace import DemandSeries

OptionsT = TypeVar("OptionsT", bound=StackOptions)


class RuleAgent(ABC, Generic[OptionsT]):
    """An agent whose decision is a total per endpoint.

    Subclasses say what the options are and implement `desired`; limits, VM types and the router
    are handled here. Totals stand on ``view.target``, which contains pending and unmet instances,
    so that no rule asks twice for the same instance.

    Attributes:
        name: Identifier in tables.
        pooling: Pools the agent works with.
        clairvoyant: Whether it needs the realised future.
        router: Router of its requests; None for the scenario's.
        stack: What it decides beside instances; made at its reset.
        options_type: Frozen dataclass of its options.
        tunable: What a tuner may vary.
        service_knob: What calibration to equal service bisects on; None if there is none.
        planner_failures: Plans that failed in this episode.
        plans_tried: Plans that were tried in this episode, the failed ones among them.
    """

    name: str = ""
    pooling: str = "unified"
    clairvoyant: bool = False
    options_type: ClassVar[type[Any]]
    tunable: ClassVar[Tunable] = {}
    service_knob: ClassVar[ServiceKnob | None] = None

    def __init__(self, options: OptionsT | None = None) -> None:
        self.options: OptionsT = options if options is not None else self.options_type()
        self.planner_failures = 0
        self.plans_tried = 0
        self.endpoints: Endpoints
        self.stack: Stack

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
        self.stack = Stack(self.options, self.endpoints)
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
        """Return the wanted instances per endpoint, int64 [E]; limits are applied afterwards.

        The utilisation of the view is the measured one times the feedback of misses, over trust.
        """

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the decision for the next interval."""
        self.stack.observe(view)
        if self.options.feedback > 0 or self.options.trust:
            view = replace(view, utilisation=view.utilisation * self.stack.pressed)
        return self.decision(view, self.targets(view))

    def targets(self, view: ClusterView) -> Ints:
        """Return the targets, [E, G]."""
        return self.endpoints.spread(view, wake(view, self.endpoints, self.desired(view)))

    @property
    def router(self) -> str | None:
        """Router of its requests; None for the scenario's."""
        name: str | None = self.options.chosen("router")
        return name

    def decision(self, view: ClusterView, instances: Ints) -> ClusterAction:
        """Return the decision with targets [E, G] and the rest of the stack."""
        return ClusterAction(
            instances,
            router=self.router,
            router_weights=self.stack.router_weights,
            niw_release=self.niw_release(view),
            discipline=self.options.chosen("discipline"),
            admission=self.stack.admission,
        )

    def niw_release(self, view: ClusterView) -> Floats | None:
        """Return utilisation ceilings for non-interactive work, [E], or None for the scenario's."""
        return self.stack.release(view)


def wake(view: ClusterView, endpoints: Endpoints, totals: Ints) -> Ints:
    """Return totals with one instance where there is work but nothing that could take it.

    Waking from zero (docs/sources.md, "Traps"): with no instance of a model anywhere every
    utilisation is 0 and no threshold is ever crossed. The region with the most traffic of the model
    is woken; and every region that has traffic of a model and requests that must be served there.
    """
    models, regions, _ = endpoints.shape
    rate = view.request_rate.max(axis=0).sum(axis=2)  # [M, R]
    per_model = totals.reshape(models, -1).sum(axis=1)
    asleep = (per_model == 0) & (
        (view.global_queue > 0) | (view.niw_backlog > 0) | (view.request_rate[0].sum((1, 2)) > 0)
    )
    lonely = totals.reshape(models, regions, -1).sum(axis=2) == 0
    wanted = lonely & (endpoints.resident > 0) & (rate > 0)
    for m in np.flatnonzero(asleep & ~wanted.any(axis=1)):
        room = endpoints.high.reshape(models, regions, -1).max(axis=2)[m] > 0
        home = int(np.argmax(view.request_rate[0][m].sum(axis=1)))
        if room.any():
            wanted[m, home if room[home] else int(np.argmax(room))] = True
    if not wanted.any():
        return totals
    totals = totals.copy()
    for m, r in np.argwhere(wanted):
        here = (endpoints.model == m) & (endpoints.region == r) & (endpoints.high > 0)
        totals[np.flatnonzero(here)[:1]] = 1
    return totals
