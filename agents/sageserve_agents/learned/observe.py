"""From a `ClusterView` to the environment's observation, and from its action to a `ClusterAction`.

A network that was trained in `SageServeEnv` sees the arrays of `sageserve_env.observations` and
answers in the actions of `sageserve_env.action_modes`. An agent is given a view instead. `Codec`
makes the same numbers from it (a test holds them equal), for ``control="scaling"``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.forms import CHOICES, LARGEST_DELTA
from sageserve_env.kernels.buffers import Buffers, build_buffers
from sageserve_env.observations import Layout, Observation
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats, Ints

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
        self.layout = Layout(scenario, mode)
        regions = np.array([scenario.region_names.index(p.region) for p in scenario.endpoints])
        self._region = regions
        routing = scenario.round_trip
        if scenario.routing.router == "shares":
            routing = np.eye(len(scenario.regions))
        self._buffers: Buffers = build_buffers(
            scenario,
            view.theta,
            view.target,
            np.broadcast_to(routing, (len(scenario.models), *routing.shape)).copy(),
            observation_size=0,
        )

    @property
    def size(self) -> int:
        """Return the number of targets: endpoints times usable VM types."""
        return len(self._buffers.pair)

    # -- observation ----------------------------------------------------------------------------

    def observation(self, view: ClusterView) -> Observation:
        """Return the observation of a view, as the environment gives it."""
        parts = (
            self._endpoints(view),
            self._demand(view),
            self._models(view),
            self._regions(view),
            self._routing(),
            self._globals(view),
        )
        flat = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
        return self.layout.present(flat)

    def _endpoints(self, view: ClusterView) -> Floats:
        b, settings = self._buffers, self._buffers.settings[0]
        ready = view.pending_ready_s / settings["redeploy_s"]
        per_type = np.stack(
            [
                _count(view.target, b.share),
                _count(view.active, b.share),
                _count(view.pending, b.share),
                np.where(view.pending > 0, _ratio(np.maximum(ready, 0.0)), 0.0),
                _count(view.draining, b.share),
                _count(view.unmet, b.share),
            ],
            axis=2,
        ).reshape(len(view.target), -1)
        active = view.active.sum(axis=1)
        model = np.arange(len(view.target)) // (len(view.target) // len(view.theta))
        theta = (view.active * view.theta[model]).sum(axis=1)
        work = view.queued_prompt_tokens
        wait = np.where(theta > 0, work / np.where(theta > 0, theta, 1.0), 60.0 * work)
        most = settings["max_sequences"] * np.maximum(1, active)
        release = np.full(len(active), min(1.0, max(0.0, float(settings["release"]))))
        per_endpoint = np.stack(
            [
                _ratio(view.utilisation),
                np.minimum(1.0, view.kv_utilisation),
                _log(wait, 3600.0),
                _log(view.queued_requests, 10_000.0),
                np.minimum(1.0, view.running / most),
                _ratio(view.ttft_p95_ratio),
                view.slo_attainment,
                release,
            ],
            axis=1,
        )
        return np.concatenate([per_type, per_endpoint], axis=1)

    def _demand(self, view: ClusterView) -> Floats:
        batch = self._buffers.batch_tier.astype(np.bool_)
        unit = self._buffers.unit_rate
        columns: list[Floats] = []
        for rates, scale in ((view.request_rate, None), (view.prompt_rate, unit)):
            for tiers in (~batch, batch):
                total = rates[..., tiers].sum(axis=3)  # [W, M, R]
                scaled = _log(total, 100.0) if scale is None else np.minimum(4.0, total / scale)
                columns.extend(scaled)
        columns.extend(_log(view.output_rate.sum(axis=3), 100_000.0))
        return np.stack(columns, axis=2)

    def _models(self, view: ClusterView) -> Floats:
        settings = self._buffers.settings[0]
        left = np.where(view.niw_backlog > 0, view.niw_deadline_s / settings["deadline_s"], 1.0)
        columns = (
            _log(view.niw_backlog, 100_000.0),
            _log(view.niw_backlog_tokens / self._reference_theta(view), 1_000_000.0),
            np.clip(left, -1.0, 1.0),
            _log(view.global_queue, 10_000.0),
        )
        return np.stack(columns, axis=1)

    def _reference_theta(self, view: ClusterView) -> Floats:
        """Return theta on the first VM type that each model runs on, [M]."""
        first = np.argmax(self.scenario.compatible, axis=1)
        theta: Floats = view.theta[np.arange(len(view.theta)), first]
        return theta

    def _regions(self, view: ClusterView) -> Floats:
        held = np.concatenate([view.idle_vms[None], view.spot_vms])  # [1 + M, R, G]
        share: Floats = np.minimum(1.0, held / self._buffers.vms).transpose(1, 0, 2)
        return share

    def _routing(self) -> Floats:
        scale = 1.0 if self.scenario.routing.router == "shares" else 0.5
        routing: Floats = np.minimum(1.0, scale * self._buffers.default_routing)
        return routing

    def _globals(self, view: ClusterView) -> Floats:
        hour = view.weekday * 24.0
        day, week = 2.0 * np.pi * hour / 24.0, 2.0 * np.pi * hour / 168.0
        passed = min(1.0, view.time_s / view.horizon_s)
        return np.array([passed, np.sin(day), np.cos(day), np.sin(week), np.cos(week)])

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
        targets = np.zeros(b.share.shape, dtype=np.int64)
        targets[b.pair[:, 0], b.pair[:, 1]] = values
        return targets


def _count(instances: Ints, share: Floats) -> Floats:
    scaled: Floats = np.minimum(4.0, instances / share)
    return scaled


def _ratio(x: Floats) -> Floats:
    ratio: Floats = x / (1.0 + x)
    return ratio


def _log(x: Ints | Floats, top: float) -> Floats:
    scaled: Floats = np.minimum(1.0, np.log1p(np.maximum(0.0, x)) / np.log1p(top))
    return scaled
