"""`parallel_env`: the cluster as a PettingZoo environment with one agent per region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env.action_modes import element_of
from sageserve_env.arguments import RESET_OPTIONS, checked_options
from sageserve_env.env import SageServeEnv
from sageserve_env.extras import install_command
from sageserve_env.observe import blocks
from sageserve_env.scenario import Scenario

try:
    from pettingzoo import ParallelEnv
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        f"parallel_env needs PettingZoo; install it with: {install_command('marl')}"
    ) from error

Floats = NDArray[np.float32]


def parallel_env(**keywords: Any) -> RegionalEnv:
    """Return the environment with one agent per region.

    Args:
        **keywords: Arguments of `SageServeEnv`; actions are continuous or discrete, observations
            flat, the reward a scalar.

    Raises:
        ValueError: If an argument is unknown or unusable here.
    """
    return RegionalEnv(**keywords)


class RegionalEnv(ParallelEnv):  # type: ignore[misc]
    """One agent per region, which decides for the endpoints of its region.

    An agent is named after its region. Its action is its part of the action of `SageServeEnv`: the
    targets and ceilings of its endpoints and the routing of the requests that originate in it
    (what belongs to no region is decided together: discrete presets by majority, ties by the lowest
    number, continuous entries by the mean).
    It observes its endpoints, the demand of its region, the routing of its requests, all models and
    regions, and the time. All agents receive the same reward, that of the whole cluster. Episodes
    end by truncation, for all agents at once.

    Args:
        **keywords: Arguments of `SageServeEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as the base class declares it
        **SageServeEnv.metadata,
        "name": "sageserve_v0",
        "is_parallelizable": True,
    }

    def __init__(self, **keywords: Any) -> None:
        for key, bad in (("action_mode", "structured"), ("observation_mode", "endpoints")):
            if keywords.get(key) == bad:
                raise ValueError(f"parallel_env: {key} {bad!r} cannot be divided among regions")
        self.env = SageServeEnv(**keywords)
        if self.env.reward.vector:
            raise ValueError("parallel_env: the reward must be a scalar")
        self.scenario = self.env.scenario
        self.render_mode = self.env.render_mode
        self.possible_agents = list(self.scenario.region_names)
        self.agents: list[str] = []
        self._observed = {a: _observed_by(self.scenario, a) for a in self.possible_agents}
        self._decided, self._common = _decided_by(self.env)
        box = self.env.observation_space
        assert isinstance(box, gym.spaces.Box)
        self.observation_spaces = {
            a: gym.spaces.Box(box.low[i], box.high[i], dtype=np.float32)
            for a, i in self._observed.items()
        }
        self.action_spaces = {a: self._action_space(a) for a in self.possible_agents}

    def _action_space(self, agent: str) -> gym.Space[Any]:
        space = self.env.action_space
        entries = np.concatenate([self._decided[agent], self._common])
        if isinstance(space, gym.spaces.MultiDiscrete):
            return gym.spaces.MultiDiscrete(space.nvec[entries])
        return gym.spaces.Box(-1.0, 1.0, (len(entries),), np.float32)

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """Return the observation space of an agent."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        """Return the action space of an agent."""
        return self.action_spaces[agent]

    def observation_names(self, agent: str) -> tuple[str, ...]:
        """Return the names of the entries of an agent's observation."""
        return tuple(self.env.observation_names[i] for i in self._observed[agent])

    def action_names(self, agent: str) -> tuple[str, ...]:
        """Return the names of the entries of an agent's action."""
        entries = np.concatenate([self._decided[agent], self._common])
        return tuple(self.env.action_names[i] for i in entries)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, dict[str, Any]]]:
        """Start an episode, see `SageServeEnv.reset`; options of others are passed over."""
        known = {k: v for k, v in checked_options(options).items() if k in RESET_OPTIONS}
        observation, info = self.env.reset(seed=seed, options=known)
        self.agents = list(self.possible_agents)
        return self._share(observation), self._infos(info)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Floats],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Step with one action of every agent.

        Raises:
            ValueError: If an action is missing or outside its space; nothing has changed then.
        """
        observation, reward, _, truncated, info = self.env.step(self._joint(actions))
        agents = self.agents
        if truncated:
            self.agents = []
        return (
            self._share(observation),
            dict.fromkeys(agents, float(reward)),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, truncated),
            self._infos(info, agents),
        )

    def _joint(self, actions: dict[str, Any]) -> NDArray[Any]:
        """Return the action of the whole cluster."""
        if not self.agents:
            raise gym.error.ResetNeeded("call reset() before step(), and after the end")
        if not isinstance(actions, Mapping) or set(actions) != set(self.agents):
            names = ", ".join(map(str, actions)) if isinstance(actions, Mapping) else repr(actions)
            raise ValueError(
                f"actions: expected one for each of {', '.join(self.agents)}, got {names or 'none'}"
            )
        joint = np.zeros(self.env.action_space.shape or (), self.env.action_space.dtype)
        votes = []
        for agent in self.agents:
            space = self.action_spaces[agent]
            action = element_of(space, actions[agent], self.env.clip_actions)
            if action is None:
                raise ValueError(
                    f"actions: {agent}: expected an element of {space}, got {actions[agent]!r}"
                )
            own = len(self._decided[agent])
            joint[self._decided[agent]] = action[:own]
            votes.append(action[own:])
        if np.issubdtype(joint.dtype, np.floating):
            joint[self._common] = np.mean(votes, axis=0)
        else:
            for entry, cast in zip(self._common, np.transpose(votes), strict=True):
                joint[entry] = np.bincount(cast).argmax()
        return joint

    def _share(self, observation: Any) -> dict[str, Floats]:
        return {a: observation[i] for a, i in self._observed.items()}

    def _infos(
        self, info: dict[str, Any], agents: list[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the info of the cluster for every agent, with its own part of the mask."""
        mask = info.get("action_mask")
        return {
            agent: {
                **info,
                **({} if mask is None else {"action_mask": self._own_mask(agent, mask)}),
            }
            for agent in (self.agents if agents is None else agents)
        }

    def _own_mask(self, agent: str, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        space = self.env.action_space
        assert isinstance(space, gym.spaces.MultiDiscrete)
        ends = np.cumsum(space.nvec)
        entries = np.concatenate([self._decided[agent], self._common])
        return np.concatenate([mask[ends[i] - space.nvec[i] : ends[i]] for i in entries])

    def state(self) -> Floats:
        """Return the flat observation of the whole cluster, for centralised training."""
        return self.env.flat_observation.copy()

    @property
    def state_space(self) -> gym.Space[Any]:
        """Space of `state`."""
        return self.env.observation_space

    def render(self) -> Any:
        """Render the cluster."""
        return self.env.render()

    def close(self) -> None:
        """Close the window."""
        self.env.close()


def _observed_by(scenario: Scenario, region: str) -> NDArray[np.int64]:
    """Return the entries of the flat observation that a region sees."""
    r = scenario.region_names.index(region)
    entries: list[NDArray[np.int64]] = []
    start = 0
    for block in blocks(scenario):
        size = len(block.names)
        index = np.arange(start, start + size).reshape(block.shape)
        if block.name == "endpoints":
            here = [i for i, e in enumerate(scenario.endpoints) if e.region == region]
            index = index[here]
        elif block.name in {"demand", "routing"}:
            index = index[:, r]
        entries.append(index.ravel())
        start += size
    return np.concatenate(entries)


def _decided_by(env: SageServeEnv) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Return the entries of the action that each region decides, and those that none owns."""
    owners = env.action_owners
    mine = {name: np.flatnonzero(owners == r) for r, name in enumerate(env.scenario.region_names)}
    return mine, np.flatnonzero(owners == -1)
