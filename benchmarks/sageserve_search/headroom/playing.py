"""A plan played in the simulator: what it costs and misses, model by model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents import Agent
from sageserve_agents.learned.bill import usd_per_token
from sageserve_agents.playing import begin
from sageserve_env.actions import ClusterAction
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario
from sageserve_env.snapshot import EnvSnapshot
from sageserve_search.headroom.plan import Plan, plan_of
from sageserve_traces import TraceSource

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reached:
    """Where a play stands after some steps.

    Attributes:
        usd: Price of the VM time so far by model, [M].
        missed: Requests known as missed so far, [M, K]; at the end of the episode those too that
            are unfinished.
        left: VM price of the batch work that is held, [M].
    """

    usd: Floats
    missed: Floats
    left: Floats


@dataclass(frozen=True)
class Played:
    """What came of a plan.

    Attributes:
        usd: Price of VM time by model, [M].
        missed: Requests that were missed, [M, K].
        attained: Share of the requests that attained, by model and tier, [M, K]; NaN where none
            fell due.
        metrics: Figures of the episode, as in the result tables.
        returned_usd: Dollars and charged misses: minus the reward in dollars.
    """

    usd: Floats
    missed: Floats
    attained: Floats
    metrics: dict[str, Any]
    returned_usd: float


class Day:
    """One seed of a scenario, played again and again.

    Args:
        scenario: The cluster.
        seed: Of the trace and the simulator.
        trace: Other requests; None for those of the seed.
    """

    def __init__(self, scenario: Scenario, seed: int, trace: TraceSource | None = None) -> None:
        self.scenario, self.seed = scenario, seed
        self.env = SageServeEnv(scenario=scenario, trace=trace)
        self.env.reset(seed=seed)
        self.workload = self.env.workload
        self._per_token = usd_per_token(scenario, self.workload.theta())
        self._model = np.array([scenario.models.index(e.model) for e in scenario.endpoints])

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def play(self, plan: Plan) -> Played:
        """Play a plan from the start."""
        return self._play(lambda step: plan.action(step))

    def play_agent(
        self,
        agent: Agent,
        label: str | None = None,
        changed: Callable[[ClusterAction], ClusterAction] | None = None,
    ) -> tuple[Played, Plan]:
        """Let an agent play, with its decisions changed by a function; returns its plan too."""
        taken: list[ClusterAction] = []

        def decide(step: int) -> ClusterAction:
            if not step:
                begin(self.env, agent, label=label)
            action = agent.act(self.env.view())
            taken.append(action if changed is None else changed(action))
            return taken[-1]

        played = self._play(decide)
        return played, plan_of(taken, self.scenario)

    def go_on(self, mark: EnvSnapshot | None, plan: Plan, start: int, stop: int) -> Reached:
        """Play steps ``[start, stop)`` of a plan from a mark on; None is the start of the day."""
        if mark is None:
            self.env.reset(seed=self.seed)
        else:
            self.env.restore(mark)
        over = False
        for step in range(start, stop):
            _, _, terminated, truncated, _ = self.env.step_cluster(plan.action(step))
            over = terminated or truncated
        return self._reached(over)

    def mark(self) -> EnvSnapshot:
        """Return where the play stands, to go on from there."""
        return self.env.snapshot()

    def _play(self, decide: Callable[[int], ClusterAction]) -> Played:
        env = self.env
        env.reset(seed=self.seed)
        total, step, over = 0.0, 0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step_cluster(decide(step))
            total, step = total + float(reward), step + 1
            over = terminated or truncated
        reached = self._reached(over)
        good = env.simulator.state.count["attained"].sum(axis=1)
        with np.errstate(invalid="ignore"):
            attained = good / (good + reached.missed)
        return Played(
            reached.usd,
            reached.missed,
            attained,
            env.episode_metrics(),
            -total * self.scenario.reward.scale_usd,
        )

    def _reached(self, over: bool) -> Reached:
        state = self.env.simulator.state
        missed = state.count["missed"].sum(axis=1).astype(np.float64)
        if over:
            missed = missed + self.env.simulator.unfinished().missed.sum(axis=1)
        left = state.model["held_tokens"] * self._per_token
        return Reached(self._spent(), missed, np.asarray(left))

    def _spent(self) -> Floats:
        by_endpoint = self.scenario.billed_usd(self.env.simulator.state.vm_seconds).sum(axis=1)
        models = len(self.scenario.models)
        return np.bincount(self._model, by_endpoint, models).astype(np.float64)


def value(played: Played, price: Floats) -> float:
    """Return dollars and charged misses; ``price`` of a miss is by model and tier, [M, K]."""
    return float(played.usd.sum() + (played.missed * price).sum())
