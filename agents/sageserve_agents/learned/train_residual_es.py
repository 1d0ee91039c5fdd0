"""Train `residual-es`: the residual policy by an evolution strategy (see `evolution`)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sageserve_agents.learned.arguments import TrainArgs
from sageserve_agents.learned.evolution import Evolution, EvolutionArgs
from sageserve_agents.learned.extra import require
from sageserve_agents.learned.features import FEATURES
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.learned.residual import ACTIONS, Residual, ResidualEs, ResidualOptions
from sageserve_agents.learned.run import OnProgress, Result, Run
from sageserve_agents.learned.traffic import Randomisation


def train(args: TrainArgs, folder: Path, report: OnProgress | None = None) -> Result:
    """Train in a folder, or go on where an interrupted run of the same arguments stopped.

    Args:
        args: What to train; a step is a decision of one episode.
        folder: Gets ``policy.npz`` and ``card.json`` of the best checkpoint, ``last/``,
            ``curve.csv``, TensorBoard events and the state for resumption.
        report: Told steps done, steps wanted, and a line of figures.

    Raises:
        ImportError: If the `[learn]` extra is missing.
        ValueError: If an argument is wrong or the folder holds another run.
    """
    require("training", "torch", "stable_baselines3", "sb3_contrib", "tensorboard")
    from stable_baselines3.common.logger import configure

    run = Run(args, folder, report)
    randomisation = Randomisation(args.randomise_share, tuple(args.randomise))
    settings = EvolutionArgs(**{**args.algorithm, "randomisation": randomisation})
    hidden = tuple(args.policy.get("hidden", ()))
    options = ResidualOptions(**{**args.options, "checkpoint": "rule"})
    network = Mlp.random((len(FEATURES), *hidden, len(ACTIONS)), np.random.default_rng(args.seed))
    evolution = Evolution(run.scenario, partial(Residual, options), network, settings, args.seed)
    logger = configure(str(run.folder), ["tensorboard", "csv"])
    card: dict[str, Any] = {"kind": "residual", "hidden": list(hidden)}
    per_step = 2 * settings.pairs * _decisions(run)
    file = run.state / "evolution.npz"

    def note(figures: dict[str, float]) -> None:
        arrays = network.with_vector(evolution.mean).arrays()
        scores = run.note(arrays, partial(ResidualEs, options), card, figures)
        for name, value in scores.items():
            logger.record(f"validation/{name}", value)
        np.savez(file, allow_pickle=False, **evolution.state())
        run.keep_state()

    if run.resumed and file.is_file():
        with np.load(file, allow_pickle=False) as state:
            evolution.restore(state)
    else:
        note({})
    while run.steps < args.steps:
        figures = evolution.step()
        before, run.steps = run.steps, run.steps + per_step
        line = f"loss ${figures['loss']:,.0f}, attainment {figures['attainment']:.2%}"
        run.report(run.steps, args.steps, line)
        if run.due(before, run.steps):
            note(figures)
        for name, value in figures.items():
            logger.record(f"train/{name}", value)
        logger.dump(run.steps)
    return run.result()


def _decisions(run: Run) -> int:
    return round(run.scenario.horizon_s / run.scenario.decision_interval_s)
