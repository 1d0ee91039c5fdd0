"""`residual-es`: evolution strategy on whole episodes, model by model.

Every model of a cluster is perturbed on its own in the same episode. Models hardly touch each other
(the inventory rarely binds), so an episode of M models gives M independent samples of the gradient
of the shared weights. Perturbations come in antithetic pairs on the same requests (Salimans et al.,
arXiv 1703.03864); the step is along the averaged gradient, scaled by its size.

What is minimised is dollars: VMs, twice the price of batch work that is left, and a price per
interactive request that missed. That price is the multiplier of the service target: it rises while
attainment over all models is below its aim and falls while it is above, so that misses are taken
where avoiding them would cost most. A model below its own floor is charged more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.learned.bill import Bill, Price, left_usd
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.learned.residual import Residual
from sageserve_agents.learned.traffic import Randomisation, Traffic
from sageserve_agents.playing import begin, play
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario
from sageserve_env.view import Floats


@dataclass(frozen=True)
class EvolutionArgs:
    """Arguments of the evolution strategy.

    Attributes:
        pairs: Antithetic pairs of episodes per step.
        sigma: Standard deviation of the perturbations.
        learning_rate: Typical step of a weight in the first generation.
        decay_generations: The step is halved after this many generations, then thirded, and so on.
        clip: Most that a pair may differ for one model, as a share of the pair's mean loss: one
            overloaded day is not to decide a step alone.
        average: Share of the mean over past weights that each step keeps; the mean is what acts.
        miss_usd: First price of a miss.
        price_rate: Step of the logarithm of that price per unit of attainment.
        aim: Attainment of each interactive tier over all models that is aimed at.
        floor: Attainment of each model and tier below which a miss costs `floor_factor` as much.
        floor_factor: See `floor`.
        left_factor: Charge for batch work that is left, over its VM price.
        randomisation: How training traffic varies.
    """

    pairs: int = 5
    sigma: float = 0.04
    learning_rate: float = 0.03
    decay_generations: float = 8.0
    clip: float = 0.03
    average: float = 0.7
    miss_usd: float = 0.12
    price_rate: float = 6.0
    aim: float = 0.953
    floor: float = 0.91
    floor_factor: float = 5.0
    left_factor: float = 2.0
    randomisation: Randomisation = field(default_factory=Randomisation)


class _Perturbed:
    """One network per model, as one policy."""

    def __init__(self, network: Mlp, vectors: Floats) -> None:
        self._each = [network.with_vector(v) for v in vectors]

    def __call__(self, rows: Floats) -> Floats:
        return np.stack([net(row) for net, row in zip(self._each, rows, strict=True)])


@dataclass(frozen=True)
class Score:
    """What an episode came to: [M] dollars, [M, K] counts of interactive tiers, [M] work left."""

    usd: Floats
    attained: Floats
    missed: Floats
    left: Floats

    def loss(self, args: EvolutionArgs, price: float) -> Floats:
        """Return dollars per model, [M]."""
        total = self.attained + self.missed
        short = np.maximum(args.floor * total - self.attained, 0.0).sum(axis=1)
        charge = price * (self.missed.sum(axis=1) + args.floor_factor * short)
        result: Floats = self.usd + charge + args.left_factor * self.left
        return result


def scored(agent: Residual, env: SageServeEnv) -> Score:
    """Play an episode that has been started and return what it came to."""
    begin(env, agent)
    play(env, agent)
    bill = Bill.of(env)
    interactive = np.array([t.interactive for t in env.scenario.tiers])
    return Score(
        bill.usd, bill.attained[:, interactive], bill.missed[:, interactive], left_usd(env)
    )


class Evolution:
    """The state of a training run; everything that decides how it goes on is in `state`."""

    def __init__(
        self,
        scenario: Scenario,
        make_agent: Callable[[], Residual],
        network: Mlp,
        args: EvolutionArgs,
        seed: int,
    ) -> None:
        self.args = args
        self.rng = np.random.default_rng(seed)
        self.traffic = Traffic(scenario, args.randomisation, self.rng)
        self.make_agent = make_agent
        self.network = network
        self.vector = network.vector()
        self.price = Price(args.miss_usd, args.aim, args.price_rate)
        self.mean = self.vector
        self.first = np.zeros_like(self.vector)
        self.second = 0.0
        self.generation = 0

    def step(self) -> dict[str, float]:
        """Make one step and return its figures."""
        args = self.args
        gradient = np.zeros_like(self.vector)
        samples = 0
        usd, left, losses = 0.0, 0.0, 0.0
        tiers = sum(t.interactive for t in self.traffic.scenario.tiers)
        attained, missed = np.zeros(tiers), np.zeros(tiers)
        for _ in range(args.pairs):
            scenario, start, seed = self.traffic.draw()
            noise = self.rng.standard_normal((len(scenario.models), len(self.vector)))
            scores = []
            plain = start == "fixed" and scenario == self.traffic.scenario
            for sign in (1.0, -1.0):
                agent = self.make_agent()
                agent.policy = _Perturbed(self.network, self.vector + sign * args.sigma * noise)
                score = scored(agent, self.traffic.begin(scenario, start, seed))
                scores.append(score.loss(args, self.price.usd))
                usd += float(score.usd.sum())
                left += float(score.left.sum())
                if plain:
                    attained += score.attained.sum(axis=0)
                    missed += score.missed.sum(axis=0)
            losses += float(sum(s.sum() for s in scores))
            difference = (scores[0] - scores[1]) / np.mean([s.sum() for s in scores])
            gradient += np.clip(difference, -args.clip, args.clip) @ noise / (2.0 * args.sigma)
            samples += 1
        self._move(gradient / samples)
        lowest = self.price.update(attained, missed)
        self.generation += 1
        runs = 2 * args.pairs
        return {
            "loss": losses / runs,
            "cost_usd": usd / runs,
            "left_usd": left / runs,
            "attainment": lowest,
            "miss_usd": self.price.usd,
            "gradient": float(np.linalg.norm(gradient / samples)),
        }

    def state(self) -> dict[str, Any]:
        """Return what decides how the run goes on, as arrays and JSON."""
        return {
            "vector": self.vector,
            "mean": self.mean,
            "first": self.first,
            "numbers": np.array([self.price.usd, self.second, self.generation]),
            "random": np.array(json.dumps(self.rng.bit_generator.state)),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        self.vector, self.mean = state["vector"], state["mean"]
        self.first = state["first"]
        self.price.usd, self.second, generation = state["numbers"].tolist()
        self.generation = int(generation)
        self.rng.bit_generator.state = json.loads(str(state["random"]))

    def _move(self, gradient: Floats) -> None:
        """Step along the averaged gradient, over the root mean square of all its entries.

        One scale for all weights, unlike Adam's: a weight whose gradient is only noise moves less.
        """
        self.first = 0.8 * self.first + 0.2 * gradient
        self.second = 0.9 * self.second + 0.1 * float(np.mean(gradient**2))
        t = self.generation + 1
        step = self.first / (1.0 - 0.8**t)
        scale = math.sqrt(self.second / (1.0 - 0.9**t)) + 1e-8
        rate = self.args.learning_rate / (1.0 + self.generation / self.args.decay_generations)
        self.vector = self.vector - rate * step / scale
        self.mean = self.args.average * self.mean + (1.0 - self.args.average) * self.vector
