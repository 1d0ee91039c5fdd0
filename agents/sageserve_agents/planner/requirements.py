"""From a forecast and a view to the arrays of a planning problem."""

from __future__ import annotations

import numpy as np

from sageserve_agents.demand import DAY_S, HOUR_S, DemandTracker
from sageserve_agents.endpoints import Endpoints
from sageserve_agents.stack import batch_left_s, reserve_s
from sageserve_env.view import ClusterView, Floats

# Weights of the objective's small parts. They only break ties between regions.
_BYTES_PER_TOKEN = 4.0  # (A) text of a token and its framing
_LATENCY_SHARE = 0.05  # (A) of the charge of a miss, for as long as the shortest objective
_PRIORITY_FACTOR = 0.5  # (A) each lower rank of a tier is worth half
_REQUEST_TOKENS = 2000.0  # (A) prompt tokens of a request before any was seen
_LEAST_SPREAD_S = 0.5 * HOUR_S  # (A) and over no less than this, so that late work is no spike
_NIW_LOOK_BACK_S = HOUR_S  # the buffer is a share of the last hour's NIW


def batch_time_s(endpoints: Endpoints, view: ClusterView) -> Floats:
    """Return seconds in which the batch work that is held is planned to be done, by model, [M].

    That is up to its earliest deadline less a reserve, and half an hour at least, so that late work
    is no spike.
    """
    reserve = reserve_s(endpoints.scenario)
    left: Floats = np.maximum(batch_left_s(view) - reserve, min(_LEAST_SPREAD_S, reserve))
    return left


def niw_demand(
    endpoints: Endpoints,
    view: ClusterView,
    tracker: DemandTracker,
    buffer_share: float,
    forced: Floats | None = None,
) -> Floats:
    """Return the non-interactive prompt tokens per second to plan for, [M, R, K].

    The buffer is a share of what arrived in the last hour. Deadlines force the rest: the backlog
    of a model is spread evenly over the time to its earliest deadline less a reserve
    (`sageserve_agents.stack.reserve_s`), by origin as in the last hour, so that it weighs little
    when fresh and everything when it is due. The end of the episode counts as a deadline.
    ``forced``, prompt tokens per second by model [M], takes the place of the even spread.
    """
    batch = ~endpoints.interactive
    arrived = tracker.recent(_NIW_LOOK_BACK_S) * batch
    result = buffer_share * arrived
    if batch.any():
        if forced is None:
            forced = view.niw_backlog_tokens / batch_time_s(endpoints, view)  # [M]
        share = arrived + 1e-9 * batch  # even where nothing arrived
        share = share / share.sum(axis=(1, 2), keepdims=True)
        result = result + forced[:, None, None] * share
    rates: Floats = result
    return rates


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
    tiers = [t for t in scenario.tiers if t.interactive]
    usd_per_s = _LATENCY_SHARE * max((t.miss_usd / t.objective_s for t in tiers), default=0.0)
    cost: Floats = usd_per_s * extra_s / tokens[:, None, None] + transfer
    return cost


def start_cost_usd(endpoints: Endpoints, view: ClusterView) -> Floats:
    """Return the cost of one more instance before it serves, [M, R, G].

    The VM is billed while it starts: a minute from a spot VM that holds the model, else as long as
    its boot and the model's weights take.
    """
    scenario = endpoints.scenario
    cold = scenario.start_s[:, None, :]
    seconds = np.where(view.spot_vms > 0, scenario.lifecycle.spot_same_model_s, cold)
    cost: Floats = endpoints.price * seconds / HOUR_S
    return cost


def value_usd(endpoints: Endpoints, tokens: Floats) -> Floats:
    """Return the worth of serving a prompt token, [M, K]: the charge of a miss by priority."""
    tiers = endpoints.scenario.tiers
    worth = np.array([max(t.miss_usd, 1e-6) * _PRIORITY_FACTOR**t.priority for t in tiers])
    per_token: Floats = worth[None, :] / tokens[:, None]
    return per_token
