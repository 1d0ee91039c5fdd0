"""The residual policy: a learned correction of square-root staffing, model by model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sageserve_agents.learned.checkpoint import Checkpoint, load
from sageserve_agents.learned.features import FEATURES, Loads, features, loads
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.options import When, option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.planner import requirements as need
from sageserve_agents.planner.forecasting import ForecastingAgent
from sageserve_agents.planner.options import ForecastOptions
from sageserve_agents.rule import wake
from sageserve_agents.stack import batch_ceiling
from sageserve_env.actions import ClusterAction
from sageserve_env.view import ClusterView, Floats, Ints

ACTIONS = (
    "log of the factor on the headroom",
    "log of the factor on the load that is planned for",
    "ceiling of utilisation for batch work",
    "log of the factor on the instances for batch work",
)
"""What the outputs of the network mean, each in [-1, 1]."""

_HEADROOM, _LOAD, _CEILING, _BATCH = 1.5, 0.4, 0.5, 1.5  # (A) reach of each output
_MOST_FEEDBACK = 1.5  # (A) most that misses change the logarithm of the headroom

Policy = Callable[[Floats], Floats]


_CORRECTED: When = ("the checkpoint is not rule", lambda o: o.checkpoint != "rule")


@dataclass(frozen=True)
class ResidualOptions(ForecastOptions):
    """Options of `Residual`.

    Attributes:
        beta: Safety before correction (A: about the service target).
        checkpoint: Folder of a trained policy or name of a shipped one; ``rule`` is the rule
            without correction, and None the agent's own.
        period_s: Time between two decisions; whole decision intervals.
        hold_s: A scale-in waits until it has been wanted for this long.
        headroom: Factor on the headroom that was calibrated with the checkpoint, by which cost is
            traded for service.
        feedback: Gain of the headroom of each model on its own misses: its logarithm grows by this
            times what the share of misses of the last hour and that of the last six hours exceed
            what the service target allows. Traffic that is not as foreseen is answered by more
            headroom, for as long as it misses; 0 never (A: found on shifted validation days).
        correct: Which outputs of the network are used, as digits (for ablation).
    """

    beta: float = option(1.0, low=0)
    rho: float = option(1.05, above=0)
    checkpoint: str | None = None
    period_s: float = option(60.0, above=0)
    hold_s: float = option(300.0, above=0)
    headroom: float = option(1.0, above=0)
    feedback: float = option(6.0, low=0, high=100)
    correct: str = option("0123", when=_CORRECTED)

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if any(digit not in "0123" for digit in self.correct):
            raise ValueError(f"correct must be digits of 0123, got {self.correct!r}")


class Residual(ForecastingAgent[ResidualOptions]):
    """Square-root staffing whose load, safety and batch work a network corrects every minute.

    The rule is ``n = load + beta sqrt(load) + batch`` per model, with the largest forecast until a
    start made now has been up for a period, and the batch work that the planners plan for. ``beta``
    rises while a model misses more than its target allows, and falls while it misses less. The
    network reads one row of features per model (`FEATURES`) and answers with four corrections of it
    (`ACTIONS`); it is the same for all models,
    so a checkpoint serves any number of models, regions and VM types. It needs NumPy only.

    Args:
        options: Options.
        held: A checkpoint in memory instead of one that is read.

    Raises:
        ValueError: If there is no such checkpoint, or it is not one of a residual agent.
    """

    name = "residual"
    options_type = ResidualOptions
    tunable: ClassVar[Tunable] = {"hold_s": Range(60.0, 900.0), "headroom": Range(0.3, 3.0)}
    service_knob = ServiceKnob("headroom", stingy=0.05, generous=8.0, log=True)

    def __init__(
        self, options: ResidualOptions | None = None, held: Checkpoint | None = None
    ) -> None:
        super().__init__(options)
        self.policy: Policy | None = None
        self.headroom = self.options.headroom
        if held is None and self.options.checkpoint != "rule":
            held = load(self.options.checkpoint or self.name)
        if held is not None:
            self.policy = policy_of(held)
            self.headroom *= float(held.card.get("headroom", 1.0))

    @property
    def quick_s(self) -> float:
        """Time until a start from a spot VM that holds the model is up, with its jitter."""
        lifecycle = self.scenario.lifecycle
        return lifecycle.spot_same_model_s * (1.0 + lifecycle.jitter)

    def start(self) -> None:
        """Forget the last episode."""
        super().start()
        self._rates: Floats | None = None
        self._rates_s = -np.inf
        self._wanted: list[tuple[float, Ints]] = []
        self._next_s = 0.0
        self._ceiling: Floats | None = None
        self._outputs: Floats = np.zeros((len(self.scenario.models), len(ACTIONS)))
        self._used = np.array([str(i) in self.options.correct for i in range(len(ACTIONS))])
        self._seen: Loads | None = None

    def act(self, view: ClusterView) -> ClusterAction:
        """Observe, let the network correct, and return targets and ceilings."""
        rows = self.observe(view)
        if view.time_s >= self._next_s - 1e-6:
            self._next_s = view.time_s + self.options.period_s
            self._outputs = np.zeros((len(rows), len(ACTIONS)))
            if self.policy is not None:
                self._outputs = np.clip(self.policy(rows), -1.0, 1.0) * self._used
        return self.decide(view, self._outputs)

    def step(self, view: ClusterView) -> None:
        """Nothing; `decide` does the work."""

    def observe(self, view: ClusterView) -> Floats:
        """Return the rows of the policy, [M, F]; to be called once per view."""
        self.tracker.update(view)
        self.stack.misses.update(view, self.endpoints)
        bins = round(3600.0 / self.options.bin_s)
        if self.tracker.end_s > self._rates_s or self._rates is None:
            if self.informed:
                self._rates = self.forecast(
                    view, self.tracker.end_s + (bins + 1) * self.options.bin_s
                )
            else:
                m, r = len(self.scenario.models), len(self.scenario.regions)
                self._rates = np.zeros((bins + 1, m, r, len(self.scenario.tiers)))
            self._rates_s = self.tracker.end_s
        first = int((view.time_s - self.tracker.end_s) // self.options.bin_s)
        quick, slow = (
            int(np.ceil(lead / self.options.bin_s)) for lead in (self.quick_s, self.lead_s)
        )
        self._seen = loads(view, self.endpoints, self._rates[max(first, 0) :], quick, slow)
        return features(view, self.endpoints, self._seen, self.stack.misses)

    def decide(self, view: ClusterView, outputs: Floats) -> ClusterAction:
        """Return the decision for outputs of the network in [-1, 1], [M, A]."""
        o = self.options
        seen = self._seen
        assert seen is not None
        batch = self._batch(view) * np.exp(_BATCH * outputs[:, 3])
        beta = self.headroom * o.beta * np.exp(_HEADROOM * outputs[:, 0] + self._feedback())

        def needed(forecast: Floats) -> Ints:
            load = forecast * np.exp(_LOAD * outputs[:, 1]) / (o.rho * self.stack.trust)
            counts: Ints = np.ceil(load + beta * np.sqrt(load) + batch - 1e-9).astype(np.int64)
            return counts

        # What spot VMs can give within a period may wait; what takes longer starts now.
        quick = view.spot_vms.sum(axis=(1, 2))
        counts = np.maximum(needed(seen.soon), needed(seen.later) - quick)
        calm = batch_ceiling(self.endpoints, view, self.stack.calm_ceiling)
        ceiling: Floats = np.maximum(calm + (_CEILING * outputs[:, 2])[self.endpoints.model], 0.0)
        self._ceiling = ceiling.round(2)  # so that logs of decisions stay small
        self._wanted.append((view.time_s, counts))
        self._wanted = [w for w in self._wanted if w[0] > view.time_s - o.hold_s - 1e-6]
        totals = self.endpoints.equivalents(view, view.target)
        if self.informed:
            totals = self._place(view, np.max([c for _, c in self._wanted], axis=0))
        totals = wake(view, self.endpoints, totals)
        return self.decision(view, self.endpoints.fill(view, totals))

    def niw_release(self, view: ClusterView) -> Floats | None:
        """Return the ceilings that the network corrected, [E]."""
        return self._ceiling

    def _feedback(self) -> Floats:
        """Return what misses add to the logarithm of the headroom, [M]."""
        answer = self.options.feedback * self.stack.beyond()
        return np.clip(answer, -_MOST_FEEDBACK, _MOST_FEEDBACK)

    def _batch(self, view: ClusterView) -> Floats:
        """Return the instances that the planners would have for batch work, [M]."""
        demand = need.niw_demand(self.endpoints, view, self.tracker, self.options.niw_buffer)
        load: Floats = demand.sum(axis=(1, 2)) / self.endpoints.best_theta(view.theta)
        return load / self.options.rho

    def desired(self, view: ClusterView) -> Ints:
        """Return what stands; `act` does not ask."""
        standing: Ints = view.target.sum(axis=1)
        return standing

    def _place(self, view: ClusterView, totals: Ints) -> Ints:
        """Spread totals [M] over regions, [E]: new instances where a spot VM gives one soonest.

        What was asked for in vain counts for nothing, so that the instances of a region that is
        lost or full are started elsewhere.
        """
        models, regions, _ = self.endpoints.shape
        low = self.endpoints.low.reshape(models, regions)
        high = self.endpoints.high.reshape(models, regions)
        had = self.endpoints.equivalents(view, view.target - view.unmet)
        counts = np.clip(had.reshape(models, regions), low, high)
        spot = view.spot_vms.sum(axis=2)
        idle = view.free_vms.sum(axis=1)
        share = view.prompt_rate[2].sum(axis=2) + 1e-9
        share = share / share.sum(axis=1, keepdims=True)
        for m in range(models):
            quick, free = spot[m].copy(), idle.copy()
            while counts[m].sum() < totals[m] and (counts[m] < high[m]).any():
                lack = totals[m] * share[m] - counts[m]
                rank = lack + 1e3 * (quick > 0) + 1e3 * (free > 0)
                r = int(np.argmax(np.where(counts[m] < high[m], rank, -np.inf)))
                counts[m, r] += 1
                quick[r] -= 1
                free[r] -= 1
            while counts[m].sum() > totals[m] and (counts[m] > low[m]).any():
                over = counts[m] - totals[m] * share[m]
                counts[m, int(np.argmax(np.where(counts[m] > low[m], over, -np.inf)))] -= 1
        placed: Ints = counts.ravel()
        return placed


class ResidualEs(Residual):
    """The residual policy trained by an evolution strategy on whole episodes."""

    name = "residual-es"


def policy_of(held: Checkpoint) -> Mlp:
    """Return the network of a checkpoint of a residual agent.

    Raises:
        ValueError: If it is not one, or its inputs and outputs are not those of this version.
    """
    network: Any = held.card.get("network", {})
    if network.get("kind") != "residual":
        raise ValueError(f"the checkpoint is of agent {held.card.get('agent')!r}, no residual one")
    policy = Mlp.from_arrays(held.arrays)
    expected = len(FEATURES), len(ACTIONS)
    found = policy.sizes[0], policy.sizes[-1]
    if found != expected:
        raise ValueError(f"the checkpoint has {found} inputs and outputs, expected {expected}")
    return policy
