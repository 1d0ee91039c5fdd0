"""Agents that act with a network trained by Stable-Baselines3."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_agents.learned.checkpoint import Checkpoint, load
from sageserve_agents.learned.codec import Codec
from sageserve_agents.learned.extra import require
from sageserve_agents.options import Options, option
from sageserve_agents.parameters import ServiceKnob, Tunable
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Ints
from sageserve_traces.trace import DemandSeries


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """Options of the agents that are trained by Stable-Baselines3.

    Attributes:
        checkpoint: Folder of a trained policy or name of a shipped one; None is the agent's own.
    """

    checkpoint: str | None = None


@dataclass(frozen=True)
class Sb3Options(CheckpointOptions):
    """Options of those whose actions are targets.

    Attributes:
        headroom: Factor on the targets, by which cost is traded for service.
    """

    headroom: float = option(1.0, above=0)


class Sb3Agent:
    """A network that sets the targets of all endpoints; requests go to the least wait.

    Args:
        options: Options.
        held: A checkpoint in memory instead of one that is read.

    Raises:
        ImportError: If the `[learn]` extra is missing.
        ValueError: If there is no such checkpoint, or it is of another agent.
    """

    name: str = ""
    pooling: str = "unified"
    clairvoyant: bool = False
    options_type: ClassVar[type[Any]] = Sb3Options
    tunable: ClassVar[Tunable] = {}
    service_knob: ClassVar[ServiceKnob | None] = ServiceKnob("headroom", 0.3, 3.0, log=True)
    package: ClassVar[str] = "stable_baselines3"

    def __init__(self, options: Any = None, held: Checkpoint | None = None) -> None:
        require(f"agent {self.name!r}", "torch", self.package)
        self.options: Any = options if options is not None else self.options_type()
        self.held = held or load(self.options.checkpoint or self.name, self.name)
        self.planner_failures = 0

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode; the network is built at the first view, which has the fleet."""
        import torch

        torch.set_num_threads(1)
        self.scenario = scenario
        self.endpoints = Endpoints.of(scenario)
        self.codec: Codec | None = None
        self.policy: Any = None
        self._left = 0
        self._targets: Ints = np.zeros((0, 0), dtype=np.int64)

    def act(self, view: ClusterView) -> ClusterAction:
        """Ask the network, or keep its last targets between its decisions."""
        if self.codec is None:
            arguments = self.held.card["arguments"]
            self.codec = Codec(self.scenario, view, arguments["observation_mode"])
            self.policy = self.build(self.codec, view)
            self._left = 0
        if self._left == 0:
            self._targets = self.targets(self.codec, view)
            self._left = int(self.held.card["arguments"]["action_repeat"])
        self._left -= 1
        discipline = str(self.held.card["arguments"]["discipline"])
        return ClusterAction(self._targets, discipline=discipline)

    @abstractmethod
    def targets(self, codec: Codec, view: ClusterView) -> Ints:
        """Return the targets of the network for a view, [E, G]."""

    @abstractmethod
    def policy_class(self) -> type[Any]:
        """Return the class of the network."""

    def action_space(self, codec: Codec) -> Any:
        """Return the action space for the codec's scenario."""
        import gymnasium as gym

        return gym.spaces.Box(-1.0, 1.0, (codec.size,), np.float32)

    def build(self, codec: Codec, view: ClusterView) -> Any:
        """Return the network for a scenario with the weights of the checkpoint.

        Raises:
            ValueError: If the weights do not fit the scenario.
        """
        import torch

        cls = self.policy_class()
        keywords = dict(self.held.card["network"]["keywords"])
        policy = cls(codec.layout.space, self.action_space(codec), lambda _: 0.0, **keywords)
        weights = {k: torch.as_tensor(np.asarray(v)) for k, v in self.held.arrays.items()}
        wanted = policy.state_dict()
        for name, value in weights.items():
            if name not in wanted or wanted[name].shape != value.shape:
                trained = self.held.card["arguments"]["scenario"]
                raise ValueError(
                    f"agent {self.name!r}: its checkpoint was trained on {trained!r} and does not "
                    f"fit {self.scenario.name!r}, which has other numbers of endpoints or models"
                )
        policy.load_state_dict(weights, strict=False)
        policy.set_training_mode(False)
        return policy


class Continuous(Sb3Agent):
    """An agent with continuous actions."""

    def targets(self, codec: Codec, view: ClusterView) -> Ints:
        """Return the targets of the mean action."""
        action, _ = self.policy.predict(codec.observation(view), deterministic=True)
        return codec.targets(action, self.options.headroom)


class Ppo(Continuous):
    """PPO with weights shared over endpoints; fits any number of regions and models."""

    name = "ppo"

    def policy_class(self) -> type[Any]:
        """Return the shared policy."""
        from sageserve_agents.learned.shared_policy import SharedPolicy

        return SharedPolicy


class Sac(Continuous):
    """SAC on the flat observation."""

    name = "sac"

    def policy_class(self) -> type[Any]:
        """Return SAC's policy."""
        from stable_baselines3.sac.policies import SACPolicy

        return SACPolicy


class MaskablePpo(Sb3Agent):
    """PPO on changes of -2 to +2 instances; impossible changes are masked."""

    name = "maskable-ppo"
    package = "sb3_contrib"
    options_type = CheckpointOptions
    service_knob = None  # its changes stand on the targets in force: a factor would pile up

    def policy_class(self) -> type[Any]:
        """Return the policy with masks."""
        from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

        return MaskableActorCriticPolicy

    def action_space(self, codec: Codec) -> Any:
        """Return the space of changes."""
        import gymnasium as gym

        from sageserve_env.forms import CHOICES

        return gym.spaces.MultiDiscrete(np.full(codec.size, CHOICES))

    def targets(self, codec: Codec, view: ClusterView) -> Ints:
        """Return the targets after the likeliest changes."""
        choice, _ = self.policy.predict(
            codec.observation(view), deterministic=True, action_masks=codec.mask(view)
        )
        return codec.changed(view, np.asarray(choice, dtype=np.int64))


class RecurrentPpo(Continuous):
    """PPO with an LSTM on the flat observation."""

    name = "recurrent-ppo"
    package = "sb3_contrib"

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode with an empty memory."""
        super().reset(scenario, seed, history)
        self._memory: Any = None

    def policy_class(self) -> type[Any]:
        """Return the policy with memory."""
        from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

        return RecurrentActorCriticPolicy

    def targets(self, codec: Codec, view: ClusterView) -> Ints:
        """Return the targets of the mean action, and remember."""
        start = np.array([self._memory is None])
        action, self._memory = self.policy.predict(
            codec.observation(view), self._memory, start, deterministic=True
        )
        return codec.targets(action, self.options.headroom)


BY_NAME: dict[str, type[Sb3Agent]] = {a.name: a for a in (Ppo, Sac, MaskablePpo, RecurrentPpo)}


def agent_from(name: str, options: Mapping[str, Any], held: Checkpoint) -> Sb3Agent:
    """Return the agent of a checkpoint in memory."""
    cls = BY_NAME[name]
    return cls(cls.options_type(**options), held)
