"""From a `ClusterView` to the environment's observation, and from its action to a `ClusterAction`.

A network that was trained in `SageServeEnv` sees its observations and answers in the actions of
`sageserve_env.action_modes`. An agent is given a view instead, which `sageserve_env.observe` scales
as the environment does; `Codec` adds the actions, for ``control="scaling"``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.forms import CHOICES, LARGEST_DELTA
from sageserve_env.kernels.buffers import Buffers, build_buffers
from sageserve_env.observe import Layout, Observation, Observer
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Ints

Masks = NDArray[np.bool_]


class Codec:
    """Observations and actions of one scenario, without an environment.

    Args:
        scenario: The cluster.
        view: The view at time 0, whose targets are the initial fleet.
        mode: ``flat`` or ``endpoints``.
    """

    def __init__(self, scenario: Scenario, view: ClusterView, mode: str) -> None:
        self.scenario = scenario
        self._observer = Observer(scenario, view.theta, mode)
        regions = np.array([scenario.region_names.index(p.region) for p in scenario.endpoints])
        self._region = regions
        routing = scenario.round_trip
        if scenario.routing.router == "shares":
            routing = np.eye(len(scenario.regions))
        self._buffers: Buffers = build_buffers(
            scenario,
            view.target,
            np.broadcast_to(routing, (len(scenario.models), *routing.shape)).copy(),
        )

    @property
    def size(self) -> int:
        """Return the number of targets: endpoints times usable VM types."""
        return len(self._buffers.pair)

    @property
    def layout(self) -> Layout:
        """Return names and space of the observation."""
        return self._observer.layout

    def observation(self, view: ClusterView) -> Observation:
        """Return the observation of a view, as the environment gives it."""
        return self._observer.observation(view)

    # -- action ---------------------------------------------------------------------------------

    def targets(self, action: NDArray[np.float32], factor: float = 1.0) -> Ints:
        """Return targets [E, G] of a continuous action, times a factor, rounded."""
        b = self._buffers
        low, centre, high = (np.asarray(a, dtype=np.float64) for a in (b.low, b.centre, b.high))
        x = action.astype(np.float64)
        below = centre + x * (centre - low)
        above = (centre + 1.0) * ((high + 1.0) / (centre + 1.0)) ** x - 1.0
        wanted = factor * np.where(x <= 0.0, below, above)
        return self._scatter(np.clip(np.floor(wanted + 0.5), low, high).astype(np.int64))

    def actions_of(self, targets: Ints) -> NDArray[np.float32]:
        """Return the continuous action that means targets [E, G]: the inverse of `targets`."""
        b = self._buffers
        low, centre, high = (np.asarray(a, dtype=np.float64) for a in (b.low, b.centre, b.high))
        wanted = np.clip(targets[b.pair[:, 0], b.pair[:, 1]], low, high)
        growth = np.log((high + 1.0) / (centre + 1.0))
        above = np.log((wanted + 1.0) / (centre + 1.0)) / np.where(growth > 0, growth, 1.0)
        below = (wanted - centre) / np.where(centre > low, centre - low, 1.0)
        action = np.where(wanted > centre, above, below)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def changed(self, view: ClusterView, choice: Ints) -> Ints:
        """Return targets [E, G] after discrete changes of -2 to +2."""
        b = self._buffers
        at = b.pair[:, 0], b.pair[:, 1]
        wanted = np.clip(view.target[at] + choice[: len(b.pair)] - LARGEST_DELTA, b.low, b.high)
        return self._scatter(wanted)

    def mask(self, view: ClusterView) -> Masks:
        """Return which discrete changes lead somewhere, flat (see ``action_masks``)."""
        b, settings = self._buffers, self._buffers.settings[0]
        free = view.idle_vms + view.spot_vms.sum(axis=0)  # [R, G]
        e, g = b.pair[:, 0], b.pair[:, 1]
        room = free[self._region[e], g] + view.draining[e, g] - view.unmet[e, g]
        delta = np.arange(CHOICES) - LARGEST_DELTA
        wanted = view.target[e, g][:, None] + delta
        total = view.target.sum(axis=1)[e][:, None] + delta
        fits = (wanted >= b.low[:, None]) & (wanted <= b.high[:, None])
        fits &= (total >= settings["min_instances"]) & (total <= settings["max_instances"])
        masks: Masks = (delta == 0) | (fits & ((delta < 0) | (delta <= room[:, None])))
        return masks.ravel()

    def _scatter(self, values: Ints) -> Ints:
        b = self._buffers
        targets = np.zeros(b.usable.shape, dtype=np.int64)
        targets[b.pair[:, 0], b.pair[:, 1]] = values
        return targets
