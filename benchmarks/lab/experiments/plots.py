"""Plots of an experiment in the paper's form: bars per strategy, fleets over time, sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.experiments.bounds import STRICT
from lab.experiments.definition import UNTUNED, Arm
from lab.experiments.outcomes import Outcomes
from lab.experiments.tables import per_day
from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.outcome import DAY_S
from sageserve_bench.results.store import Store
from sageserve_bench.runs.tasks import agent_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#64b5cd")
TARGET = 95.0  # per cent of IW-F within their objective (docs/sources.md, "Paper")
_DPI = 90
_FLEET = ("active", "pending", "draining")


def plot(outcomes: Outcomes, store: Store, path: Path) -> None:
    """Draw an experiment.

    Args:
        outcomes: What came out.
        store: Where the time series of the runs lie.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(outcomes.by_scenario)
    sweep = bool(outcomes.experiment.axis)
    bars = 0.3 * len(outcomes.arms) + 1.0
    heights = [2.8 if sweep else bars] * len(names) + ([] if sweep else [2.6])
    figure = plt.figure(figsize=(10, sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    for row, name in enumerate(names):
        axes = [figure.add_subplot(grid[row, column]) for column in range(3)]
        draw = _sweep if sweep else _bars
        draw(axes, outcomes.by_scenario[name], outcomes.horizon_s[name])
        strict = [b.vm_hours for b in outcomes.bounds if (b.scenario, b.variant) == (name, STRICT)]
        if strict:
            _bound(axes[0], outcomes, name, float(np.mean(strict)))
        axes[0].set_ylabel(name)
        if sweep and row == len(names) - 1:
            axes[1].set_xlabel(outcomes.experiment.axis)
    if sweep:
        figure.axes[0].legend(fontsize=8)
    else:
        groups = list(dict.fromkeys(arm.group for arm in outcomes.arms))
        inner = grid[len(names), :].subgridspec(1, len(groups))
        first: Axes | None = None
        for column, group in enumerate(groups):
            axis = figure.add_subplot(inner[0, column], sharey=first)
            first = first or axis
            _timeline(axis, outcomes, store, names[-1], group)
    figure.suptitle(outcomes.experiment.title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    few = len(outcomes.by_scenario) <= 2  # many panels: a file that is still small
    figure.savefig(path, dpi=_DPI if few else 0.7 * _DPI)
    plt.close(figure)


def _figures(result: AgentOutcome, horizon_s: float) -> tuple[float, float, float]:
    """Return GPU-hours a day, waste a day and IW-F attainment in per cent."""
    hours = per_day(result, "gpu_hours", horizon_s)
    waste = per_day(result, "scaling_waste_gpu_hours", horizon_s)
    return hours, waste, 100.0 * result.means.get("slo_iwf", float("nan"))


_TITLES = ("GPU-hours a day", "GPU-hours wasted in scaling, a day", "IW-F in objective, %")


def _bars(axes: list[Axes], results: Mapping[Arm, AgentOutcome], horizon_s: float) -> None:
    from matplotlib.ticker import MaxNLocator

    arms = list(results)
    groups = list(dict.fromkeys(arm.group for arm in arms))
    colours = [COLOURS[groups.index(arm.group)] for arm in arms]
    values = np.array([_figures(results[arm], horizon_s) for arm in arms])
    where = np.arange(len(arms))[::-1]
    for column, (axis, title) in enumerate(zip(axes, _TITLES, strict=True)):
        axis.barh(where, values[:, column], color=colours, height=0.7)
        shown = "{:.1f}" if column == 2 else "{:,.0f}"
        for y, value in zip(where, values[:, column], strict=True):
            axis.text(value, y, " " + shown.format(value), va="center", fontsize=7)
        axis.set_title(title, fontsize=9)
        axis.set_yticks(where, [arm.label for arm in arms] if column == 0 else [], fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.margins(x=0.18)
    low = max(0.0, min(90.0, float(np.nanmin(values[:, 2])) - 3.0))
    axes[2].set_xlim(low, 101.5)
    axes[2].axvline(TARGET, color="0.3", linewidth=1.0, linestyle="--")


def _bound(axis: Axes, outcomes: Outcomes, scenario: str, vm_hours: float) -> None:
    """Mark the lower bound, in GPU-hours a day, in the panel of GPU-hours."""
    row = next(r for r in outcomes.rows if r["scenario"] == scenario)
    gpus = float(str(row["gpu_hours"])) / float(str(row["vm_hours"]))
    hours = vm_hours * gpus * DAY_S / outcomes.horizon_s[scenario]
    axis.axvline(hours, color="0.2", linewidth=1.2, linestyle=":", label="bound")
    axis.legend(fontsize=7, loc="lower left")


def _sweep(axes: list[Axes], results: Mapping[Arm, AgentOutcome], horizon_s: float) -> None:
    groups = list(dict.fromkeys(arm.group for arm in results))
    for number, group in enumerate(groups):
        arms = [arm for arm in results if arm.group == group]
        x = [arm.x if arm.x is not None else float("nan") for arm in arms]
        values = np.array([_figures(results[arm], horizon_s) for arm in arms])
        for column, axis in enumerate(axes):
            axis.plot(x, values[:, column], "o-", color=COLOURS[number], label=group, markersize=4)
    for axis, title in zip(axes, _TITLES, strict=True):
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        x = sorted({arm.x for arm in results if arm.x is not None})
        if x and x[-1] > 20 * x[0]:
            axis.set_xscale("log", base=4)
        axis.set_xticks(x, [f"{value:g}" for value in x])
        axis.minorticks_off()
    for axis in axes[:2]:
        axis.set_ylim(bottom=0)
    axes[2].axhline(TARGET, color="0.3", linewidth=1.0, linestyle="--")
    low, high = axes[2].get_ylim()
    axes[2].set_ylim(min(low, TARGET - 1.0), min(high, 100.5))


def _timeline(axis: Axes, outcomes: Outcomes, store: Store, scenario: str, group: str) -> None:
    """Draw the VMs that each arm of a group holds over the first run."""
    rows = [row for row in outcomes.rows if row["scenario"] == scenario]
    seed = min(int(str(row["seed"])) for row in rows)
    for number, arm in enumerate(a for a in outcomes.arms if a.group == group):
        label = agent_label(arm.spec)
        row = next(r for r in rows if r["agent"] == label and r["seed"] == seed)
        series = store.series(str(row["run"]))
        if series is None:
            continue
        hours = series["time_s"] / 3600.0
        vms: Any = sum(series[name].sum(axis=1) for name in _FLEET)
        name = arm.spec.partition(":")[0]
        axis.plot(hours, vms, linewidth=1.0, label=name, color=COLOURS[number % len(COLOURS)])
    suffix = "" if len(outcomes.by_scenario) == 1 else f", {scenario}"
    kind = "as they come" if group == UNTUNED else group
    axis.set_title(f"VMs held, {kind}{suffix}, seed {seed}", fontsize=9)
    axis.set_xlabel("hours", fontsize=8)
    axis.set_ylim(0, 1.25 * axis.get_ylim()[1])  # room for the legend
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, ncols=5, loc="upper left")
