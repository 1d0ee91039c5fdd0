"""Rewards as objects: what one step is worth, as named terms.

A reward turns a `Change` (what a step added to the bill and to the outcomes) into named terms; the
reward of the step is their sum, or the vector of them. Pass a name or an object to ``gym.make``.

Outcomes are booked when they become known: a TTFT objective at the first token, a completion
objective at completion. What is still unfinished at the end of the episode is booked there:
requests whose objective has passed count as missed, and the work left is charged at
``RewardConfig.unfinished_factor`` times its VM price, so that leaving work undone never pays.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.scenario import Scenario


class Change(NamedTuple):
    """What one step added; lists have one entry per tier."""

    vm_usd: float
    transfer_usd: float
    spot_hours: float
    unfinished_usd: float  # at the end of the episode: VM price of the work left
    arrived: list[float]
    completed: list[float]
    attained: list[float]
    missed: list[float]  # the refused ones among them
    refused: list[float]


class Reward(ABC):
    """Base of rewards. Subclasses implement `terms` and set ``names`` in `bind`.

    Attributes:
        vector: True if a step's reward is the vector of the terms instead of their sum.
        names: Names of the terms, in the order of the vector.
    """

    vector: bool = False
    names: tuple[str, ...] = ()

    @abstractmethod
    def bind(self, scenario: Scenario) -> None:
        """Take constants from the scenario; called once by the environment."""

    @abstractmethod
    def terms(self, change: Change) -> dict[str, float]:
        """Return the named terms of one step, with exactly the keys ``names``."""

    def cost(self, change: Change) -> float:
        """Return the SLO violations of the step for constrained learners: requests that missed."""
        return sum(change.missed)


class Dollars(Reward):
    """Minus dollars over ``scale_usd``: VMs, misses by tier, transfer, unfinished work (default).

    Terms: ``vm``, ``transfer``, ``slo:TIER`` for every tier, ``unfinished``, and ``refused`` where
    the scenario has a charge for it.
    """

    def bind(self, scenario: Scenario) -> None:
        """Take scale and charges from the scenario."""
        self._scale = 1.0 / scenario.reward.scale_usd
        self._unfinished = scenario.reward.unfinished_factor * self._scale
        self._miss = [(f"slo:{tier.name}", tier.miss_usd * self._scale) for tier in scenario.tiers]
        self.names = ("vm", "transfer", *(name for name, _ in self._miss), "unfinished")
        self._refuse = scenario.reward.refuse_usd
        if self._refuse is not None:
            self._refuse *= self._scale
            self.names = (*self.names, "refused")

    def terms(self, change: Change) -> dict[str, float]:
        """Return the terms, none of them positive."""
        terms = {
            "vm": 0.0 - change.vm_usd * self._scale,
            "transfer": 0.0 - change.transfer_usd * self._scale,
        }
        for (name, weight), missed in zip(self._miss, change.missed, strict=True):
            terms[name] = 0.0 - missed * weight
        terms["unfinished"] = 0.0 - change.unfinished_usd * self._unfinished
        if self._refuse is not None:
            terms["refused"] = 0.0 - sum(change.refused) * self._refuse
        return terms


class Constrained(Reward):
    """Minus dollars without SLO charges; the violations are ``info["cost"]`` only.

    For learners that treat the SLO as a constraint: the terms are ``vm``, ``transfer`` and
    ``unfinished``; ``info["cost_budget"]`` is the number of misses that the targets allow.
    """

    names = ("vm", "transfer", "unfinished")

    def bind(self, scenario: Scenario) -> None:
        """Take the scale from the scenario."""
        self._scale = 1.0 / scenario.reward.scale_usd
        self._unfinished = scenario.reward.unfinished_factor * self._scale

    def terms(self, change: Change) -> dict[str, float]:
        """Return the terms, none of them positive."""
        return {
            "vm": 0.0 - change.vm_usd * self._scale,
            "transfer": 0.0 - change.transfer_usd * self._scale,
            "unfinished": 0.0 - change.unfinished_usd * self._unfinished,
        }


class Paper(Reward):
    """Utility of the paper: 3 per interactive and 1 per batch request, 1.5 per spot quarter-hour.

    A request counts when it is served within its objective; one that misses costs its utility, and
    so does work that is left, at the batch utility per dollar of VM time (both (A): without them
    starving batch work and donating its VMs would score best).

    Args:
        interactive: Utility of an interactive request.
        batch: Utility of a non-interactive request.
        spot: Utility of a VM donated for a quarter of an hour.
        scale: Utility that a reward of 1 stands for (A).
    """

    def __init__(
        self,
        interactive: float = 3.0,
        batch: float = 1.0,
        spot: float = 1.5,
        scale: float = 1000.0,
    ) -> None:
        self.interactive, self.batch, self.spot, self.scale = interactive, batch, spot, scale

    def bind(self, scenario: Scenario) -> None:
        """Give every tier its utility."""
        worth = [self.interactive if t.interactive else self.batch for t in scenario.tiers]
        self._worth = [w / self.scale for w in worth]
        self._spot = 4.0 * self.spot / self.scale
        self._unfinished = 1.0 / self.scale
        self.names = (*(f"served:{t.name}" for t in scenario.tiers), "spot", "unfinished")
        self._tiers = self.names[: len(worth)]

    def terms(self, change: Change) -> dict[str, float]:
        """Return the terms."""
        terms = {
            name: worth * (attained - missed)
            for name, worth, attained, missed in zip(
                self._tiers, self._worth, change.attained, change.missed, strict=True
            )
        }
        terms["spot"] = self._spot * change.spot_hours
        terms["unfinished"] = 0.0 - self._unfinished * change.unfinished_usd
        return terms


class Vector(Reward):
    """The terms of another reward as a vector, in MO-Gymnasium's form.

    Args:
        inner: Name or object of the reward whose terms are the entries.
    """

    vector = True

    def __init__(self, inner: str | Reward = "dollars") -> None:
        self.inner = make_reward(inner)

    def bind(self, scenario: Scenario) -> None:
        """Bind the inner reward."""
        self.inner.bind(scenario)
        self.names = self.inner.names

    def terms(self, change: Change) -> dict[str, float]:
        """Return the terms of the inner reward."""
        return self.inner.terms(change)

    def cost(self, change: Change) -> float:
        """Return the cost of the inner reward."""
        return self.inner.cost(change)


_BY_NAME: dict[str, type[Reward]] = {
    "dollars": Dollars,
    "paper": Paper,
    "constrained": Constrained,
    "vector": Vector,
}
REWARDS = tuple(_BY_NAME)


def make_reward(reward: str | Reward) -> Reward:
    """Return a reward of its own for one environment, from a name or an object.

    Raises:
        ValueError: If the name is unknown or the object is not a `Reward`.
    """
    if isinstance(reward, Reward):
        return copy.deepcopy(reward)
    if not isinstance(reward, str):
        raise ValueError(f"reward: expected a name or a Reward, got {reward!r}")
    if reward not in _BY_NAME:
        message = unknown_key_message(reward, list(REWARDS), "reward")
        raise ValueError(message.replace("unknown key", "unknown name"))
    return _BY_NAME[reward]()


def vector_of(terms: dict[str, float]) -> NDArray[np.float32]:
    """Return the terms as a vector."""
    return np.fromiter(terms.values(), dtype=np.float32, count=len(terms))
