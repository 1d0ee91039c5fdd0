"""Which script trains which agent."""

from __future__ import annotations

import importlib
from pathlib import Path

from sageserve_agents.learned.arguments import TrainArgs
from sageserve_agents.learned.extra import require
from sageserve_agents.learned.run import OnProgress, Result, Run

SCRIPTS = {
    "residual-es": "train_residual_es",
    "residual-ppo": "train_residual_ppo",
}
"""Agent to module of this package with a function ``train(run)``."""


def train(args: TrainArgs, folder: Path, report: OnProgress | None = None) -> Result:
    """Train an agent in a folder, or go on where an interrupted run of the same arguments stopped.

    Args:
        args: What to train.
        folder: Gets ``policy.npz`` and ``card.json`` of the best checkpoint, ``last/``,
            ``curve.csv``, TensorBoard events and the state for resumption.
        report: Told steps done, steps wanted, and a line of figures.

    Raises:
        ImportError: If the `[learn]` extra is missing.
        ValueError: If an argument is wrong or the folder holds another run.
    """
    require("training", "torch", "stable_baselines3", "sb3_contrib", "tensorboard")
    run = Run(args, folder, report)
    module = importlib.import_module(f"sageserve_agents.learned.{SCRIPTS[args.agent]}")
    module.train(run)
    return run.result()
