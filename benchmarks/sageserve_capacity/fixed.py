"""A fleet that never changes, of a size that the user has now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_traces import DemandSeries


class Fixed:
    """Keeps a number of GPUs, shared out as the mean load of models and regions asks.

    Args:
        gpus: How many.
        load: Instances that the traffic needs on average, [M, R].
    """

    pooling, clairvoyant = "unified", False

    def __init__(self, gpus: int, load: NDArray[np.float64]) -> None:
        self.name = f"fleet of {gpus:,} GPUs"
        self._gpus, self._load = gpus, load

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Share the GPUs out: one instance at a time, to where most load meets one."""
        place = np.argmax(scenario.compatible, axis=1)  # [M]
        size = np.array([gpu.gpus_per_vm for gpu in scenario.gpu_specs])[place]
        counts = np.zeros(self._load.shape, dtype=np.int64)
        counts[np.arange(len(counts)), self._load.argmax(axis=1)] = 1  # every model somewhere
        left = self._gpus - int((counts.sum(axis=1) * size).sum())
        free = scenario.inventory.T[place].copy() - counts  # [M, R]
        while True:
            need = np.where((size[:, None] <= left) & (free > 0), self._load, 0.0)
            need = need / (counts + 0.5) / size[:, None]
            if need.max() <= 0:
                break
            m, r = divmod(int(need.argmax()), need.shape[1])
            counts[m, r] += 1
            free[m, r] -= 1
            left -= int(size[m])
        self._instances = np.zeros((len(scenario.endpoints), len(scenario.gpus)), dtype=np.int64)
        for e, endpoint in enumerate(scenario.endpoints):
            m = scenario.models.index(endpoint.model)
            region = scenario.region_names.index(endpoint.region)
            self._instances[e, place[m]] = counts[m, region]

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the same again."""
        return ClusterAction(self._instances)
