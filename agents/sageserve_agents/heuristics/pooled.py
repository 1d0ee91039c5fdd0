"""`pooled`: each model sized over all regions; what is short is bought where it costs least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import Window
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions, batch_left_s
from sageserve_env.view import WINDOWS_S, ClusterView, Floats, Ints

_MINUTE, _FIVE_MINUTES = WINDOWS_S.index(60.0), WINDOWS_S.index(300.0)
_LEAST_BATCH_S = 600.0  # (A) batch work that is nearly due is spread over no less than this
_LEAST_TOKENS_PER_S = 1e-6  # ask for an instance and for no more


@dataclass(frozen=True)
class PooledOptions(StackOptions):
    """Options of `Pooled`; the defaults are our assumptions.

    Attributes:
        target: Share of its theta that an instance is loaded to.
        latest: Weight of the interactive arrivals of the last minute beside those of the last five.
        drain_s: Time in which prompt tokens that wait are to be served.
        hold_s: An instance leaves when the most that its model needed in all regions in this time
            would fit without it; what its region needs for itself counts as it is now.
        home: What a region holds for requests that must be served there, over their share of the
            traffic: they come unevenly.
        swap: An instance gives way to one on a free VM whose price is lower by at least this share,
            once that one is up; 1 for never.
    """

    target: float = option(0.7, above=0)
    latest: float = option(0.5, low=0, high=1)
    drain_s: float = option(120.0, above=0)
    hold_s: float = option(600.0, low=0)
    home: float = option(1.2, low=0)
    swap: float = option(0.3, above=0, high=1)


class Pooled(RuleAgent[PooledOptions]):
    """``need = (arrivals + waiting / drain_s + batch work / time left) / target``, in tokens/s.

    A model grows by the instance with which the shortfall is covered for the fewest dollars, in the
    region that is shortest of what must be served there, if one is; it shrinks by the dearest
    instance that can go, and replaces one that can be had cheaper, one at a time; then none leaves
    until nothing of the model is starting any more. Models that gain most by their best VM type
    choose first. Only VMs that are free are asked for, and those that drain are not taken back.
    """

    name = "pooled"
    options_type = PooledOptions
    tunable: ClassVar[Tunable] = {
        "target": Range(0.3, 1.5, "log"),
        "latest": Range(0.0, 1.0),
        "drain_s": Range(30.0, 600.0, "log"),
        "hold_s": Range(60.0, 3600.0, "log"),
        "home": Range(0.5, 2.5, "log"),
        "swap": Range(0.05, 1.0, "log"),
    }
    service_knob = ServiceKnob("target", stingy=3.0, generous=0.1, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        self._needs = Window(self.options.hold_s)
        shape = self.endpoints.shape[:2]
        self._swapping = np.zeros(shape[0], dtype=bool)
        self._low, self._high = (
            a.reshape(shape) for a in (self.endpoints.low, self.endpoints.high)
        )

    def targets(self, view: ClusterView) -> Ints:
        """Return the targets, [E, G]."""
        if view.time_s <= 0 or view.time_s < self.scenario.faults.stale_metrics_s:
            return view.target  # nothing has been measured yet
        models, regions, _ = self.endpoints.shape
        need, home = self.needs(view)
        self._needs.add(view.time_s, need)
        keep = self._needs.max()
        standing = (view.target - view.unmet).clip(min=0)
        fleets = standing.reshape(models, regions, -1)
        free = view.free_vms
        theta = np.where(self.endpoints.compatible, view.theta, 0.0)
        starting = view.pending.reshape(fleets.shape)
        self._swapping &= starting.any(axis=(1, 2))
        for m in self._order(view):
            self._grow(m, fleets[m], free, theta[m], need[m], home[m])
            if self._swapping[m]:
                continue  # what is to go leaves when what replaces it is up
            self._shrink(m, fleets[m], theta[m], keep[m], home[m])
            if self.options.swap < 1.0 and not starting[m].any():
                self._swap(m, fleets[m], free, theta[m], keep[m], home[m])
        targets: Ints = fleets.reshape(standing.shape)
        return targets

    def desired(self, view: ClusterView) -> Ints:
        """Return the instances of the targets, [E]."""
        totals: Ints = self.targets(view).sum(axis=1)
        return totals

    def needs(self, view: ClusterView) -> tuple[Floats, Floats]:
        """Return what has to be sustained in prompt tokens a second.

        Returns:
            In all by model, [M], and of it in the region itself, [M, R].
        """
        o, ends = self.options, self.endpoints
        models, regions, _ = ends.shape
        rates = view.prompt_rate[..., ends.interactive].sum(axis=3)  # [W, M, R]
        rate = o.latest * rates[_MINUTE] + (1.0 - o.latest) * rates[_FIVE_MINUTES]
        waiting = view.queued_prompt_tokens.reshape(models, regions).sum(axis=1) / o.drain_s
        left_s = np.maximum(batch_left_s(view), _LEAST_BATCH_S)
        load = rate.sum(axis=1) + waiting + view.niw_backlog_tokens / left_s
        asked = (view.request_rate[_FIVE_MINUTES].sum(axis=(1, 2)) > 0) | (view.niw_backlog > 0)
        asked |= (view.global_queue > 0) | (self.scenario.min_per_model > 0)
        load = np.maximum(load, _LEAST_TOKENS_PER_S * asked)
        scale = self.stack.load_factor / o.target
        return load * scale, o.home * rate * ends.resident * scale[:, None]

    def _order(self, view: ClusterView) -> Ints:
        """Return the models, those first whose second best VM type is dearest beside the best."""
        usd = np.sort(self.endpoints.usd_per_token(view.theta), axis=1)
        second = usd[:, min(1, usd.shape[1] - 1)]
        order: Ints = np.argsort(-second / usd[:, 0], kind="stable").astype(np.int64)
        return order

    def _grow(
        self, m: int, fleet: Ints, free: Ints, theta: Floats, need: float, home: Floats
    ) -> None:
        """Add instances of a model to ``fleet`` [R, G] until nothing is short or no VM is free."""
        price, low, high = self.endpoints.price, self._low[m], self._high[m]
        while True:
            counts, have = fleet.sum(axis=1), (fleet * theta).sum(axis=1)
            usable = (free > 0) & (theta > 0) & (counts < high)[:, None]
            gap = np.maximum(home - have, np.where(counts < low, _LEAST_TOKENS_PER_S, -np.inf))
            gap[~usable.any(axis=1)] = -np.inf
            short = max(need - have.sum(), gap.max())
            if gap.max() > 0:
                usable &= (gap == gap.max())[:, None]
            if short <= 0 or not usable.any():
                return
            usd = np.where(usable, price * np.ceil(short / np.where(theta > 0, theta, 1.0)), np.inf)
            best = np.lexsort((-np.broadcast_to(theta, usd.shape).ravel(), usd.ravel()))[0]
            at = np.unravel_index(best, usd.shape)
            fleet[at] += 1
            free[at] -= 1

    def _swap(
        self, m: int, fleet: Ints, free: Ints, theta: Floats, keep: float, home: Floats
    ) -> None:
        """Add the free VM to ``fleet`` [R, G] for which the most dollars an hour can go."""
        price, have, counts = self.endpoints.price, (fleet * theta).sum(axis=1), fleet.sum(axis=1)
        same = np.eye(len(fleet), dtype=bool)[:, None, :, None]  # axes: old [R, G], new [R, G]
        left = (have - home)[:, None, None, None] - theta[:, None, None] + same * theta
        spare = have.sum() - keep - theta[:, None, None] + theta
        saved = price[:, :, None, None] - price
        usable = (free > 0) & (theta > 0) & (counts < self._high[m])[:, None]
        goes = same | (counts > self._low[m])[:, None, None, None]
        can = (fleet > 0)[:, :, None, None] & usable & goes
        can &= (left >= 0) & (spare >= 0) & (saved >= self.options.swap * price[:, :, None, None])
        if can.any():
            at = np.unravel_index(np.argmax(np.where(can, saved, -np.inf)), can.shape)[2:]
            fleet[at] += 1
            free[at] -= 1
            self._swapping[m] = True

    def _shrink(self, m: int, fleet: Ints, theta: Floats, keep: float, home: Floats) -> None:
        """Take instances of a model from ``fleet`` [R, G] while what is kept covers the need."""
        price, low = self.endpoints.price, self._low[m]
        while True:
            counts, have = fleet.sum(axis=1), (fleet * theta).sum(axis=1)
            spare = np.minimum(have.sum() - keep, have - home)[:, None]
            can = (fleet > 0) & (theta <= spare) & (counts > low)[:, None]
            if not can.any():
                return
            fleet[np.unravel_index(np.argmax(np.where(can, price, -np.inf)), can.shape)] -= 1
