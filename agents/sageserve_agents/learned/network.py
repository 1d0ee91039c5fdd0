"""Agents that act with a network which was trained on an environment id; NumPy is enough.

A checkpoint says in which arguments of `SageServeEnv` it was trained; the agent observes and acts
in the same form (`Codec`), so it decides as the policy of Stable-Baselines3 does in `gym.make`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.learned.checkpoint import Checkpoint, load, shipped
from sageserve_agents.learned.codec import Codec
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.options import Options, option
from sageserve_agents.parameters import ServiceKnob, Tunable
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_traces.trace import DemandSeries

KIND = "policy of an environment"
"""What the card of such a checkpoint says of its network."""


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Options of agents with a network.

    Attributes:
        checkpoint: Folder of a trained policy or name of a shipped one; that of the scenario where
            one ships for it.
    """

    checkpoint: str | None = None


@dataclass(frozen=True)
class ContinuousOptions(NetworkOptions):
    """Options of those whose actions are continuous.

    Attributes:
        headroom: Factor on the targets, by which cost is traded for service.
    """

    headroom: float = option(1.0, above=0)


class Network:
    """A network that decides what it was trained to; all else is as the scenario has it.

    Args:
        options: Options.
        held: A checkpoint in memory instead of one that is read.

    Raises:
        ValueError: If there is no such checkpoint, or it is of another agent.
    """

    name: str = ""
    pooling: str = "unified"
    clairvoyant: bool = False
    options_type: ClassVar[type[Any]] = ContinuousOptions
    tunable: ClassVar[Tunable] = {}
    service_knob: ClassVar[ServiceKnob | None] = ServiceKnob("headroom", 0.3, 3.0, log=True)

    def __init__(self, options: Any = None, held: Checkpoint | None = None) -> None:
        self.options: Any = options if options is not None else self.options_type()
        if held is None and self.options.checkpoint is None:
            raise ValueError(self._none())
        self.held = held or load(self.options.checkpoint, self.name)
        network: Any = self.held.card.get("network", {})
        if network.get("kind") != KIND:
            raise ValueError(f"agent {self.name!r}: the checkpoint holds no {KIND}")
        self.policy = Mlp.from_arrays(self.held.arrays, str(network["activation"]))
        self.squash = bool(network["squash"])

    def _none(self) -> str:
        own = [n for n in shipped() if n.startswith(f"{self.name}-")]
        where = f"only {', '.join(own)}" if own else "none"
        return (
            f"agent {self.name!r}: no checkpoint ships for this scenario ({where}); train one with "
            f"'sageserve train --agent {self.name} --env ID --minutes 5 --output DIR' and name it, "
            f"{self.name}:checkpoint=DIR"
        )

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode; the first view tells what instances sustain."""
        self.scenario = scenario
        self.codec: Codec | None = None

    def act(self, view: ClusterView) -> ClusterAction:
        """Ask the network."""
        if self.codec is None:
            self.codec = self._fitting(view)
        observation = self.codec.observation(view)
        assert isinstance(observation, np.ndarray)
        return self.decide(self.codec, view, self.policy(observation.astype(np.float64)))

    def decide(self, codec: Codec, view: ClusterView, outputs: NDArray[Any]) -> ClusterAction:
        """Return the decision for the network's outputs: the mean action."""
        action = np.tanh(outputs) if self.squash else np.clip(outputs, -1.0, 1.0)
        return codec.action(view, action.astype(np.float32), self.options.headroom)

    def _fitting(self, view: ClusterView) -> Codec:
        keywords: Mapping[str, Any] = self.held.card["environment"]
        codec = Codec(self.scenario, view, keywords)
        if codec.layout.size != self.policy.sizes[0]:
            trained = keywords["scenario"]
            raise ValueError(
                f"its checkpoint was trained on {trained!r} and does not fit "
                f"{self.scenario.name!r}, which has other numbers of endpoints or models"
            )
        return codec


class Ppo(Network):
    """PPO of Stable-Baselines3."""

    name = "ppo"


class Sac(Network):
    """SAC of Stable-Baselines3."""

    name = "sac"


class Tqc(Network):
    """TQC of SB3-Contrib."""

    name = "tqc"


class MaskablePpo(Network):
    """MaskablePPO of SB3-Contrib on discrete choices; those that lead nowhere are masked."""

    name = "maskable-ppo"
    options_type = NetworkOptions
    service_knob = None  # its changes stand on the targets in force: a factor would pile up

    def decide(self, codec: Codec, view: ClusterView, outputs: NDArray[Any]) -> ClusterAction:
        """Return the likeliest choices."""
        return codec.action(view, codec.likeliest(view, outputs))
