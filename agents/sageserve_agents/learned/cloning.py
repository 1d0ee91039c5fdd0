"""Behaviour cloning: a network learns to answer as an agent does, before it learns by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sageserve_agents.learned.codec import Codec
from sageserve_agents.learned.run import Run
from sageserve_agents.playing import Decision, rollout
from sageserve_agents.registry import make_agent
from sageserve_env.env import SageServeEnv
from sageserve_env.workload import TRAIN_SEEDS

_BATCH = 256
_LEARNING_RATE = 1e-3


def imitate(run: Run, policy: Any) -> float:
    """Fit the mean action of an actor-critic policy to an agent's targets; return the last error.

    Args:
        run: Names the agent, the episodes and the passes.
        policy: Policy of PPO with continuous actions.
    """
    observations, actions = demonstrations(run)
    rng = np.random.default_rng(run.args.seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=_LEARNING_RATE)
    policy.set_training_mode(True)
    error = float("nan")
    for epoch in range(run.args.warm_start_epochs):
        errors = []
        order = rng.permutation(len(actions))
        for low in range(0, len(order), _BATCH):
            batch = order[low : low + _BATCH]
            seen = {k: torch.as_tensor(v[batch]) for k, v in observations.items()}
            latent = policy.mlp_extractor.forward_actor(policy.extract_features(seen))
            loss = ((policy.action_net(latent) - torch.as_tensor(actions[batch])) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            errors.append(float(loss.detach()))
        error = float(np.mean(errors))
        run.report(0, run.args.steps, f"imitation, pass {epoch + 1}: squared error {error:.5f}")
    return error


def demonstrations(run: Run) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what the agent saw and did: observations by name [N, ...] and actions [N, A]."""
    args = run.args
    assert args.warm_start is not None
    agent = make_agent(args.warm_start)
    scenario = run.scenario.replace(batching={"discipline": args.discipline})
    env = SageServeEnv(scenario=scenario, control="scaling", observation_mode=args.observation_mode)
    rng = np.random.default_rng(args.seed)
    seen: dict[str, list[Any]] = {}
    done: list[Any] = []
    codec: Codec | None = None

    def watch(decision: Decision) -> None:
        nonlocal codec
        if decision.step == 1:
            codec = Codec(scenario, decision.view, args.observation_mode)
        if (decision.step - 1) % args.action_repeat == 0:
            assert codec is not None
            observation = codec.observation(decision.view)
            assert isinstance(observation, dict)
            for name, value in observation.items():
                seen.setdefault(name, []).append(value)
            done.append(codec.actions_of(decision.action.instances))

    for seed in rng.integers(0, TRAIN_SEEDS, args.warm_start_episodes):
        rollout(env, agent, int(seed), label=args.warm_start, watch=watch)
    env.close()
    return {name: np.stack(values) for name, values in seen.items()}, np.stack(done)
