"""Plots of traces. Matplotlib is imported inside the functions: training never loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import atomic_path
from .source import TraceSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_demand(source: TraceSource, path: str | Path, *, bin_s: float = 300.0) -> None:
    """Plot requests per second by model and by tier, and tokens per second, to a PNG file."""
    from matplotlib.figure import Figure

    demand = source.demand(bin_s)
    hours = (demand.times_s + bin_s / 2) / 3600
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    by_model = demand.requests.sum(axis=(2, 3)) / bin_s
    axes[0].stackplot(hours, by_model.T, labels=source.models, alpha=0.85)
    axes[0].set_ylabel("requests/s")
    for k, tier in enumerate(source.tiers):
        axes[1].plot(hours, demand.requests[..., k].sum(axis=(1, 2)) / bin_s, label=tier)
    axes[1].set_ylabel("requests/s")
    for name, tokens in (("prompt", demand.prompt_tokens), ("output", demand.output_tokens)):
        axes[2].plot(hours, tokens.sum(axis=(1, 2, 3)) / bin_s, label=name)
    axes[2].set_ylabel("tokens/s")
    axes[2].set_yscale("symlog", linthresh=10)
    axes[2].set_xlabel("hours from the start")
    for axis in axes:
        axis.legend(loc="upper right", fontsize=8, ncols=4)
        axis.grid(alpha=0.3)
    figure.suptitle(f"{source.name}: {int(demand.requests.sum()):,} requests")
    save(figure, path)


def plot_o365_comparison(
    digitised: dict[str, np.ndarray], generated: dict[str, np.ndarray], path: str | Path
) -> None:
    """Overlay four-hour means of the digitised week and of generated ones (DOMAIN section 4).

    Args:
        digitised: ``iw_rps, iw_tps, niw_rps, niw_tps``, each ``[42]`` from Monday.
        generated: The same, each ``[seeds, 42]``.
        path: PNG file.
    """
    from matplotlib.figure import Figure

    titles = {
        "iw_rps": "interactive requests/s",
        "iw_tps": "interactive prompt tokens/s",
        "niw_rps": "batch requests/s",
        "niw_tps": "batch prompt tokens/s",
    }
    figure = Figure(figsize=(12, 7), layout="constrained")
    for axis, (key, title) in zip(figure.subplots(2, 2).flat, titles.items(), strict=True):
        days = (np.arange(len(digitised[key])) + 0.5) / 6
        low, high = np.quantile(generated[key], [0.1, 0.9], axis=0)
        axis.axvspan(2, 5, color="0.93", label="compared: Wed to Fri")
        axis.fill_between(days, low, high, alpha=0.3, label="generated, 10-90 % of seeds")
        axis.plot(days, generated[key].mean(axis=0), label="generated, mean of seeds")
        axis.plot(days, digitised[key], "k.-", label="digitised Figure 3")
        axis.set_title(title)
        axis.set_xticks(np.arange(7) + 0.5, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
        axis.set_xlim(0, 7)
        axis.set_ylim(0)
        axis.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    save(figure, path)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
