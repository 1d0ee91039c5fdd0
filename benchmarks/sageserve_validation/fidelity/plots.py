"""Plots of the fidelity reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def plot_distributions(rows: pd.DataFrame, ours: pd.DataFrame, path: Path, title: str) -> None:
    """Draw the distributions of TTFT and E2E of a reference and of our replay.

    Args:
        rows: The reference: ``model``, ``ttft_s``, ``e2e_s``.
        ours: The replay, row by row: ``ttft_s``, ``e2e_s``.
        path: PNG file to write.
        title: Heading.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, constrained_layout=True)
    both = rows[["ttft_s", "e2e_s"]].notna().all(axis=1) & ours.notna().all(axis=1)
    for axis, column, label in zip(axes, ("ttft_s", "e2e_s"), ("TTFT", "E2E"), strict=True):
        for i, model in enumerate(sorted(rows["model"].unique())):
            mask = (both & (rows["model"] == model)).to_numpy()
            share = (np.arange(mask.sum()) + 0.5) / max(1, mask.sum())
            colour = f"C{i}"
            theirs = np.sort(rows[column].to_numpy()[mask])
            mine = np.sort(ours[column].to_numpy()[mask])
            axis.plot(theirs, share, color=colour, lw=4, alpha=0.35, label=f"{model} reference")
            axis.plot(mine, share, color=colour, lw=1, ls="--", label=f"{model} ours")
        axis.set_xscale("log")
        axis.set_xlabel(f"{label} [s]")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of requests")
    axes[1].legend(loc="lower right")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
