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
_STYLES = ("-", "--", ":", "-.")


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
        load.set(title="Utilisation by region", ylim=(0, _LOAD_TOP))
        service.set(title="Attainment since the start", ylim=(0, 1.02), xlabel="hours")
        cost.set(title="Cost", xlabel="hours", ylabel="USD")
        self._active = [
            fleet.plot([], [], color=colours[m % 10], label=name)[0]
            for m, name in enumerate(s.models)
        ]
        self._pending = [
            fleet.plot([], [], ":", color=colours[m % 10])[0] for m in range(len(s.models))
        ]
        self._load = [
            load.plot([], [], _STYLES[r % 4], color=colours[m % 10], lw=0.9)[0]
            for m in range(len(s.models))
            for r in range(len(s.regions))
        ]
        for r, name in enumerate(s.region_names):
            load.plot([], [], _STYLES[r % 4], color="black", lw=0.9, label=name)
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
        for axes in (fleet, load):
            axes.legend(loc="upper left", fontsize=7, ncols=2)
        service.legend(loc="lower left", fontsize=7)
        self._service_axes = service
        self.figure.subplots_adjust(0.075, 0.085, 0.985, 0.87, wspace=0.16, hspace=0.22)

    def draw(self, history: History) -> NDArray[np.uint8] | None:
        """Draw a frame; returns its image [height, width, 3], or None for a window."""
        hours = np.asarray(history.hours)
        active, pending = np.asarray(history.active), np.asarray(history.pending)  # [T, M, R]
        load = np.asarray(history.load).reshape(len(hours), -1)
        attained = np.asarray(history.attainment)
        for m, (solid, dotted) in enumerate(zip(self._active, self._pending, strict=True)):
            solid.set_data(hours, active[:, m].sum(axis=1))
            dotted.set_data(hours, pending[:, m].sum(axis=1))
        for i, line in enumerate(self._load):
            line.set_data(hours, np.minimum(load[:, i], _LOAD_TOP))
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
