"""Plots of traces. Matplotlib is imported inside the functions: training never loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
