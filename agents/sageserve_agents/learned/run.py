"""What every training run shares: folder, curve, evaluation, best checkpoint, resumption."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sageserve_agents.base import Agent
from sageserve_agents.learned import checkpoint
from sageserve_agents.learned.arguments import TrainArgs
from sageserve_agents.playing import rollout
from sageserve_env.env import SageServeEnv
from sageserve_env.extras import versions_of
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_traces.names import SPLIT_SEEDS

FIRST_VALIDATION_SEED = SPLIT_SEEDS["validation"][0]
STATE, CURVE, LAST = "state", "curve.csv", "last"
FIGURES = ("reward", "cost_usd", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model", "unfinished")
OnProgress = Callable[[int, int, str], None]
_PACKAGES = ("sageserve-env", "numpy", "numba", "torch", "stable-baselines3", "sb3-contrib")


@dataclass
class Result:
    """What a run came to.

    Attributes:
        folder: Where it is.
        first: Figures of the first evaluation, before any step.
        best: Figures of the kept checkpoint.
        steps: Steps made.
    """

    folder: Path
    first: Mapping[str, float]
    best: Mapping[str, float]
    steps: int


def evaluate(make: Callable[[], Agent], scenario: Scenario, seeds: list[int]) -> dict[str, float]:
    """Return mean figures of an agent over whole episodes of the plain scenario.

    Args:
        make: Makes the agent.
        scenario: The cluster.
        seeds: Seeds of the traffic.
    """
    rows = []
    agent = make()
    env = SageServeEnv(scenario=scenario.replace(pooling=agent.pooling))
    for seed in seeds:
        metrics = rollout(env, agent, seed).metrics
        rows.append([float(metrics.get(name, np.nan)) for name in FIGURES])
    env.close()
    table = np.ma.masked_invalid(rows)  # nothing of a tier may have fallen due
    return dict(zip(FIGURES, table.mean(axis=0).filled(np.nan).tolist(), strict=True))


class Run:
    """One training run in its folder.

    Args:
        args: What is trained.
        folder: Where; a run that was interrupted goes on.
        report: Told steps done, steps wanted, and a line of figures.

    Raises:
        ValueError: If the folder holds a run of other arguments.
    """

    def __init__(self, args: TrainArgs, folder: Path, report: OnProgress | None = None) -> None:
        self.args = args
        self.folder = folder
        self.report = report or (lambda done, wanted, line: None)
        self.scenario = load_scenario(args.scenario)
        self.steps = 0
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self._since = time.perf_counter()
        self._best = -np.inf
        folder.mkdir(parents=True, exist_ok=True)
        self.resumed = self._resume()

    # -- evaluation -----------------------------------------------------------------------------

    @property
    def seeds(self) -> list[int]:
        """The validation seeds."""
        return [FIRST_VALIDATION_SEED + i for i in range(self.args.evaluate_seeds)]

    def due(self, before: int, after: int) -> bool:
        """Return whether an evaluation lies within steps made."""
        every = self.args.evaluate_every
        return before // every != after // every or after >= self.args.steps

    def note(
        self,
        arrays: Mapping[str, Any],
        make: Callable[..., Agent],
        network: Mapping[str, Any],
        extra: Mapping[str, float] | None = None,
    ) -> dict[str, float]:
        """Evaluate weights, write the curve, and keep them if they are the best so far.

        Args:
            arrays: Weights.
            make: Makes the agent from ``held=`` a checkpoint.
            network: What rebuilds the network, for the card.
            extra: More figures of the curve.
        """
        held = checkpoint.Checkpoint(arrays, self._card(network))
        figures: dict[str, float] = {"steps": float(self.steps)}
        if self.seeds:
            figures |= evaluate(lambda: make(held=held), self.scenario, self.seeds)
        figures["seconds"] = self._elapsed()
        # Figures of training may be called as those of the evaluation are.
        figures |= {f"train_{name}": value for name, value in (extra or {}).items()}
        self.curve.append(figures)
        reward = figures.get("reward", float(self.steps))
        if reward > self._best:
            self._best = reward
        card = self._card(network)
        checkpoint.save(self.folder / LAST, checkpoint.Checkpoint(arrays, card))
        if reward >= self._best:
            checkpoint.save(self.folder, checkpoint.Checkpoint(arrays, card))
        self._write_curve()
        self.report(self.steps, self.args.steps, line_of(figures))
        return figures

    def _card(self, network: Mapping[str, Any]) -> dict[str, Any]:
        args = self.args
        kept = max(self.curve, key=lambda f: f.get("reward", f["steps"]), default=None)
        return {
            "agent": args.agent,
            "network": dict(network),
            "command": command_of(args),
            "arguments": args.to_dict(),
            "training_seeds": "0-999, drawn by the seed of the run",
            "validation_seeds": self.seeds,
            "trace": self.scenario.workload.trace,
            "scenario_hash": self.scenario.config_hash,
            "kept": kept,
            "curve": self.curve,
            "versions": versions(),
        }

    def _write_curve(self) -> None:
        names = list(dict.fromkeys(name for row in self.curve for name in row))
        part = self.folder / f".{CURVE}.part"
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.curve)
        os.replace(part, self.folder / CURVE)

    # -- resumption -----------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """The folder of what a resumed run goes on from."""
        return self.folder / STATE

    def keep_state(self) -> None:
        """Write how far the run is; what the algorithm needs is in the folder already."""
        values = {
            "arguments": self._comparable(),
            "steps": self.steps,
            "curve": self.curve,
            "best": self._best,
            "seconds": self._elapsed(),
        }
        part = self.state / ".run.part"
        part.write_text(json.dumps(values), encoding="utf-8")
        os.replace(part, self.state / "run.json")

    def _comparable(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(self.args.to_dict()))
        return {k: v for k, v in plain.items() if k not in ("steps", "threads")}

    def _resume(self) -> bool:
        self.state.mkdir(exist_ok=True)
        path = self.state / "run.json"
        if not path.is_file():
            return False
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["arguments"] != self._comparable():
            raise ValueError(f"{self.folder} holds a run of other arguments; choose another folder")
        self.steps, self.curve = values["steps"], values["curve"]
        self._best, self.seconds = values["best"], values["seconds"]
        return True

    def _elapsed(self) -> float:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now
        return self.seconds

    def result(self) -> Result:
        """Return what came out."""
        best = max(self.curve, key=lambda f: f.get("reward", f["steps"]))
        return Result(self.folder, self.curve[0], best, self.steps)


def command_of(args: TrainArgs) -> str:
    """Return the command line that repeats a run of a shipped configuration."""
    return (
        f"sageserve train --agent {args.agent} --scenario {args.scenario} --seed {args.seed} "
        f"--steps {args.steps} --output DIR"
    )


def line_of(figures: Mapping[str, float]) -> str:
    """Return a line of figures for a person."""
    if "reward" not in figures:
        return f"{figures['steps']:,.0f} steps"
    return (
        f"{figures['steps']:,.0f} steps: reward {figures['reward']:,.1f}, "
        f"${figures['cost_usd']:,.0f}, IW-F {figures['slo_iwf']:.2%}, worst model "
        f"{figures['slo_worst_model']:.2%}, {figures['unfinished']:,.0f} unfinished"
    )


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    return versions_of(_PACKAGES)
