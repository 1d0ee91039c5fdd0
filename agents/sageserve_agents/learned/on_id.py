"""Learn on an environment id for some minutes, with the calibrated `ilp` as the line to pass.

The recipes in ``recipes/`` say which algorithm of Stable-Baselines3 or SB3-Contrib learns with
which settings; what is observed and decided is what `gym.make` of the id gives.
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

from sageserve_agents.learned.extra import require
from sageserve_agents.parameters import nearest
from sageserve_agents.playing import rollout
from sageserve_agents.registry import make_agent
from sageserve_env.env import SageServeEnv
from sageserve_env.registration import IDS
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


def train_on_id(
    agent: str, env_id: str, minutes: float, seed: int, output: Path, told: Told
) -> Curve:
    """Learn, keep what is best on validation seeds, and compare it on test seeds.

    Writes ``model.zip``, ``curve.csv`` and ``evaluate.json`` to the folder.

    Args:
        agent: Name of a recipe.
        env_id: A registered id.
        minutes: Time for learning and its evaluations.
        seed: Of weights, exploration and the draw of training seeds.
        output: Folder.
        told: Is given a line of text at each evaluation.

    Raises:
        ImportError: If the `[learn]` extra is missing.
        ValueError: If the recipe or the id is unknown.
    """
    require("training", "torch", "stable_baselines3", "sb3_contrib")
    if agent not in recipes():
        raise nearest(agent, recipes(), "recipe")
    if env_id not in IDS:
        raise nearest(env_id, sorted(IDS), "environment id")
    import torch
    import yaml

    recipe = yaml.safe_load((RECIPES / f"{agent}.yaml").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    keywords = {**IDS[env_id], **recipe.get("environment", {})}
    seeds = [SPLIT_SEEDS["validation"][0] + i for i in range(4)]
    curve = Curve(line_of(env_id, seeds))
    told(f"{LINE}: {_words(curve.line)}")
    learner = _Learner(recipe, keywords, seed)
    began = time.perf_counter()
    while True:
        row = learner.play(seeds)
        spent = time.perf_counter() - began
        curve.rows.append({"steps": float(learner.steps), "seconds": spent, **row})
        write_curve(curve, output / "curve.csv")
        told(f"{learner.steps:,} steps, {spent:,.0f} s: {_words(row)}; {LINE} {_words(curve.line)}")
        if curve.best is curve.rows[-1]:
            learner.model.save(output / "model.zip")
        if spent >= 60.0 * minutes or curve.stuck:
            break
        learner.learn(min(60.0 * minutes / LOOKS, 60.0 * minutes - spent), spent / (60.0 * minutes))
    tests = [SPLIT_SEEDS["test"][0] + i for i in range(8)]
    learner.model = type(learner.model).load(output / "model.zip")
    result: dict[str, Any] = dict(learner.play(tests))
    result |= {f"{LINE}_{name}": value for name, value in line_of(env_id, tests).items()}
    result["seeds"] = tests
    (output / "evaluate.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    told(f"test seeds: {_words(result)}; {LINE} {result[f'{LINE}_reward']:.2f}")
    told(curve.verdict())
    return curve


def line_of(env_id: str, seeds: Sequence[int]) -> Row:
    """Return mean figures of the calibrated planner in an environment."""
    env = SageServeEnv(**IDS[env_id])
    agent = make_agent(LINE, scenario=env.scenario)
    rows = [rollout(env, agent, seed).metrics for seed in seeds]
    env.close()
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}


def write_curve(curve: Curve, path: Path) -> None:
    """Write the rows and the planner's return beside them."""
    names = [*curve.rows[0], f"{LINE}_reward"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in curve.rows:
            writer.writerow({**row, f"{LINE}_reward": curve.line["reward"]})


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

    @property
    def steps(self) -> int:
        """Decisions made so far."""
        return int(self.model.num_timesteps)

    def learn(self, seconds: float, share: float) -> None:
        """Learn for some seconds.

        Args:
            seconds: How long.
            share: Of the whole time that has passed, by which the rate of learning falls.
        """
        from stable_baselines3.common.callbacks import BaseCallback

        self.share = share
        until = time.perf_counter() + seconds

        class Clock(BaseCallback):
            """Stops in time."""

            def _on_step(self) -> bool:
                return time.perf_counter() < until

        self.model.learn(10**9, Clock(), reset_num_timesteps=False)

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
