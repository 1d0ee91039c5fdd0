"""`hpa`: the Kubernetes horizontal pod autoscaler, driven by utilisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import Window, busy_instances, measured
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Ints


@dataclass(frozen=True)
class HpaOptions(StackOptions):
    """Options of `Hpa`; all but the target are Kubernetes' (docs/sources.md, "Other systems").

    Attributes:
        target: Utilisation to keep (A: Kubernetes has no default for a custom metric).
        tolerance: No change while the metric is within this share of the target.
        stabilisation_s: A scale-in uses the highest recommendation of this time.
        sync_s: Time between two looks; a decision interval holds several.
        max_add: Instances added per look at most, or 100 %, whichever is more.
    """

    target: float = option(0.5, above=0)
    tolerance: float = option(0.1, low=0)
    stabilisation_s: float = option(300.0, low=0)
    sync_s: float = option(15.0, above=0)
    max_add: int = option(4, low=1)


class Hpa(RuleAgent[HpaOptions]):
    """``desired = ceil(n x metric / target)`` with tolerance, stabilisation and a growth limit.

    Instances that are not ready are left out of the metric and counted as idle in a scale-out, so
    that the desired count depends on the load alone and pending instances do not cascade. As in
    Kubernetes the count in force at the start is the first recommendation, and without a metric
    the count stays.
    """

    name = "hpa"
    options_type = HpaOptions
    tunable: ClassVar[Tunable] = {
        "target": Range(0.2, 1.0),
        "stabilisation_s": Range(60.0, 1800.0, "log"),
    }
    service_knob = ServiceKnob("target", stingy=1.5, generous=0.05, log=True)

    def start(self) -> None:
        """Forget the recommendations of the last episode."""
        self._recommended = Window(self.options.stabilisation_s)

    def desired(self, view: ClusterView) -> Ints:
        """Return the stabilised recommendation, [E]."""
        o = self.options
        standing: Ints = view.target.sum(axis=1)
        wanted = np.ceil(busy_instances(view) / o.target - 1e-9).astype(np.int64)
        near = np.abs(view.utilisation / o.target - 1.0) <= o.tolerance
        wanted = np.where(near | ~measured(view, self.scenario), standing, wanted)
        wanted = np.minimum(wanted, self._limit(view, standing))
        if not len(self._recommended):
            self._recommended.add(view.time_s, standing.astype(np.float64))
        self._recommended.add(view.time_s, wanted.astype(np.float64))
        highest = self._recommended.max().astype(np.int64)
        result: Ints = np.where(
            wanted >= standing, wanted, np.minimum(standing, np.maximum(wanted, highest))
        )
        return result

    def _limit(self, view: ClusterView, standing: Ints) -> Ints:
        """Return the most instances that the looks until the next decision may reach, [E]."""
        o = self.options
        limit, looks = standing, max(1, int(view.interval_s // o.sync_s))
        while looks > 0 and (limit < self.endpoints.high).any():  # it doubles: few looks are enough
            limit = np.maximum(limit + o.max_add, 2 * limit)
            looks -= 1
        return limit
