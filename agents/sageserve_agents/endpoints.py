"""Endpoints as arrays, and counts of instances spread over VM types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats, Ints

_FAR = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class Endpoints:
    """Indices and limits of a scenario that agents use at every decision.

    Attributes:
        scenario: The scenario.
        model: Model of each endpoint, int64 [E].
        region: Region of each endpoint, int64 [E].
        pool: Pool of each endpoint as an index into ``scenario.pools``, int64 [E].
        interactive: Whether a tier is interactive, bool [K].
        price: USD per VM-hour, float64 [R, G].
        resident: Share of a region's requests that must be served there, float64 [R].
        compatible: bool [M, G].
        low: Fewest instances per endpoint, int64 [E].
        high: Most instances per endpoint, int64 [E].
    """

    scenario: Scenario
    model: Ints
    region: Ints
    pool: Ints
    interactive: NDArray[np.bool_]
    price: Floats
    resident: Floats
    compatible: NDArray[np.bool_]
    low: Ints
    high: Ints

    @staticmethod
    def of(scenario: Scenario) -> Endpoints:
        """Return those of a scenario."""
        m, r, p = len(scenario.models), len(scenario.regions), len(scenario.pools)
        model, region, pool = (
            a.ravel().astype(np.int64) for a in np.indices((m, r, p), dtype=np.int64)
        )
        usable = np.where(scenario.compatible[model], scenario.inventory[region], 0).sum(axis=1)
        limit = _FAR if scenario.max_instances is None else scenario.max_instances
        high = np.minimum(usable, limit).astype(np.int64)
        return Endpoints(
            scenario=scenario,
            model=model,
            region=region,
            pool=pool,
            interactive=np.array([t.interactive for t in scenario.tiers]),
            price=scenario.price_usd_per_hour,
            resident=np.array([region.resident for region in scenario.regions]),
            compatible=scenario.compatible,
            low=np.minimum(scenario.min_instances, high),
            high=high,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes (M, R, P)."""
        s = self.scenario
        return len(s.models), len(s.regions), len(s.pools)

    def clip(self, totals: Ints) -> Ints:
        """Return totals [E] within the limits of each endpoint."""
        clipped: Ints = np.clip(totals, self.low, self.high).astype(np.int64)
        return clipped

    def usd_per_token(self, theta: Floats) -> Floats:
        """Return USD per sustained prompt token, [M, G]; infinite where a model cannot run.

        Prices are those of the first region; the order of VM types is the same in all.
        """
        usable = self.compatible & (theta > 0)
        safe = np.where(usable, theta, 1.0)
        return np.where(usable, self.price[0] / safe / 3600.0, np.inf)

    def best_theta(self, theta: Floats) -> Floats:
        """Return theta of the cheapest VM type per token of each model, [M]; at least 1."""
        best = np.argmin(self.usd_per_token(theta), axis=1)
        picked: Floats = np.maximum(theta[np.arange(len(theta)), best], 1.0)
        return picked

    def spread(self, view: ClusterView, totals: Ints, standing: Ints | None = None) -> Ints:
        """Distribute wanted totals [E] over VM types, [E, G].

        What stands (``standing`` [E, G], by default the targets in force) is kept. More instances
        go to the type with the least cost per token that has a free VM in the region; fewer are
        taken from the dearest type first.
        """
        totals = self.clip(totals)
        standing = view.target if standing is None else standing
        if standing.shape[1] == 1:
            return totals[:, None].astype(np.int64)
        result = standing.copy()
        free = view.free_vms
        order = np.argsort(self.usd_per_token(view.theta), axis=1, kind="stable")  # [M, G]
        change = totals - standing.sum(axis=1)
        for e in np.flatnonzero(change < 0):
            left = -int(change[e])
            for g in order[self.model[e]][::-1]:
                take = min(left, int(result[e, g]))
                result[e, g] -= take
                left -= take
        for e in np.flatnonzero(change > 0):
            self._add(int(e), int(change[e]), result, free, order)
        return result

    def equivalents(self, view: ClusterView, counts: Ints) -> Ints:
        """Return counts [E, G] as instances of the cheapest VM type per token, [E]."""
        rate = (counts * view.theta[self.model]).sum(axis=1)
        whole: Ints = np.rint(rate / self.best_theta(view.theta)[self.model]).astype(np.int64)
        return whole

    def fill(self, view: ClusterView, equivalents: Ints) -> Ints:
        """Provide the capacity of so many instances of the cheapest VM type per token, [E, G].

        As `spread`, but the counts of VM types that sustain more or less are fewer or more. What
        stands and was not asked for in vain is kept.

        Args:
            view: What is seen.
            equivalents: Instances of the cheapest type per token, [E].
        """
        equivalents = self.clip(equivalents)
        if view.theta.shape[1] == 1:
            only: Ints = equivalents[:, None].astype(np.int64)
            return only
        theta = np.where(self.compatible, view.theta, 0.0)[self.model]  # [E, G]
        needed = equivalents * self.best_theta(view.theta)[self.model]
        result: Ints = (view.target - view.unmet).clip(min=0)
        free = view.free_vms
        order = np.argsort(self.usd_per_token(view.theta), axis=1, kind="stable")
        slack = 1e-6 * needed.max(initial=1.0)
        have = (result * theta).sum(axis=1)
        for e in range(len(needed)):
            types = [g for g in order[self.model[e]] if theta[e, g] > 0]
            for g in types[::-1]:  # the dearest first
                spare = int((have[e] - needed[e] + slack) // theta[e, g])
                take = min(max(spare, 0), int(result[e, g]))
                take = min(take, max(int(result[e].sum() - self.low[e]), 0))
                result[e, g] -= take
                have[e] -= take * theta[e, g]
            for g in types:
                lack = max(int(np.ceil((needed[e] - have[e] - slack) / theta[e, g])), 0)
                give = min(lack, max(int(free[self.region[e], g]), 0))
                result[e, g] += give
                free[self.region[e], g] -= give
                have[e] += give * theta[e, g]
            lack = int(np.ceil((needed[e] - have[e] - slack) / theta[e, types[0]]))
            result[e, types[0]] += max(lack, 0)  # no VM is free: reported as unmet and retried
        return result

    def _add(self, e: int, count: int, result: Ints, free: Ints, order: NDArray[np.intp]) -> None:
        region = self.region[e]
        types = [g for g in order[self.model[e]] if self.compatible[self.model[e], g]]
        for g in types:
            take = min(count, max(0, int(free[region, g])))
            result[e, g] += take
            free[region, g] -= take
            count -= take
        result[e, types[0]] += count  # no VM is free: reported as unmet and retried
