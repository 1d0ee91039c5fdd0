"""From a forecast and a view to the arrays of a planning problem."""

from __future__ import annotations

import numpy as np

from sageserve_agents.demand import DAY_S, HOUR_S, DemandTracker
from sageserve_agents.endpoints import Endpoints
from sageserve_env.view import ClusterView, Floats

# Weights of the objective's small parts. They only break ties between regions.
_BYTES_PER_TOKEN = 4.0  # (A) text of a token and its framing
_LATENCY_USD_PER_S = 0.01  # (A) per request: 5 % of the charge of a miss for each second
_PRIORITY_FACTOR = 0.5  # (A) each lower rank of a tier is worth half
_REQUEST_TOKENS = 2000.0  # (A) prompt tokens of a request before any was seen
_DEADLINE_RESERVE_S = 2 * HOUR_S  # (A) backlog is planned to be done this long before it is due
_LEAST_SPREAD_S = 0.5 * HOUR_S  # (A) and over no less than this, so that late work is no spike
_URGENT_CEILING = 1.5  # (A) utilisation up to which work that is due is taken
_NIW_LOOK_BACK_S = HOUR_S  # the buffer is a share of the last hour's NIW


def niw_demand(
    endpoints: Endpoints, view: ClusterView, tracker: DemandTracker, buffer_share: float
) -> Floats:
    """Return the non-interactive prompt tokens per second to plan for, [M, R, K].

    The buffer is a share of what arrived in the last hour. Deadlines force the rest: the backlog
    of a model is spread evenly over the time to its earliest deadline less two hours, by origin as
    in the last hour, so that it weighs little when fresh and everything when it is due. The end of
    the episode counts as a deadline (see `niw_left_s`).
    """
    batch = ~endpoints.interactive
    arrived = tracker.recent(_NIW_LOOK_BACK_S) * batch
    result = buffer_share * arrived
    if batch.any():
        left_s = np.maximum(niw_left_s(view) - _DEADLINE_RESERVE_S, _LEAST_SPREAD_S)
        forced = view.niw_backlog_tokens / left_s  # [M]
        share = arrived + 1e-9 * batch  # even where nothing arrived
        share = share / share.sum(axis=(1, 2), keepdims=True)
        result = result + forced[:, None, None] * share
    rates: Floats = result
    return rates


def niw_left_s(view: ClusterView) -> Floats:
    """Return seconds in which the non-interactive work held of each model has to be done, [M].

    That is up to its earliest deadline, but no longer than the episode: costs of agents that leave
    different amounts of work behind could not be compared.
    """
    left: Floats = np.minimum(view.niw_deadline_s, max(view.horizon_s - view.time_s, 0.0))
    return left


def niw_ceiling(endpoints: Endpoints, view: ClusterView, calm: float) -> Floats:
    """Return the utilisation below which endpoints take non-interactive work, [E].

    ``calm`` while there is time; it rises evenly to `_URGENT_CEILING` in the last two hours before
    the work has to be done.
    """
    urgency = np.clip(1.0 - niw_left_s(view) / _DEADLINE_RESERVE_S, 0.0, 1.0)  # [M]
    ceiling: Floats = calm + max(_URGENT_CEILING - calm, 0.0) * urgency
    return ceiling[endpoints.model]


def staffed(demand: Floats, theta: Floats, beta: float, pooled: bool) -> Floats:
    """Return demand raised by square-root staffing: ``n = load + beta sqrt(load)``.

    Args:
        demand: Prompt tokens per second, [..., M, R, K].
        theta: Sustained rate of one instance, [M].
        beta: Safety in units of the square root of the load (1.5: docs/sources.md,
            "First simulations").
        pooled: Whether the load of a model is that of all regions together.
    """
    load = demand.sum(axis=-1) / theta[:, None]  # [..., M, R]
    if pooled:
        load = np.broadcast_to(load.sum(axis=-1, keepdims=True), load.shape)
    raised: Floats = demand * (1.0 + beta / np.sqrt(np.maximum(load, 1e-3)))[..., None]
    return raised


def tokens_per_request(tracker: DemandTracker) -> Floats:
    """Return mean prompt tokens of a request of each model over the last day, [M]."""
    requests = tracker.recent(DAY_S, "requests").sum(axis=(1, 2))
    tokens = tracker.recent(DAY_S).sum(axis=(1, 2))
    seen = requests > 0
    mean: Floats = np.where(seen, tokens / np.where(seen, requests, 1.0), _REQUEST_TOKENS)
    return np.maximum(mean, 1.0)


def flow_cost_usd(endpoints: Endpoints, tokens: Floats) -> Floats:
    """Return the cost of serving a prompt token away from its origin, [M, R, R].

    Args:
        endpoints: The scenario's endpoints.
        tokens: Prompt tokens per request, [M].
    """
    scenario = endpoints.scenario
    trip = scenario.round_trip
    extra_s = np.maximum(trip - np.diag(trip)[:, None], 0.0)
    away = 1.0 - np.eye(len(trip))
    transfer = scenario.routing.transfer_usd_per_gb * _BYTES_PER_TOKEN / 1e9 * away
    cost: Floats = _LATENCY_USD_PER_S * extra_s / tokens[:, None, None] + transfer
    return cost


def start_cost_usd(endpoints: Endpoints, view: ClusterView) -> Floats:
    """Return the cost of one more instance before it serves, [M, R, G].

    The VM is billed while it starts: a minute from a spot VM that holds the model, else ten.
    """
    lifecycle = endpoints.scenario.lifecycle
    seconds = np.where(view.spot_vms > 0, lifecycle.spot_same_model_s, lifecycle.redeploy_s)
    cost: Floats = endpoints.price * seconds / HOUR_S
    return cost


def value_usd(endpoints: Endpoints, tokens: Floats) -> Floats:
    """Return the worth of serving a prompt token, [M, K]: the charge of a miss by priority."""
    tiers = endpoints.scenario.tiers
    worth = np.array([max(t.miss_usd, 1e-6) * _PRIORITY_FACTOR**t.priority for t in tiers])
    per_token: Floats = worth[None, :] / tokens[:, None]
    return per_token
