"""What the training scripts on Stable-Baselines3 share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sageserve_agents.base import Agent
from sageserve_agents.learned.agents import agent_from
from sageserve_agents.learned.run import Run
from sageserve_env.sb3 import Sb3VecEnv
from sageserve_env.scenario import Scenario
from sageserve_env.vector_env import SageServeVectorEnv
from sageserve_env.wrappers import Multiplier

# Not needed to act: critics, and the noise of exploration (whose size depends on the actions).
_NOT_SHIPPED = ("value_net", "critic", "log_std", "vf_features", "pi_features", "optimizer")


def prepare(run: Run) -> None:
    """Fix everything random and the number of threads, so that a run can be repeated."""
    torch.set_num_threads(run.args.threads)
    torch.use_deterministic_algorithms(True)
    set_random_seed(run.args.seed)


def training_scenario(run: Run) -> Scenario:
    """Return the scenario with the queue discipline that the agent will ask for."""
    return run.scenario.replace(batching={"discipline": run.args.discipline})


def make_vec(run: Run, action_mode: str) -> VecEnv:
    """Return the environments to learn in."""
    args = run.args
    keywords: dict[str, Any] = {
        "scenario": training_scenario(run),
        "start": args.start,
        "control": "scaling",
        "action_mode": action_mode,
        "observation_mode": args.observation_mode,
        "reward": "constrained" if args.lagrangian else "dollars",
    }
    multiplier = Multiplier(args.multiplier, args.multiplier_rate) if args.lagrangian else None
    # A run that is resumed draws other episodes than those it has had.
    seed = args.seed + 1_000_003 * run.steps
    adapt = partial(_adapted, keywords, args.action_repeat, args.lagrangian)
    if args.vector == "threads":
        env = SageServeVectorEnv(args.num_envs, threads=args.threads, **keywords)
        return Sb3VecEnv(env, seed, args.action_repeat, multiplier)
    if multiplier is not None:
        raise ValueError("lagrangian needs vector 'threads', where one multiplier serves all")
    single: list[Callable[[], Any]] = [partial(adapt, seed + i) for i in range(args.num_envs)]
    if args.vector == "dummy":
        return DummyVecEnv(single)
    return SubprocVecEnv(single, start_method="spawn")


def _adapted(keywords: dict[str, Any], repeat: int, lagrangian: bool, seed: int) -> Any:
    import gymnasium as gym

    from sageserve_env.env import SageServeEnv
    from sageserve_env.wrappers import ActionRepeat

    env: gym.Env[Any, Any] = SageServeEnv(**keywords)
    if repeat > 1:
        env = ActionRepeat(env, repeat)
    env.reset(seed=seed % 1000)
    return env


def _arrays_of(model: BaseAlgorithm) -> dict[str, NDArray[np.float32]]:
    """Return the weights that are needed to act."""
    policy: torch.nn.Module = model.policy
    return {
        name: value.detach().cpu().numpy().astype(np.float32)
        for name, value in policy.state_dict().items()
        if not any(part in name for part in _NOT_SHIPPED)
    }


def learn(
    run: Run,
    model: BaseAlgorithm,
    vec: VecEnv,
    network: Mapping[str, Any],
    make: Callable[..., Agent] | None = None,
    arrays: Callable[[], dict[str, NDArray[np.float32]]] | None = None,
) -> None:
    """Evaluate, learn with evaluations, and keep what resumption needs.

    Args:
        run: The run.
        model: The algorithm, at its start.
        vec: Its environments.
        network: What rebuilds the network, for the card.
        make: Makes the agent from ``held=`` a checkpoint; default that of its name.
        arrays: Returns the weights; default those of the policy that are needed to act.
    """
    make = make or partial(agent_from, run.args.agent, run.args.options)
    arrays = arrays or partial(_arrays_of, model)
    model.set_logger(configure(str(run.folder), ["tensorboard", "csv"]))
    file = run.state / "parameters.pt"
    if run.resumed and file.is_file():
        model.set_parameters(torch.load(file, weights_only=True))
        model.num_timesteps = run.steps
    else:
        run.note(arrays(), make, network)
    if run.steps >= run.args.steps:
        return
    callback = _Watch(run, arrays, make, network, vec)
    model.learn(
        run.args.steps - run.steps, callback, log_interval=1, reset_num_timesteps=not run.resumed
    )


class _Watch(BaseCallback):
    """Reports progress and evaluates between rollouts."""

    def __init__(
        self,
        run: Run,
        arrays: Callable[[], dict[str, NDArray[np.float32]]],
        make: Callable[..., Agent],
        network: Mapping[str, Any],
        vec: VecEnv,
    ) -> None:
        super().__init__()
        self.run, self.arrays, self.make, self.network, self.vec = run, arrays, make, network, vec
        self._began = time.perf_counter()
        self._evaluating_s = 0.0
        self._first_step = run.steps
        self._last = run.steps

    def _on_step(self) -> bool:
        self.run.steps = self.num_timesteps
        return True

    def _on_rollout_start(self) -> None:
        # The policy has just been updated (and is untouched at the very start).
        if self.num_timesteps > self._last:
            self._look()

    def _on_training_end(self) -> None:
        self._look()

    def _look(self) -> None:
        run, before = self.run, self._last
        run.steps = self._last = self.num_timesteps
        run.report(run.steps, run.args.steps, "")
        if not run.due(before, run.steps) or (run.curve and run.curve[-1]["steps"] == run.steps):
            return
        began = time.perf_counter()
        spent = began - self._began - self._evaluating_s
        extra = {"steps_per_s": (run.steps - self._first_step) / max(spent, 1e-9)}
        if hasattr(self.vec, "simulator_s"):
            extra["simulator_share"] = self.vec.simulator_s / max(spent, 1e-9)
        if hasattr(self.vec, "price"):
            extra["miss_usd"] = self.vec.price.usd
        if isinstance(self.vec, Sb3VecEnv):
            if self.vec.multiplier is not None:
                extra["multiplier"] = self.vec.multiplier.value
        figures = run.note(self.arrays(), self.make, self.network, extra)
        for name, value in figures.items():
            self.logger.record(f"validation/{name}", value)
        torch.save(self.model.get_parameters(), run.state / "parameters.pt")
        run.keep_state()
        self._evaluating_s += time.perf_counter() - began
