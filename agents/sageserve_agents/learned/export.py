"""From a policy of Stable-Baselines3 to the arrays of `Mlp`, which act without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def actor_layers(policy: Any) -> list[torch.nn.Linear]:
    """Return the linear layers from the observation to the mean action, or to the logits.

    Args:
        policy: Of PPO, MaskablePPO, SAC or TQC with an ``MlpPolicy``.

    Raises:
        ValueError: If it is none of these.
    """
    if hasattr(policy, "actor") and hasattr(policy.actor, "latent_pi"):
        body, head = policy.actor.latent_pi, policy.actor.mu
    elif hasattr(policy, "mlp_extractor") and not hasattr(policy, "lstm_actor"):
        body, head = policy.mlp_extractor.policy_net, policy.action_net
    else:
        raise ValueError(f"{type(policy).__name__} is no network of plain layers")
    return [*(layer for layer in body if isinstance(layer, torch.nn.Linear)), head]


def arrays_of(layers: Sequence[torch.nn.Linear]) -> dict[str, NDArray[np.float32]]:
    """Return layers as the arrays of `Mlp`."""
    weights = {f"weight_{i}": n.weight.detach().numpy().T.copy() for i, n in enumerate(layers)}
    return weights | {f"bias_{i}": n.bias.detach().numpy().copy() for i, n in enumerate(layers)}


def network_of(policy: Any) -> dict[str, Any]:
    """Return what beside the arrays is needed to act: the activation, and whether tanh squashes."""
    squash = hasattr(policy, "actor")
    body = policy.actor.latent_pi if squash else policy.mlp_extractor.policy_net
    return {"activation": type(body[1]).__name__.lower(), "squash": squash}
