"""Corrections of a plan between two plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_env.view import ClusterView, Floats, Ints

_DRAIN_QUEUE_S = 300.0  # (A) a queue is to be worked off in this time
_FIVE_MINUTES = 1  # index into view.WINDOWS_S
_QUARTER_HOUR = 2


@dataclass(frozen=True)
class Refinement:
    """Numbers of `refine`; see `IlpOptions`."""

    beyond: float
    below: float
    last_part_s: float
    hold_above: float
    beta: float


def refine(
    view: ClusterView,
    endpoints: Endpoints,
    planned: Ints,
    forecast: Floats | None,
    left_s: float,
    theta: Floats,
    rules: Refinement,
) -> Ints:
    """Return totals per endpoint, [E], corrected by what is observed (the idea of LT-UA).

    Three corrections, each per model, in this order:

    * a planned scale-in waits while the endpoint is busier than ``hold_above``;
    * the load of the last five minutes, with the queue to be worked off, needs
      ``load + beta sqrt(load)`` instances; where that exceeds what is planned by ``beyond``, the
      difference is added in the regions where instances are there soonest;
    * in the last part of the period, where the load of the last 15 minutes is at most ``below`` x
      the forecast, the counts shrink to what the observed load needs.

    Args:
        view: What is seen.
        endpoints: Endpoints (unified pools).
        planned: Instances of the plan, [E].
        forecast: Mean interactive prompt tokens per second that the plan expected, [M].
        left_s: Time to the end of the period.
        theta: Prompt tokens per second that an instance is planned for, [M].
        rules: Thresholds.
    """
    models, regions, _ = endpoints.shape
    standing = view.target.sum(axis=1)
    totals = planned.copy()
    holding = (totals < standing) & (view.utilisation > rules.hold_above)
    totals[holding] = standing[holding]
    interactive = endpoints.interactive
    arriving = view.prompt_rate[..., interactive].sum(axis=(2, 3))  # [W, M]
    queue = view.queued_prompt_tokens.reshape(models, regions).sum(axis=1)
    now = _instances(arriving[_FIVE_MINUTES] + queue / _DRAIN_QUEUE_S, theta, rules.beta)
    counts = totals.reshape(models, regions)
    missing = np.where(now > rules.beyond * counts.sum(axis=1), now - counts.sum(axis=1), 0)
    for m in np.flatnonzero(missing > 0):
        _add_soonest(view, endpoints, counts, int(m), int(missing[m]))
    if forecast is not None and 0 < left_s <= rules.last_part_s and view.time_s > 900.0:
        calm = arriving[_QUARTER_HOUR]
        low = _instances(calm, theta, rules.beta)
        for m in np.flatnonzero(calm <= rules.below * forecast):
            _remove(counts, int(m), int(counts[m].sum() - max(low[m], now[m])), endpoints)
    return totals


def _instances(rate: Floats, theta: Floats, beta: float) -> Ints:
    load = rate / theta
    wanted: Ints = np.ceil(load + beta * np.sqrt(load) - 1e-9).astype(np.int64)
    return wanted


def _add_soonest(view: ClusterView, endpoints: Endpoints, counts: Ints, m: int, count: int) -> None:
    """Add instances of a model one by one where one is up soonest, then where it is busiest."""
    room = endpoints.high.reshape(counts.shape)[m] - counts[m]
    spot = view.spot_vms[m].sum(axis=1) - np.maximum(
        counts[m] - view.target.sum(axis=1).reshape(counts.shape)[m], 0
    )
    free = view.free_vms.sum(axis=1)
    busy = view.utilisation.reshape(counts.shape)[m].copy()
    for _ in range(count):
        rank = 4.0 * (spot > 0) + 2.0 * (free > 0) + busy / (1.0 + busy.max(initial=0.0))
        r = int(np.argmax(np.where(room > 0, rank, -1.0)))
        if room[r] <= 0:
            return
        counts[m, r] += 1
        room[r] -= 1
        spot[r] -= 1
        free[r] -= 1
        busy[r] *= counts[m, r] / (counts[m, r] + 1.0)


def _remove(counts: Ints, m: int, count: int, endpoints: Endpoints) -> None:
    """Take instances of a model away, each from the region that has most above its minimum."""
    low = endpoints.low.reshape(counts.shape)[m]
    for _ in range(max(count, 0)):
        r = int(np.argmax(counts[m] - low))
        if counts[m, r] <= low[r]:
            return
        counts[m, r] -= 1
