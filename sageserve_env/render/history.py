"""The series that are drawn: one value per step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.rewards import Change
from sageserve_env.scenario import Scenario

if TYPE_CHECKING:
    from sageserve_env.simulator.simulator import Simulator


class History:
    """Series of an episode up to now.

    Attributes:
        hours: Time of each entry, hours since the start.
        active: Active instances by (model, region), [M, R] each.
        pending: Pending instances by (model, region), [M, R] each.
        load: Utilisation by (model, region), the mean over pools, [M, R] each.
        attainment: Share of the requests judged so far in the episode that met their objective,
            by tier, [K] each; NaN before the first.
        cost_usd: Bill so far.
        rewards: Rewards of the steps.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._shape = (len(scenario.models), len(scenario.regions), len(scenario.pools))
        self.hours: list[float] = []
        self.active: list[NDArray[np.float64]] = []
        self.pending: list[NDArray[np.float64]] = []
        self.load: list[NDArray[np.float64]] = []
        self.attainment: list[NDArray[np.float64]] = []
        self.cost_usd: list[float] = []
        self.rewards: list[float] = []
        self._good = np.zeros(len(scenario.tiers))
        self._bad = np.zeros(len(scenario.tiers))
        self._cost = 0.0

    def look(self, simulator: Simulator) -> None:
        """Append the present state."""
        state, (m, r, p) = simulator.state, self._shape
        view = simulator.view()
        self.hours.append(simulator.time_s / 3600.0)
        self.active.append(state.active.reshape(m, r, -1).sum(axis=2).astype(float))
        self.pending.append(state.pending.reshape(m, r, -1).sum(axis=2).astype(float))
        self.load.append(np.minimum(view.utilisation, 4.0).reshape(m, r, p).mean(axis=2))
        judged = self._good + self._bad
        share = np.full(len(judged), np.nan)
        np.divide(self._good, judged, out=share, where=judged > 0)
        self.attainment.append(share)
        self.cost_usd.append(self._cost)

    def add(self, simulator: Simulator, change: Change, reward: Any) -> None:
        """Append the state after a step."""
        self._good += change.attained
        self._bad += change.missed
        self._cost += change.vm_usd + change.transfer_usd
        self.rewards.append(float(np.sum(reward)))
        self.look(simulator)
