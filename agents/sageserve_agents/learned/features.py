"""What the residual policy sees: one row of numbers per model, the same for any cluster.

All rows are made alike and hold no name and no index of a model, so that one network serves any
number of models and regions. Loads are in instances: prompt tokens per second over theta, the rate
that one instance sustains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_agents.endpoints import Endpoints
from sageserve_agents.misses import Misses
from sageserve_env.view import ClusterView, Floats

FEATURES = (
    "surprise: log of the load of 5 minutes over the forecast for them",
    "surprise of the last minute against the last 5",
    "slope: log of the next quarter-hour's forecast over that of now",
    "slope of the hour",
    "headroom: log of accepting instances over the load that is planned for",
    "pending instances over standing ones",
    "queue: log of queued work per accepting instance, seconds",
    "utilisation, ratio",
    "KV utilisation",
    "TTFT p95 over its objective, ratio",
    "share of misses in the last 5 minutes",
    "share of misses in the last hour",
    "share of misses in the last 6 hours",
    "size: log of the load",
    "seconds of work in a mean request, log",
    "batch work that has to be done per hour until it is due, over the load, log",
    "batch arrivals over interactive ones, log",
    "instances that spot VMs with the model can give in a minute, over standing ones",
)
"""Names of the columns."""

_NIW_RESERVE_S = 1800.0  # (A) batch work is to be done this long before it is due
_TINY = 0.05  # (A) instances; the least load that ratios are taken of


@dataclass(frozen=True)
class Loads:
    """Loads per model in instances, each [M].

    Attributes:
        now: Forecast for the present five minutes.
        soon: Largest forecast until a start from a spot VM made now has been up for a period.
        later: The same for the slowest usual start.
        hour: Largest forecast of the coming hour.
        seen_1, seen_5, seen_15: Interactive load of the last 1, 5 and 15 minutes.
        batch: Batch arrivals of the last 15 minutes.
        batch_due: Batch backlog over the time until it is due.
        queued: Work queued at the endpoints, instance-seconds.
    """

    now: Floats
    soon: Floats
    later: Floats
    hour: Floats
    seen_1: Floats
    seen_5: Floats
    seen_15: Floats
    batch: Floats
    batch_due: Floats
    queued: Floats


def loads(
    view: ClusterView, endpoints: Endpoints, rates: Floats, quick_bins: int, slow_bins: int
) -> Loads:
    """Return the loads of a view.

    Args:
        view: What is seen.
        endpoints: Endpoints.
        rates: Forecast interactive prompt tokens per second in bins from now, [T, M, R, K].
        quick_bins: Bins until a start from a spot VM made now has been up for a period.
        slow_bins: The same for the slowest usual start.
    """
    theta = endpoints.best_theta(view.theta)
    ahead = rates.sum(axis=(2, 3)) / theta  # [T, M]
    interactive = endpoints.interactive
    seen = view.prompt_rate[..., interactive].sum(axis=(2, 3)) / theta  # [W, M]
    batch = view.prompt_rate[2][..., ~interactive].sum(axis=(1, 2)) / theta
    left_s = np.minimum(view.niw_deadline_s, view.horizon_s - view.time_s) - _NIW_RESERVE_S
    due = view.niw_backlog_tokens / theta / np.maximum(left_s, _NIW_RESERVE_S)
    queued = view.queued_prompt_tokens.reshape(len(theta), -1).sum(axis=1) / theta
    return Loads(
        now=ahead[0],
        soon=ahead[: quick_bins + 1].max(axis=0),
        later=ahead[: slow_bins + 1].max(axis=0),
        hour=ahead.max(axis=0),
        seen_1=seen[0],
        seen_5=seen[1],
        seen_15=seen[2],
        batch=batch,
        batch_due=due,
        queued=queued,
    )


def features(view: ClusterView, endpoints: Endpoints, seen: Loads, misses: Misses) -> Floats:
    """Return the rows of the policy, [M, len(FEATURES)], each entry of the order of 1."""
    models = len(view.theta)

    def per_model(values: Floats) -> Floats:
        total: Floats = values.reshape(models, -1).sum(axis=1)
        return total

    active = per_model(view.active.sum(axis=1).astype(np.float64))
    pending = per_model(view.pending.sum(axis=1).astype(np.float64))
    standing = np.maximum(active + pending, 1.0)
    spot = view.spot_vms.reshape(models, -1).sum(axis=1).astype(np.float64)
    weight = view.active.sum(axis=1) + 1e-9
    finite = np.where(np.isfinite(view.utilisation), view.utilisation, 10.0)
    used = per_model(finite * weight) / per_model(weight)
    kv = per_model(np.nan_to_num(view.kv_utilisation, posinf=1.0) * weight) / per_model(weight)
    ttft = per_model(view.ttft_p95_ratio * weight) / per_model(weight)
    hour, part = misses.shares()
    load = np.maximum(seen.soon, _TINY)
    theta = endpoints.best_theta(view.theta)
    interactive = endpoints.interactive
    tokens = view.prompt_rate[2][..., interactive].sum(axis=(1, 2))
    requests = view.request_rate[2][..., interactive].sum(axis=(1, 2))
    work_s = np.where(requests > 0, tokens / np.maximum(requests, 1e-9), theta) / theta
    columns = (
        _log_ratio(seen.seen_5, seen.now),
        _log_ratio(seen.seen_1, seen.seen_5),
        _log_ratio(seen.later, seen.now),
        _log_ratio(seen.hour, seen.now),
        _log_ratio(active, load),
        pending / standing * 3.0,
        np.log1p(seen.queued / np.maximum(active, 1.0)) / 2.0,
        2.0 * used / (1.0 + used),
        kv,
        2.0 * ttft / (1.0 + ttft) - 1.0,
        5.0 * misses.fast,
        10.0 * (hour - 0.05),
        10.0 * (part - 0.05),
        np.log(load) / 2.0 - 0.5,
        np.log(np.maximum(work_s, 0.05)),
        np.log1p(10.0 * seen.batch_due / load),
        np.log1p(seen.batch / np.maximum(seen.seen_15, _TINY)),
        np.minimum(spot / standing, 1.0),
    )
    rows: Floats = np.clip(np.stack(columns, axis=1), -3.0, 3.0)
    return rows


def _log_ratio(a: Floats, b: Floats) -> Floats:
    ratio: Floats = 2.0 * np.log(np.maximum(a, _TINY) / np.maximum(b, _TINY))
    return ratio
