"""Learning with Stable-Baselines3 in the folder of a run, with evaluations and resumption."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sageserve_agents.base import Agent
from sageserve_agents.learned.run import Run


def prepare(run: Run) -> None:
    """Fix everything random and the number of threads, so that a run can be repeated."""
    torch.set_num_threads(run.args.threads)
    torch.use_deterministic_algorithms(True)
    set_random_seed(run.args.seed)


def learn(
    run: Run,
    model: BaseAlgorithm,
    vec: VecEnv,
    network: Mapping[str, Any],
    make: Callable[..., Agent],
    arrays: Callable[[], dict[str, NDArray[np.float32]]],
) -> None:
    """Evaluate, learn with evaluations, and keep what resumption needs.

    Args:
        run: The run.
        model: The algorithm, at its start.
        vec: Its environments.
        network: What rebuilds the network, for the card.
        make: Makes the agent from ``held=`` a checkpoint.
        arrays: Returns the weights.
    """
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
        figures = run.note(self.arrays(), self.make, self.network, extra)
        for name, value in figures.items():
            self.logger.record(f"validation/{name}", value)
        torch.save(self.model.get_parameters(), run.state / "parameters.pt")
        run.keep_state()
        self._evaluating_s += time.perf_counter() - began
