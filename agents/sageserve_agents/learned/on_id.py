"""Learn in an environment for some minutes, with the calibrated `ilp` as the line to pass.

The recipes in ``recipes/`` say which algorithm of Stable-Baselines3 or SB3-Contrib learns with
which settings; what is observed and decided is what `gym.make` of an id gives, or of a scenario
with the arguments of the small ids.
"""

from __future__ import annotations

import csv
import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.learned.checkpoint import Checkpoint, save
from sageserve_agents.learned.codec import decided_in
from sageserve_agents.learned.extra import require
from sageserve_agents.learned.network import KIND
from sageserve_agents.learned.run import versions
from sageserve_agents.parameters import nearest
from sageserve_agents.playing import rollout
from sageserve_agents.registry import make_agent
from sageserve_env.env import SageServeEnv
from sageserve_env.registration import IDS, MULTIPLES
from sageserve_env.scenario import load_scenario
from sageserve_env.vector_env import SageServeVectorEnv
from sageserve_traces.names import SPLIT_SEEDS

RECIPES = Path(__file__).parent / "recipes"
LINE = "ilp"
FIGURES = ("reward", "cost_usd", "slo_iwf")
LOOKS = 12  # evaluations in the time that is given
PATIENCE = 6  # evaluations without a better one after which learning stops
FLAT = 0.02  # a curve that rises by less than this share of its first return is flat
Told = Callable[[str], None]
Row = dict[str, float]


@dataclass
class Curve:
    """What was evaluated on validation seeds.

    Attributes:
        line: Figures of the planner on the same seeds.
        rows: Figures of the learner by steps and seconds.
    """

    line: Row
    rows: list[Row] = field(default_factory=list)

    @property
    def best(self) -> Row:
        """The row with the best return."""
        return max(self.rows, key=lambda row: row["reward"])

    @property
    def stuck(self) -> bool:
        """Whether the last `PATIENCE` rows brought nothing better."""
        return len(self.rows) > PATIENCE and self.best not in self.rows[-PATIENCE:]

    def verdict(self) -> str:
        """Return in words what became of it."""
        first, best = self.rows[0]["reward"], self.best["reward"]
        if best - first < FLAT * abs(first):
            return f"flat: the return began at {first:.2f} and never rose above {best:.2f}"
        gap = (best - self.line["reward"]) / abs(self.line["reward"])
        where = "above" if gap > 0 else "below"
        return f"from {first:.2f} to {best:.2f}, {abs(gap):.1%} {where} {LINE}'s return"


