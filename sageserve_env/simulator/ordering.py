"""Queue order: the discipline's weighted sum of the features of a request, lower first.

The features are those of `sageserve_env.policies.features.DISCIPLINE_FEATURES`.
"""

from __future__ import annotations

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import (
    ARRIVAL,
    LATE,
    OBJECTIVE,
    PREFILL,
    PRIORITY,
    PRIORITY_OBJECTIVE,
    QUEUED,
)
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.state import State


@hot
def queue_key(s: State, i: int, now_s: float) -> float:
    """Queue order of request ``i``, which joins a queue now, under the discipline in force."""
    request = s.request[i]
    m = request.model
    w = s.order
    priority = 0 if request.escalated == 1 else s.tier[request.tier].priority
    key = w[m, ARRIVAL] * request.arrival_s
    key += (w[m, OBJECTIVE] + w[m, PRIORITY_OBJECTIVE] * priority) * request.objective_s
    key += w[m, QUEUED] * now_s
    key += w[m, PRIORITY] * priority
    if rare(w[m, PREFILL] != 0.0):
        key += w[m, PREFILL] * prefill_s(s, s.model[m].reference, float(request.prompt))
    return float(key)


@jit
def too_late(s: State, i: int, now_s: float) -> bool:
    """Whether request ``i``, whose turn it is, misses its objective and has not stood back yet."""
    request = s.request[i]
    if request.first_token_s >= 0.0 or request.late == 1:
        return False
    alone = prefill_s(s, s.model[request.model].reference, float(request.prompt))
    return bool(now_s + alone > request.arrival_s + request.objective_s)


@jit
def stand_back(s: State, i: int, now_s: float) -> None:
    """Order request ``i``, which is in no queue, anew, with the weight of lateness added."""
    request = s.request[i]
    request.late = 1
    request.key = queue_key(s, i, now_s) + s.order[request.model, LATE]
