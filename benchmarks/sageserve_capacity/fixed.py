"""A fleet that never changes: what the user has now, or the least that keeps the promise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.analysis.targets import Targets
from sageserve_bench.errors import UserError
from sageserve_bench.rows import Row
from sageserve_bench.runs.episode import run_episode
from sageserve_bench.runs.tasks import Task
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_search.probing import Probe
from sageserve_traces import DemandSeries, TraceSource

SIZE_TOLERANCE = 0.02
"""A fleet at most this share larger than one that is too small is taken for the least (A)."""


class Fixed:
    """Keeps a number of GPUs, shared out as the load of models and regions asks.

    Args:
        gpus: How many.
        load: Instances that the traffic needs, [M, R]; only the proportions matter.
    """

    pooling, clairvoyant = "unified", False

    def __init__(self, gpus: int, load: NDArray[np.float64]) -> None:
        self.name = f"fleet of {gpus:,} GPUs"
        self._gpus, self._load = gpus, load

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Share the GPUs out."""
        place = np.argmax(scenario.compatible, axis=1)
        counts = share_out(self._gpus, scenario, self._load)
        self._instances = np.zeros((len(scenario.endpoints), len(scenario.gpus)), dtype=np.int64)
        for e, endpoint in enumerate(scenario.endpoints):
            m = scenario.models.index(endpoint.model)
            region = scenario.region_names.index(endpoint.region)
            self._instances[e, place[m]] = counts[m, region]

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the same again."""
        return ClusterAction(self._instances)


def sizes_of(scenario: Scenario) -> NDArray[np.int64]:
    """Return the GPUs of an instance of each model, [M]."""
    place = np.argmax(scenario.compatible, axis=1)
    sizes: NDArray[np.int64] = np.array([gpu.gpus_per_vm for gpu in scenario.gpu_specs])[place]
    return sizes


def share_out(gpus: int, scenario: Scenario, load: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the instances of a number of GPUs, [M, R].

    Every model has one, where its load is highest; the others go one at a time to where most load
    meets one.

    Args:
        gpus: How many; what is left over when no further instance fits is not used.
        scenario: The cluster.
        load: Instances that the traffic needs, [M, R]; only the proportions matter.
    """
    place = np.argmax(scenario.compatible, axis=1)  # [M]
    size = sizes_of(scenario)
    counts = np.zeros(load.shape, dtype=np.int64)
    counts[np.arange(len(counts)), load.argmax(axis=1)] = 1
    left = gpus - int(counts.sum(axis=1) @ size)
    free = scenario.inventory.T.copy()  # [G, R]
    np.subtract.at(free, place, counts)
    while True:
        need = np.where((size[:, None] <= left) & (free[place] > 0), load, 0.0)
        need = need / (counts + 0.5) / size[:, None]
        if need.max() <= 0:
            return counts
        m, r = divmod(int(need.argmax()), need.shape[1])
        counts[m, r] += 1
        free[place[m], r] -= 1
        left -= int(size[m])


@dataclass(frozen=True)
class Fleets:
    """Plays constant fleets of different sizes, each up from the beginning.

    Attributes:
        scenario: The cluster; has room for them.
        source: The requests.
        load: Instances that they need, [M, R]; only the proportions matter.
        seed: Of the simulator.
    """

    scenario: Scenario
    source: TraceSource
    load: NDArray[np.float64]
    seed: int

    def instances(self, gpus: int) -> NDArray[np.int64]:
        """Return the instances of a fleet, [M, R]."""
        return share_out(gpus, self.scenario, self.load)

    def formed(self, gpus: int) -> int:
        """Return how many of so many GPUs make instances for which there is room."""
        return int(self.instances(gpus).sum(axis=1) @ sizes_of(self.scenario))

    def check(self, gpus: int) -> None:
        """Refuse a number of GPUs of which no fleet can be made.

        Raises:
            UserError: With the numbers nearest to it.
        """
        least, formed = self.formed(0), self.formed(gpus)
        if gpus < least:
            raise UserError(
                f"--current {gpus}: one instance of each model takes {least} GPUs; give {least} or "
                "more, or what your models are with --map"
            )
        if formed < gpus:
            sizes = sorted(set(sizes_of(self.scenario).tolist()))
            larger = [n for n in range(gpus + 1, gpus + sizes[-1] + 1) if self.formed(n) == n]
            near = " or ".join(map(str, [formed, *larger[:1]]))
            raise UserError(
                f"--current {gpus}: instances have {', '.join(map(str, sizes))} GPUs here; "
                f"give {near}"
            )

    def play(self, gpus: int) -> Probe:
        """Return what comes of a fleet."""
        held = self.scenario.replace(initial_instances=int(self.instances(gpus).max()))
        row: Row = run_episode(Task(Fixed(gpus, self.load), held, self.source, self.seed)).row
        service = Targets.of(held)
        means = service.means([row])
        return Probe(str(row["agent"]), means, service.margin(means), service.misses(means))

    def least(self, start: int) -> tuple[int, Probe]:
        """Return the fewest GPUs that meet the targets, and what comes of them.

        Doubles the fleet until it is enough, and then halves the gap.

        Args:
            start: GPUs to begin with.

        Returns:
            The largest fleet that there is room for, if none is enough.
        """
        low = self.formed(0) - 1  # one instance of each model is the smallest fleet
        high = self.formed(max(low + 1, start))
        best = self.play(high)
        while not best.attains:
            more = self.formed(2 * high)
            if more <= high:  # no room
                return high, best
            low, high = high, more
            best = self.play(high)
        while high - low > max(1.0, SIZE_TOLERANCE * high):
            middle = self.formed((low + high) // 2)
            if middle <= low:
                middle = self.formed(high - 1)
            if middle <= low:  # no further instance can be made of the GPUs between
                break
            probe = self.play(middle)
            if probe.attains:
                high, best = middle, probe
            else:
                low = middle
        return high, best
