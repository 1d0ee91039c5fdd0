"""Clusters as many small decision problems: one per model, all with the same policy.

Models hardly touch each other, so the bill of a model follows from the decisions for that model.
Each of N clusters with M models is M environments of Stable-Baselines3's `VecEnv`: M times the
samples of an episode, each with a reward of its own instead of the sum over all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sageserve_agents.learned.bill import Bill, Price, left_usd
from sageserve_agents.learned.features import FEATURES
from sageserve_agents.learned.residual import ACTIONS, Residual
from sageserve_agents.learned.traffic import Traffic
from sageserve_agents.playing import begin
from sageserve_env.env import SageServeEnv
from sageserve_env.view import Floats

_LIMIT = 3.0  # of the features, see `features`


class FactoredVecEnv(VecEnv):
    """N clusters of M models as N x M environments.

    Args:
        traffic: Draws the episodes.
        make_agent: Makes the residual agent, whose network is left out.
        clusters: Number of clusters N.
        price: What a miss costs.
        left_factor: Charge for batch work that is left at the end, over its VM price.
        scale_usd: Dollars that a reward of 1 stands for.
        offset: The i-th cluster starts i x ``offset`` decisions into its first episode, so that
            rollouts see all hours of the day.

    Attributes:
        simulator_s: Seconds spent in the simulators so far.
    """

    def __init__(
        self,
        traffic: Traffic,
        make_agent: Callable[[], Residual],
        clusters: int,
        price: Price,
        left_factor: float,
        scale_usd: float,
        offset: int,
    ) -> None:
        self.traffic, self.price = traffic, price
        self.left_factor, self.scale_usd, self.offset = left_factor, scale_usd, offset
        self.agents = [make_agent() for _ in range(clusters)]
        self.envs: list[SageServeEnv] = []
        self.starts = ["fixed"] * clusters
        self.plain = [False] * clusters
        self.bills: list[Bill] = []
        self.models = len(traffic.scenario.models)
        self.simulator_s = 0.0
        tiers = traffic.scenario.tiers
        self.interactive = np.array([t.interactive for t in tiers])
        self.batch_usd = np.array([0.0 if t.interactive else t.miss_usd for t in tiers])
        self._actions: NDArray[Any] = np.zeros(0)
        self.render_mode = None
        space = gym.spaces.Box(-_LIMIT, _LIMIT, (len(FEATURES),), np.float32)
        actions = gym.spaces.Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        super().__init__(clusters * self.models, space, actions)

    def reset(self) -> NDArray[np.float32]:
        """Start new episodes everywhere and play the first ones up to their offsets."""
        rows = []
        self.envs, self.bills = [], []
        nothing = np.zeros((self.models, len(ACTIONS)))
        for i in range(len(self.agents)):
            self.envs.append(SageServeEnv(scenario=self.traffic.scenario))
            self.starts[i] = "fixed"
            self.bills.append(Bill(np.zeros(0), np.zeros(0), np.zeros(0)))
            row = self._begin(i)
            for _ in range(i * self.offset):
                self.envs[i].step_cluster(self.agents[i].decide(self.envs[i].view(), nothing))
                row = self.agents[i].observe(self.envs[i].view())
            self.bills[i] = Bill.of(self.envs[i])
            rows.append(row)
        return np.concatenate(rows).astype(np.float32)

    def _begin(self, i: int) -> Floats:
        scenario, start, seed = self.traffic.draw()
        self.plain[i] = start == "fixed" and scenario == self.traffic.scenario
        if scenario != self.envs[i].scenario or self.starts[i] != start:
            self.envs[i].close()
            self.starts[i] = start
            self.envs[i] = SageServeEnv(scenario=scenario, start=start)
        self.envs[i].reset(seed=seed)
        begin(self.envs[i], self.agents[i])
        self.bills[i] = Bill.of(self.envs[i])
        return self.agents[i].observe(self.envs[i].view())

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions until `step_wait`."""
        self._actions = actions.reshape(len(self.agents), self.models, -1).astype(np.float64)

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step every cluster; those that end begin a new episode at once."""
        rows, rewards, ends = [], [], []
        infos: list[dict[str, Any]] = []
        for i, (env, agent) in enumerate(zip(self.envs, self.agents, strict=True)):
            action = agent.decide(env.view(), self._actions[i])
            began = time.perf_counter()
            _, _, _, over, _ = env.step_cluster(action)
            self.simulator_s += time.perf_counter() - began
            bill = Bill.of(env)
            reward = -self._usd(bill.minus(self.bills[i])) / self.scale_usd
            self.bills[i] = bill
            row = agent.observe(env.view())
            each: list[dict[str, Any]] = [{} for _ in range(self.models)]
            if over:
                reward -= self.left_factor * left_usd(env) / self.scale_usd
                if self.plain[i]:
                    good, bad = bill.attained.sum(axis=0), bill.missed.sum(axis=0)
                    self.price.update(good[self.interactive], bad[self.interactive])
                each = [
                    {"terminal_observation": last, "TimeLimit.truncated": True}
                    for last in row.astype(np.float32)
                ]
                row = self._begin(i)
            rows.append(row)
            rewards.append(reward)
            ends += [over] * self.models
            infos += each
        observation = np.concatenate(rows).astype(np.float32)
        return observation, np.concatenate(rewards).astype(np.float32), np.array(ends), infos

    def _usd(self, change: Bill) -> Floats:
        """Return what a step cost per model, [M]."""
        misses = change.missed[:, self.interactive].sum(axis=1)
        usd: Floats = change.usd + self.price.usd * misses + change.missed @ self.batch_usd
        return usd

    # -- the rest of the interface --------------------------------------------------------------

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """Return an attribute, the same for all."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(
        self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None
    ) -> None:
        """Set an attribute of all."""
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Refuse: the small problems have no methods of their own."""
        raise NotImplementedError(f"FactoredVecEnv: {method_name}")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Return False for each: the environments are not wrapped."""
        return [False for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Do nothing: the traffic has its own seed."""
        return [seed] * self.num_envs
