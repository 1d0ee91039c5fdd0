"""Train `residual-ppo`: the residual policy by PPO, every model an environment of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from sageserve_agents.learned.bill import Price
from sageserve_agents.learned.checkpoint import load
from sageserve_agents.learned.export import actor_layers, arrays_of
from sageserve_agents.learned.factored import FactoredVecEnv
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.learned.residual import Residual, ResidualOptions, ResidualPpo
from sageserve_agents.learned.run import Run
from sageserve_agents.learned.sb3 import learn, prepare
from sageserve_agents.learned.traffic import Randomisation, Traffic


def train(run: Run) -> None:
    """Train in the run's folder; a step is a decision for one model."""
    prepare(run)
    args = run.args
    policy = dict(args.policy)
    cluster: dict[str, Any] = dict(policy.pop("cluster", {}))
    hidden = list(policy.pop("hidden", []))
    start = policy.pop("start_from", None)
    randomisation = Randomisation(args.randomise_share, tuple(args.randomise))
    rng = np.random.default_rng(args.seed + 1_000_003 * run.steps)
    options = ResidualOptions(**{**args.options, "checkpoint": "rule"})
    vec = FactoredVecEnv(
        Traffic(run.scenario, randomisation, rng),
        partial(Residual, options),
        args.num_envs,
        Price(cluster["miss_usd"], cluster["aim"], cluster["price_rate"]),
        cluster["left_factor"],
        cluster["scale_usd"],
        _decisions(run) // args.num_envs,
    )
    keywords = {**policy, "net_arch": {"pi": hidden, "vf": [64, 64]}}
    model = PPO(
        "MlpPolicy", vec, policy_kwargs=keywords, seed=args.seed, device="cpu", **args.algorithm
    )
    network: Any = model.policy
    with torch.no_grad():  # the untrained policy is the rule, or what it is started from
        network.action_net.weight.zero_()
        network.action_net.bias.zero_()
        if start is not None:
            _set(network, Mlp.from_arrays(load(start).arrays))
    learn(
        run,
        model,
        vec,
        {"kind": "residual", "hidden": hidden},
        partial(ResidualPpo, options),
        partial(_arrays, model),
    )
    vec.close()


def _arrays(model: PPO) -> dict[str, NDArray[np.float32]]:
    return arrays_of(actor_layers(model.policy))


def _set(policy: Any, network: Mlp) -> None:
    for layer, weight, bias in zip(
        actor_layers(policy), network.weights, network.biases, strict=True
    ):
        layer.weight.copy_(torch.as_tensor(weight.T))
        layer.bias.copy_(torch.as_tensor(bias))


def _decisions(run: Run) -> int:
    return round(run.scenario.horizon_s / run.scenario.decision_interval_s)
