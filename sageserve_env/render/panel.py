"""The panel of ``rgb_array`` and ``human``: fleet, load, attainment and cost over time.

The axes are made once; a frame only moves the lines, so that recording an episode stays bearable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sageserve_env.render.history import History
from sageserve_env.scenario import Scenario

_SIZE_IN = (10.0, 6.0)
_DPI = 80
_LOAD_TOP = 2.0
_COLUMNS = 240  # of the picture of loads, over the whole episode
_MOST_NAMES = 30  # endpoints whose names there is room for


class Panel:
    """Four plots of an episode.

    Args:
        scenario: The cluster.
        window: Show a window where Matplotlib has an interactive backend.
    """

    def __init__(self, scenario: Scenario, *, window: bool = False) -> None:
        self.scenario = scenario
        self._hours = scenario.horizon_s / 3600.0
        self._window = window
        self._show: Any = None
        if window:
            self._open_window()
        if self._show is None:
            self.figure = Figure(figsize=_SIZE_IN, dpi=_DPI)
            self._canvas = FigureCanvasAgg(self.figure)
        self._make_axes()

    def _open_window(self) -> None:
        """Use a window if there is a backend for one; without a display the panel stays unseen."""
        import matplotlib
        import matplotlib.pyplot as plt

        if matplotlib.get_backend().lower() in {"agg", "pdf", "ps", "svg", "cairo", "template"}:
            return
        self._show = plt
        self.figure = plt.figure(figsize=_SIZE_IN, dpi=_DPI)
        plt.show(block=False)

    def _make_axes(self) -> None:
        s = self.scenario
        fleet, load, service, cost = self.figure.subplots(2, 2, sharex=True).ravel()
        self._fleet, self._cost = fleet, cost
        colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
        fleet.set(title="Instances: active (solid), pending (dotted)", ylabel="VMs")
        load.set(title="Load, from idle (white) to twice the capacity")
        service.set(title="Attainment since the start", ylim=(0, 1.02), xlabel="hours")
        cost.set(title="Cost", xlabel="hours", ylabel="USD")
        self._active = [
            fleet.plot([], [], color=colours[m % 10], label=name)[0]
            for m, name in enumerate(s.models)
        ]
        self._pending = [
            fleet.plot([], [], ":", color=colours[m % 10])[0] for m in range(len(s.models))
        ]
        rows = len(s.models) * len(s.regions)
        self._load = load.imshow(
            np.full((rows, _COLUMNS), np.nan),
            aspect="auto",
            interpolation="nearest",
            extent=(0.0, self._hours, rows - 0.5, -0.5),
            vmin=0.0,
            vmax=_LOAD_TOP,
            cmap="Reds",
        )
        names = [f"{model} {region}" for model in s.models for region in s.region_names]
        if rows <= _MOST_NAMES:
            load.set_yticks(range(rows), names, fontsize=6.5)
        else:
            load.set_yticks([])
        self._service = [
            service.plot([], [], color=colours[(k + 4) % 10], label=tier.name)[0]
            for k, tier in enumerate(s.tiers)
        ]
        for k, tier in enumerate(s.tiers):
            service.axhline(tier.target, color=colours[(k + 4) % 10], lw=0.6, ls=":")
        self._bill = cost.plot([], [], color="black")[0]
        for axes in (fleet, load, service, cost):
            axes.set_xlim(0, self._hours)
            axes.grid(alpha=0.25)
        load.grid(visible=False)
        fleet.legend(loc="upper left", fontsize=7, ncols=2)
        service.legend(loc="lower left", fontsize=7)
        self._service_axes = service
        self.figure.subplots_adjust(0.07, 0.085, 0.985, 0.87, wspace=0.36, hspace=0.22)

    def draw(self, history: History) -> NDArray[np.uint8] | None:
        """Draw a frame; returns its image [height, width, 3], or None for a window."""
        hours = np.asarray(history.hours)
        active, pending = np.asarray(history.active), np.asarray(history.pending)  # [T, M, R]
        load = np.asarray(history.load).reshape(len(hours), -1)
        attained = np.asarray(history.attainment)
        for m, (solid, dotted) in enumerate(zip(self._active, self._pending, strict=True)):
            solid.set_data(hours, active[:, m].sum(axis=1))
            dotted.set_data(hours, pending[:, m].sum(axis=1))
        at = (np.arange(_COLUMNS) + 0.5) * self._hours / _COLUMNS
        known = np.maximum(np.searchsorted(hours, at, side="right") - 1, 0)
        self._load.set_data(np.where(at <= hours[-1], load[known].T, np.nan))
        for k, line in enumerate(self._service):
            line.set_data(hours, attained[:, k])
        self._bill.set_data(hours, history.cost_usd)
        most = max(active.sum(axis=2).max(), pending.sum(axis=2).max())
        self._fleet.set_ylim(0, 1.35 * max(1.0, float(most)))
        worst = float(np.nanmin(attained)) if np.isfinite(attained).any() else 1.0
        self._service_axes.set_ylim(min(0.8, worst - 0.05), 1.01)
        self._cost.set_ylim(0, 1.1 * max(1.0, history.cost_usd[-1]))
        clock = round(60 * history.hours[-1])
        self.figure.suptitle(f"{self.scenario.name}  {clock // 60:02d}:{clock % 60:02d}")
        if self._show is not None:
            self.figure.canvas.draw_idle()
            self.figure.canvas.flush_events()
        if self._window:
            return None
        self._canvas.draw()  # type: ignore[no-untyped-call]
        image = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return np.ascontiguousarray(image[:, :, :3])

    def close(self) -> None:
        """Close the window."""
        if self._show is not None:
            self._show.close(self.figure)