def recipes() -> list[str]:
    """Return the names of the algorithms with a recipe."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


@dataclass(frozen=True)
class Budget:
    """How long to learn: for some time, or for some decisions, which can be repeated exactly."""

    minutes: float | None = None
    steps: int | None = None

    def share(self, seconds: float, steps: int) -> float:
        """Return the share that is used up; 1 at the end."""
        if self.steps is not None:
            return steps / self.steps
        return seconds / (60.0 * (self.minutes or 0.0))


def train_on_id(
    agent: str,
    where: str,
    budget: Budget,
    seed: int,
    output: Path,
    told: Told,
    wandb: str | None = None,
) -> Curve:
    """Learn, keep what is best on validation seeds, and compare it on test seeds.

    Writes ``model.zip``, ``curve.csv``, ``evaluate.json`` and TensorBoard events to the folder, and
    where the agent can act with NumPy alone its checkpoint.

    Args:
        agent: Name of a recipe.
        where: A registered id, or the name or YAML file of a scenario.
        budget: Time for learning and its evaluations, or decisions to learn from.
        seed: Of weights, exploration and the draw of training seeds.
        output: Folder.
        told: Is given a line of text at each evaluation.
        wandb: Project of Weights & Biases that gets the events too; None for none.

    Raises:
        ImportError: If the `[learn]` extra or `wandb` is missing.
        ValueError: If the recipe or the place is unknown.
    """
    require("training", "torch", "stable_baselines3", "sb3_contrib", "tensorboard")
    if agent not in recipes():
        raise nearest(agent, recipes(), "recipe")
    import torch
    import yaml
    from stable_baselines3.common.logger import configure

    place = environment(where)
    recipe = yaml.safe_load((RECIPES / f"{agent}.yaml").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    tracked = None if wandb is None else _tracked(wandb, output, {**recipe, "seed": seed})
    keywords = {**place, **recipe.get("environment", {})}
    seeds = [SPLIT_SEEDS["validation"][0] + i for i in range(4)]
    curve = Curve(line_of(place, seeds))
    told(f"{LINE}: {_words(curve.line)}")
    learner = _Learner(recipe, keywords, seed)
    logger = configure(str(output), ["tensorboard"])
    learner.model.set_logger(logger)
    began = time.perf_counter()
    while True:
        row = learner.play(seeds)
        spent = time.perf_counter() - began
        curve.rows.append({"steps": float(learner.steps), "seconds": spent, **row})
        write_curve(curve, output / "curve.csv")
        for name, value in row.items():
            logger.record(f"validation/{name}", value)
            logger.record(f"validation/{LINE}_{name}", curve.line[name])
        logger.dump(learner.steps)
        told(f"{learner.steps:,} steps, {spent:,.0f} s: {_words(row)}; {LINE} {_words(curve.line)}")
        if curve.best is curve.rows[-1]:
            learner.model.save(output / "model.zip", exclude=["learning_rate", "lr_schedule"])
            kept = learner.arrays()
        if budget.share(spent, learner.steps) >= 1.0 or curve.stuck:
            break
        learner.learn(budget, began, len(curve.rows))
    if kept is not None:
        card = {
            "agent": agent,
            "network": learner.network(),
            "environment": keywords,
            "command": _command(agent, where, budget, seed),
            "arguments": recipe,
            "training_seeds": "0-999, drawn by the seed of the run",
            "validation_seeds": seeds,
            "kept": curve.best,
            "curve": curve.rows,
            **learner.scenario(),
            "versions": versions(),
        }
        save(output, Checkpoint(kept, card))
    tests = [SPLIT_SEEDS["test"][0] + i for i in range(8)]
    learner.model = type(learner.model).load(output / "model.zip")
    result: dict[str, Any] = dict(learner.play(tests))
    result |= {f"{LINE}_{name}": value for name, value in line_of(place, tests).items()}
    result["seeds"] = tests
    (output / "evaluate.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    told(f"test seeds: {_words(result)}; {LINE} {result[f'{LINE}_reward']:.2f}")
    told(curve.verdict())
    logger.close()
    if tracked is not None:
        tracked.finish()
    return curve


def environment(where: str) -> dict[str, Any]:
    """Return the arguments of `SageServeEnv` of an id, or of a scenario to learn in.

    Raises:
        ValueError: If there is no such id or scenario.
    """
    if where in IDS:
        return dict(IDS[where])
    if where.startswith("SageServe-"):
        raise nearest(where, sorted(IDS), "environment id")
    load_scenario(where)
    return {"scenario": where, **MULTIPLES}


def line_of(keywords: Mapping[str, Any], seeds: Sequence[int]) -> Row:
    """Return mean figures of the calibrated planner in an environment."""
    env = SageServeEnv(**keywords)
    agent = make_agent(LINE, scenario=env.scenario)
    rows = [rollout(env, agent, seed).metrics for seed in seeds]
    env.close()
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}


def _tracked(project: str, output: Path, config: Mapping[str, Any]) -> Any:
    """Return a run of Weights & Biases that takes what TensorBoard is given from now on."""
    try:
        wandb = importlib.import_module("wandb")
    except ImportError:
        raise ImportError(
            "--wandb needs wandb, which is not installed: pip install wandb"
        ) from None
    return wandb.init(project=project, dir=str(output), config=dict(config), sync_tensorboard=True)


def write_curve(curve: Curve, path: Path) -> None:
    """Write the rows and the planner's return beside them."""
    names = [*curve.rows[0], f"{LINE}_reward"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in curve.rows:
            writer.writerow({**row, f"{LINE}_reward": curve.line["reward"]})


def _command(agent: str, where: str, budget: Budget, seed: int) -> str:
    place = f"--env {where}" if where in IDS else f"--scenario {where}"
    end = f"--minutes {budget.minutes:g}" if budget.steps is None else f"--steps {budget.steps}"
    return f"sageserve train --agent {agent} {place} {end} --seed {seed} --output DIR"


def _words(row: Mapping[str, Any]) -> str:
    return f"return {row['reward']:.2f} (${row['cost_usd']:,.0f}, IW-F {row['slo_iwf']:.2%})"


class _Learner:
    """An algorithm and its environments."""

    def __init__(self, recipe: Mapping[str, Any], keywords: Mapping[str, Any], seed: int) -> None:
        from sageserve_env.sb3 import Sb3VecEnv

        module, _, name = recipe["algorithm"].rpartition(".")
        algorithm = getattr(importlib.import_module(module), name)
        self.keywords = dict(keywords)
        self.share = 0.0
        settings = dict(recipe["keywords"])
        rate = float(settings.pop("learning_rate"))
        envs = Sb3VecEnv(SageServeVectorEnv(recipe["num_envs"], **keywords), seed)
        self.model: Any = algorithm(
            recipe.get("policy", "MlpPolicy"),
            envs,
            seed=seed,
            device="cpu",
            learning_rate=lambda left: rate * max(0.1, 1.0 - self.share),
            **settings,
        )
        self.masked = hasattr(self.model.policy, "get_distribution") and "Maskable" in name

    def arrays(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the weights that act with NumPy alone; None where no agent can act so."""
        from sageserve_agents.learned.export import actor_layers, arrays_of

        try:
            decided_in(load_scenario(self.keywords["scenario"]), self.keywords)
            return arrays_of(actor_layers(self.model.policy))
        except ValueError:
            return None

    def network(self) -> dict[str, Any]:
        """Return what a card says of the network."""
        from sageserve_agents.learned.export import network_of

        return {"kind": KIND, **network_of(self.model.policy)}

    def scenario(self) -> dict[str, Any]:
        """Return what a card says of the scenario."""
        env = SageServeEnv(**self.keywords)
        found = {"trace": env.scenario.workload.trace, "scenario_hash": env.scenario.config_hash}
        env.close()
        return found

    @property
    def steps(self) -> int:
        """Decisions made so far."""
        return int(self.model.num_timesteps)

    def learn(self, budget: Budget, began: float, looks: int) -> None:
        """Learn until the next evaluation is due.

        Args:
            budget: Of the whole run; the rate of learning falls by the share that is used up.
            began: When the run began, on the clock of `time.perf_counter`.
            looks: Evaluations so far.
        """
        from stable_baselines3.common.callbacks import BaseCallback

        learner = self
        used = budget.share(time.perf_counter() - began, self.steps)
        until = used + (1.0 - used) / max(LOOKS + 1 - looks, 1)

        class Until(BaseCallback):
            """Stops in time."""

            def _on_step(self) -> bool:
                learner.share = budget.share(time.perf_counter() - began, self.num_timesteps)
                return learner.share < until

        self.model.learn(10**9, Until(), reset_num_timesteps=False)

    def play(self, seeds: Sequence[int]) -> Row:
        """Return mean figures of whole episodes, played side by side without exploration."""
        envs = SageServeVectorEnv(len(seeds), **self.keywords)
        observation, _ = envs.reset(seed=list(seeds))
        over = np.zeros(len(seeds), dtype=np.bool_)
        memory: Any = None
        start = np.ones(len(seeds), dtype=np.bool_)
        while not over.any():
            if self.masked:
                masks = envs.action_masks()
                action, _ = self.model.predict(observation, deterministic=True, action_masks=masks)
            else:
                action, memory = self.model.predict(observation, memory, start, deterministic=True)
                start[:] = False
            observation, _, _, over, infos = envs.step(action)
        envs.close()
        return {name: float(np.mean(infos["episode_metrics"][name])) for name in FIGURES}
