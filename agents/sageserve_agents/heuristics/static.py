"""`static`: a fleet sized for the peak that never changes, the anchor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.demand import DemandTracker
from sageserve_agents.options import When, option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Ints

_SIZED: When = ("instances=0", lambda o: o.instances == 0)


@dataclass(frozen=True)
class StaticOptions(StackOptions):
    """Options of `Static`.

    Attributes:
        target_load: Share of theta that the peak may use (A).
        peak_bin_s: The peak is that of means over this time (A; a prompt queue of less than this
            drains before most objectives).
        instances: Instances per endpoint, instead of a size from the history; 0 means not given.
        without_history: Instances per endpoint where there is no history (the paper's unified
            pool has 20 per model and region; docs/sources.md, "Paper").
    """

    target_load: float = option(0.7, above=0, when=_SIZED)
    peak_bin_s: float = option(300.0, low=60, multiple_of=60, when=_SIZED)
    instances: int = option(0, low=0)
    without_history: int = option(20, low=0, when=_SIZED)


class Static(RuleAgent[StaticOptions]):
    """Every endpoint has the instances that its own history peak needs, all the time.

    The peak of an endpoint is the largest mean rate of prompt tokens, all tiers, of its region and
    model in the history; regions are not pooled, as without a plan each must stand alone. Nothing
    of the episode is used. Without a history each endpoint has ``without_history`` instances, at
    most an equal share of its region's VMs.
    """

    name = "static"
    options_type = StaticOptions
    tunable: ClassVar[Tunable] = {"target_load": Range(0.3, 1.2)}
    service_knob = ServiceKnob("target_load", stingy=16.0, generous=0.2, log=True)

    def start(self) -> None:
        """Forget the size of the last episode."""
        self._fleet: Ints | None = None

    def targets(self, view: ClusterView) -> Ints:
        """Return the fixed fleet, [E, G]."""
        if self._fleet is None:
            self._fleet = self.endpoints.fill(view, self.desired(view))
        return self._fleet

    def desired(self, view: ClusterView) -> Ints:
        """Return the fixed size in instances of the cheapest VM type per token, [E]."""
        return self._sized(view)

    def _sized(self, view: ClusterView) -> Ints:
        models, regions, pools = self.endpoints.shape
        tracker = DemandTracker(self.history, self.options.peak_bin_s)
        if self.options.instances:
            per_pair = np.full((models, regions), self.options.instances)
        elif len(tracker):
            tokens = tracker.series().prompt_tokens.sum(axis=3) / self.options.peak_bin_s
            theta = (self.endpoints.best_theta(view.theta) * self.stack.trust)[:, None]
            per_pair = np.ceil(tokens.max(axis=0) / (self.options.target_load * theta))
        else:
            share = self.scenario.inventory.sum(axis=1) // models
            size = np.minimum(self.options.without_history, share)
            per_pair = np.broadcast_to(size, (models, regions))
        totals: Ints = np.repeat(per_pair.reshape(-1), pools).astype(np.int64)
        return self._within_inventory(totals)

    def _within_inventory(self, totals: Ints) -> Ints:
        """Shrink a region's endpoints in proportion where they exceed its VMs, [E]."""
        totals = self.endpoints.clip(totals)
        for r, vms in enumerate(self.scenario.inventory.sum(axis=1)):
            here = self.endpoints.region == r
            wanted = int(totals[here].sum())
            if wanted > vms:
                totals[here] = np.floor(totals[here] * vms / wanted).astype(np.int64)
        return totals
