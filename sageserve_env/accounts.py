"""What the steps of an episode add up to: the `Change` of each, its reward and its ``info``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sageserve_env.kernels.buffers import SUMS
from sageserve_env.named import Named
from sageserve_env.rewards import Change, Reward, vector_of
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.summary import Unfinished


class Accounts:
    """The books of one environment.

    Args:
        scenario: Its cluster.
        reward: What a step is worth, bound to the scenario.

    Attributes:
        trace_seed: Seed of the trace of the episode.
        totals: Sums of the episode at the last look, in the order of ``Buffers.totals``.
        total_reward: Sum of the rewards of the episode.
        metric_names: Names of the figures of an episode; empty before the first.
    """

    def __init__(self, scenario: Scenario, reward: Reward) -> None:
        self.metric_names: tuple[str, ...] = ()
        self._reward = reward
        self._allowed = [1.0 - tier.target for tier in scenario.tiers]
        self.begin(0, [])

    def begin(self, trace_seed: int, totals: list[float], total_reward: float = 0.0) -> None:
        """Open the books of an episode, or go on in those of a snapshot."""
        self.trace_seed, self.totals, self.total_reward = trace_seed, totals, total_reward
        self._terms = dict.fromkeys(self._reward.names, 0.0)
        self._cost = self._budget = 0.0

    def change(self, totals: list[float], left: Unfinished | None) -> Change:
        """Return what a step added to the sums.

        Args:
            totals: The sums after the step.
            left: At the end of the episode, what is left undone.
        """
        added = [a - b for a, b in zip(totals, self.totals, strict=True)]
        self.totals = totals
        n, k = len(SUMS), len(self._allowed)
        missed, unfinished_usd = added[n + 3 * k : n + 4 * k], 0.0
        if left is not None:
            unfinished_usd = left.work_usd
            overdue = left.missed.sum(axis=(0, 1)).tolist()
            missed = [a + b for a, b in zip(missed, overdue, strict=True)]
        return Change(
            added[0],
            added[1],
            added[2],
            unfinished_usd,
            added[n : n + k],
            added[n + k : n + 2 * k],
            added[n + 2 * k : n + 3 * k],
            missed,
            added[n + 4 * k :],
        )

    def book(self, change: Change) -> Any:
        """Return the reward of a step, a number or a vector.

        Raises:
            ValueError: If the terms of the reward are not those that it names.
        """
        reward = self._reward
        self._terms = terms = reward.terms(change)
        if set(terms) != set(reward.names):
            raise ValueError(
                f"reward: terms() gave {', '.join(terms) or 'nothing'}, its names are "
                f"{', '.join(reward.names) or 'none'}"
            )
        value = sum(terms.values())
        self.total_reward += value
        self._cost, self._budget = reward.cost(change), 0.0
        for allowed, good, bad in zip(self._allowed, change.attained, change.missed, strict=True):
            self._budget += allowed * (good + bad)
        return vector_of(terms) if reward.vector else value

    def info(self, figures: Iterable[float] | None) -> dict[str, Any]:
        """Return the info of the last step or reset: arrays and NumPy scalars only.

        Args:
            figures: Those of the episode at its end, before it None.
        """
        names, terms = self._reward.names, self._terms
        metrics = np.zeros(len(self.metric_names)) if figures is None else list(figures)
        return {
            "trace_seed": np.int64(self.trace_seed),
            "reward_terms": Named(names, [terms[name] for name in names]),
            "cost": np.float64(self._cost),
            "cost_budget": np.float64(self._budget),
            "episode_metrics": Named(self.metric_names, metrics),
        }
