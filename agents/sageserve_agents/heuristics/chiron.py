"""`chiron`: pools per class of work, sized by interactive back-pressure and batch backlog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import busy_instances, measured
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Floats, Ints

_HOUR_S = 3600.0


@dataclass(frozen=True)
class ChironOptions(StackOptions):
    """Options of `Chiron`.

    Attributes:
        back_pressure: Interactive back-pressure that is kept: busy interactive instances over
            interactive and mixed ones (docs/sources.md, "Paper": 0.6).
        hysteresis: No scale-in while the back-pressure is above ``(1 - hysteresis)`` x the target
            (A; without it the pools oscillate by one).
        mixed_share: Share of the interactive capacity that is in the mixed pool (A).
        reserve_s: Batch work is planned to be done this long before its deadline (A).
        mixed_release: Utilisation below which the mixed pool takes batch work (paper: 60 %).
        batch_release: The same of the batch pool (A).
    """

    back_pressure: float = option(0.6, above=0)
    hysteresis: float = option(0.15, low=0, high=1)
    mixed_share: float = option(0.3, low=0, high=1)
    reserve_s: float = option(2 * _HOUR_S, low=0)
    mixed_release: float = option(0.6, low=0)
    batch_release: float = option(1.0, low=0)


class Chiron(RuleAgent[ChironOptions]):
    """Interactive and mixed pools follow back-pressure, the batch pool backlog over deadline.

    Scale-outs of a (model, region) wait until the last one is up; the batch pool of a model is
    spread evenly over the regions.
    """

    name = "chiron"
    pooling = "chiron"
    options_type = ChironOptions
    tunable: ClassVar[Tunable] = {
        "back_pressure": Range(0.15, 0.9),
        "hysteresis": Range(0.05, 0.5),
        "mixed_share": Range(0.1, 0.6),
    }
    service_knob = ServiceKnob("back_pressure", stingy=1.5, generous=0.05, log=True)

    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances of every pool, [E]."""
        o = self.options
        shape = self.endpoints.shape
        standing: Ints = view.target.sum(axis=1).reshape(shape)
        waiting = (view.pending + view.unmet).sum(axis=1).reshape(shape)
        busy = busy_instances(view).reshape(shape)
        pools = self.scenario.pools
        inter, mixed, batch = (pools.index(p) for p in ("interactive", "mixed", "batch"))
        have = standing[..., inter] + standing[..., mixed]
        used = busy[..., inter] + busy[..., mixed]
        pressure = used / np.maximum(have, 1)
        wanted = np.ceil(used / o.back_pressure - 1e-9).astype(np.int64)
        idle = waiting[..., inter] + waiting[..., mixed] == 0
        out = (pressure > o.back_pressure) & idle
        into = pressure < o.back_pressure * (1.0 - o.hysteresis)
        total = np.where(out, np.maximum(wanted, have + 1), have)
        total = np.where(into, np.maximum(wanted, have - 1), total)
        known = measured(view, self.scenario).reshape(shape)
        total = np.where(known[..., inter] | known[..., mixed], total, have)
        shared = np.rint(o.mixed_share * total).astype(np.int64)
        result = standing.copy()
        result[..., mixed] = shared
        result[..., inter] = total - shared
        result[..., batch] = self._batch(view)[:, None]
        totals: Ints = result.reshape(-1)
        return totals

    def _batch(self, view: ClusterView) -> Ints:
        """Return the batch instances of each model per region, [M]."""
        theta = self.endpoints.best_theta(view.theta)
        left_s = np.maximum(view.niw_deadline_s - self.options.reserve_s, _HOUR_S)
        load = view.niw_backlog_tokens / left_s / theta
        per_region: Ints = np.ceil(load / self.endpoints.shape[1] - 1e-9).astype(np.int64)
        return per_region

    def niw_release(self, view: ClusterView) -> Floats | None:
        """Return the ceilings, [E]: none in the interactive pools."""
        limits = {"mixed": self.options.mixed_release, "batch": self.options.batch_release}
        by_pool = np.array([limits.get(p, 0.0) for p in self.scenario.pools])
        released: Floats = by_pool[self.endpoints.pool]
        return released
