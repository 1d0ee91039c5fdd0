"""Networks with weights shared over endpoints, for Stable-Baselines3.

One policy serves any number of regions and models: the same layers read every endpoint, a mean over
the endpoints of the model and one over all of them tell each what the others do (Deep Sets, Zaheer
et al., arXiv 1703.06114), or attention does (``attention``), and the same last layer gives every
endpoint its action. Nothing in it depends on the number of endpoints but the exploration noise,
which is not part of a checkpoint.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

POOLS = ("sets", "attention")


class EndpointExtractor(BaseFeaturesExtractor):
    """From an ``endpoints`` observation to one row of features per endpoint, flattened [B, E H].

    Args:
        observation_space: The Dict of the environment.
        width: Features per endpoint, H.
        pool: How endpoints see each other: ``sets`` or ``attention``.
    """

    def __init__(
        self, observation_space: gym.spaces.Dict, width: int = 32, pool: str = "sets"
    ) -> None:
        shapes = {name: space.shape for name, space in observation_space.spaces.items()}
        endpoints, columns = shapes["endpoints"]  # type: ignore[misc]
        models, regions, rates = shapes["demand"]  # type: ignore[misc]
        super().__init__(observation_space, endpoints * width)
        self.models, self.regions, self.endpoints = models, regions, endpoints
        self.pools = endpoints // (models * regions)
        per_model = shapes["models"][1]  # type: ignore[index]
        inputs = columns + 2 * rates + per_model + shapes["globals"][0]  # type: ignore[index]
        self.width = width
        self.own = nn.Sequential(nn.Linear(inputs, width), nn.Tanh())
        self.attention = (
            nn.MultiheadAttention(width, 2, batch_first=True) if pool == "attention" else None
        )
        self.joint = nn.Sequential(nn.Linear(3 * width, width), nn.Tanh())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the features, [B, E H]."""
        own = self.own(self._rows(observations))  # [B, E, H]
        batch = own.shape[0]
        of_model = own.reshape(batch, self.models, -1, self.width).mean(dim=2, keepdim=True)
        of_model = of_model.expand(-1, -1, self.regions * self.pools, -1).reshape(own.shape)
        if self.attention is None:
            of_all = own.mean(dim=1, keepdim=True).expand(-1, self.endpoints, -1)
        else:
            of_all = self.attention(own, own, own, need_weights=False)[0]
        joint: Tensor = self.joint(torch.cat([own, of_model, of_all], dim=2))
        return joint.flatten(1)

    def _rows(self, observations: dict[str, Tensor]) -> Tensor:
        """Return what each endpoint sees of itself, its model, its region and the time."""
        demand = observations["demand"]  # [B, M, R, D]
        batch = demand.shape[0]
        home = demand.unsqueeze(3).expand(-1, -1, -1, self.pools, -1)
        total = demand.mean(dim=2, keepdim=True).unsqueeze(3).expand(home.shape)
        model = observations["models"].reshape(batch, self.models, 1, 1, -1)
        model = model.expand(-1, -1, self.regions, self.pools, -1)
        time = observations["globals"].reshape(batch, 1, 1, 1, -1)
        time = time.expand(-1, self.models, self.regions, self.pools, -1)
        shared = torch.cat([home, total, model, time], dim=4).reshape(batch, self.endpoints, -1)
        return torch.cat([observations["endpoints"], shared], dim=2)


class PerEndpoint(nn.Module):
    """The same linear layer for every endpoint: [B, E H] to [B, E A]."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the actions of all endpoints."""
        rows = features.reshape(features.shape[0], -1, self.width)
        result: Tensor = self.layer(rows).flatten(1)
        return result


class MeanValue(nn.Module):
    """The value of a state: a network on the mean over endpoints, [B, E H] to [B, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the values."""
        mean = features.reshape(features.shape[0], -1, self.width).mean(dim=1)
        result: Tensor = self.layers(mean)
        return result


class SharedPolicy(MultiInputActorCriticPolicy):
    """Actor and critic of PPO with weights shared over endpoints.

    The untrained policy answers 0 for every endpoint, the scenario's own fleet.

    Args:
        *args: As `MultiInputActorCriticPolicy`.
        width: Features per endpoint.
        pool: ``sets`` or ``attention``.
        **keywords: As `MultiInputActorCriticPolicy`.
    """

    def __init__(self, *args: Any, width: int = 32, pool: str = "sets", **keywords: Any) -> None:
        self._width = width
        keywords["features_extractor_class"] = EndpointExtractor
        keywords["features_extractor_kwargs"] = {"width": width, "pool": pool}
        keywords["net_arch"] = []
        keywords["ortho_init"] = False
        super().__init__(*args, **keywords)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        extractor = self.features_extractor
        assert isinstance(extractor, EndpointExtractor)
        actions = int(self.action_space.shape[0])  # type: ignore[index]
        if actions % extractor.endpoints:
            raise ValueError("the shared policy needs every VM type to be usable everywhere")
        self.action_net = PerEndpoint(self._width, actions // extractor.endpoints)
        self.value_net = MeanValue(self._width)  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )
