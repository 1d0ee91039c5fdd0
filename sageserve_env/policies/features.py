"""What routers and disciplines weigh: the names, their order in arrays, and their meaning.

The order is that of the columns of ``router_weights`` [M, F] and ``discipline_weights`` [M, D] of a
`ClusterAction`. A router takes the instance with the least sum of weight times feature, a
discipline serves the request with the least sum first.
"""

from __future__ import annotations

ROUTER_FEATURES: dict[str, str] = {
    "queue_s": "prompt tokens queued at the instance over its theta, in seconds",
    "running": "sequences that decode there",
    "kv": "reserved KV tokens plus queued prompt tokens over its KV capacity",
    "pending_tokens": "prompt tokens until their prefill ends, plus 1 for each request there",
    "round_trip_s": "network round trip from the origin to its region, in seconds",
    "penalty_s": "the decision's `routing` from origin to region; the round trip where it has none",
    "prefix_s": "prefill seconds saved by what it has cached of the prompt; 0 without such a cache",
    "prompt_s": "prefill seconds of the whole prompt on its VM type, nothing cached",
}

#: Options of the scenario's ``routing`` that a router may name in place of a weight.
ROUTING_OPTIONS = (
    "threshold",
    "spill_threshold",
    "delay_s",
    "region_age_s",
    "running_penalty_s",
    "transfer_usd_per_gb",
)

#: Weight farthest from 0 that is taken at all, so that no sum of weighted features overflows (A).
LARGEST_WEIGHT = 1e12

#: Weight farthest from 0 that a learner may give a feature: our assumption.
ROUTER_LIMITS: dict[str, float] = {
    "queue_s": 4.0,
    "running": 0.1,
    "kv": 20.0,
    "pending_tokens": 1e-3,
    "round_trip_s": 4.0,
    "penalty_s": 4.0,
    "prefix_s": -4.0,
    "prompt_s": 4.0,
}

DISCIPLINE_FEATURES: dict[str, str] = {
    "arrival_s": "arrival of the request",
    "objective_s": "its objective, so that both with weight 1 are its deadline",
    "prefill_s": "its isolated prefill time",
    "priority": "priority of its tier, 0 once it is escalated",
    "late": "1 once its turn came too late to meet its objective, else 0",
    "queued_s": "when it joined the queue: later than its arrival if it was held or moved",
    "priority_objective_s": "priority times objective",
}

#: Weight farthest from 0 that a learner may give a feature: our assumption.
DISCIPLINE_LIMITS: dict[str, float] = {
    "arrival_s": 2.0,
    "objective_s": 4.0,
    "prefill_s": 40.0,
    "priority": 600.0,
    "late": 3600.0,
    "queued_s": 2.0,
    "priority_objective_s": 4.0,
}
