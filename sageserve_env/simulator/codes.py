"""Integer codes of states, modes and events used by the kernels."""

from __future__ import annotations

from sageserve_env.policies import (
    BALANCERS,
    DISCIPLINE_FEATURES,
    ROUTER_FEATURES,
    ROUTERS,
)

NONE = -1
INFINITY = float("inf")

# VM states
COLD, PROVISIONING, LOADING, ACTIVE, DRAINING, SPOT, LOST = range(7)
VM_STATES = ("cold", "provisioning", "loading", "active", "draining", "spot", "lost")

# where a request is
FREE, HELD, GLOBAL, TRANSIT, WAITING, PREFILLING, RUNNING = range(7)

# batching modes
MIXED, PREFILL_FIRST, WHOLE_PROMPT = range(3)

# routers and balancers that kernels name; others are only weights to them
THRESHOLD, SHARES, LEAST_WAIT = (ROUTERS.index(n) for n in ("threshold", "shares", "least_wait"))
JSQ, ROUND_ROBIN, LEAST_KV, POWER_OF_TWO = range(len(BALANCERS))

# columns of weights
QUEUE_S, RUNNING_N, KV_SHARE, PENDING, ROUND_TRIP_S, PENALTY_S, PREFIX_S, PROMPT_S = range(
    len(ROUTER_FEATURES)
)
ARRIVAL, OBJECTIVE, PREFILL, PRIORITY, LATE, QUEUED, PRIORITY_OBJECTIVE = range(
    len(DISCIPLINE_FEATURES)
)

# utilisation signals
LOAD, KV = range(2)

# what advance() returns
DONE, NEED_CHUNK, NEED_SLOTS, APART = range(4)

# accumulators of billed and donated VM-seconds: columns of ``vm_seconds``
BILL_PENDING, BILL_ACTIVE, BILL_DRAINING = range(3)
