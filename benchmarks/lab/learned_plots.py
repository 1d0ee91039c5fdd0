"""Draw the two pictures of docs/learning.md: learning curves, and one validation day side by side.

Usage: ``python -m lab.learned_plots``.
"""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from sageserve_agents import make_agent
from sageserve_env.env import SageServeEnv

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "results" / "learned"
IMAGES = ROOT / "docs" / "images"
MPC = (
    "mpc:trust=1/1/1.2/1;quantile=0.5968;beta=0.6418;beyond=1.493;niw_buffer=0.4033;"
    "discipline=triage;router=least_wait_kv;rho=1.063"
)
DAY = 1001  # a validation seed: nothing on a test seed is looked into


def curves() -> None:
    """Draw the training loss and the attainment of each training seed."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for path in sorted((FOLDER / "curves").glob("seed-*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [r for r in csv.DictReader(file) if r["train/loss"]]
        for axis, name, factor in zip(
            axes, ("train/cost_usd", "train/attainment"), (1e-3, 100.0), strict=True
        ):
            axis.plot(
                range(1, len(rows) + 1),
                [factor * float(r[name]) for r in rows],
                label=path.stem.replace("-", " "),
            )
    axes[0].set(xlabel="generation", ylabel="VMs of a training day, thousand $")
    axes[1].set(xlabel="generation", ylabel="lower attainment of IW-F, IW-N, %")
    axes[1].legend(fontsize="small", loc="lower right")
    figure.savefig(IMAGES / "learning_curves.png", dpi=90)


def played(spec: str) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return models, instances and attainment of a day, each [T, M]."""
    env = SageServeEnv(scenario="o365-day")
    env.reset(seed=DAY)
    agent = make_agent(spec)
    agent.reset(env.scenario, DAY, env.history())
    models = list(env.scenario.models)
    counts, attained = [], []
    over = False
    while not over:
        view = env.view()
        counts.append(view.active.sum(axis=1).reshape(len(models), -1).sum(axis=1))
        attained.append(view.slo_attainment.reshape(len(models), -1).mean(axis=1))
        over = env.step_cluster(agent.act(view))[3]
    env.close()
    return models, np.array(counts, dtype=np.float64), np.array(attained)


def day() -> None:
    """Draw the instances of each model over a day under both agents."""
    sides = {"residual-es": played("residual-es"), "mpc": played(MPC)}
    models = sides["mpc"][0]
    figure, axes = plt.subplots(
        2, len(models), figsize=(11, 4.4), sharex=True, layout="constrained"
    )
    for name, (_, counts, attained) in sides.items():
        hours = np.arange(len(counts)) / 60.0
        smooth = np.ones(30) / 30.0
        for m, model in enumerate(models):
            axes[0, m].plot(hours, counts[:, m], lw=0.9, label=name)
            axes[0, m].set_title(model, fontsize="small")
            means = 100 * np.convolve(attained[:, m], smooth, "valid")
            axes[1, m].plot(hours[15 : 15 + len(means)], means, lw=0.9)
            axes[1, m].set(xlabel="hour", ylim=(60, 101))
    axes[0, 0].set_ylabel("instances")
    axes[1, 0].set_ylabel("within objective, %")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(IMAGES / "learning_day.png", dpi=90)


if __name__ == "__main__":
    curves()
    day()
