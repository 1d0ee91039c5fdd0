"""What a controller may see: the state of the cluster as named arrays.

Axes: E endpoints, G VM types, M models, R regions, K tiers, W = 3 windows (1, 5 and 15 minutes).
Nothing of the future, and no output length of a request that has not finished, except through the
KV memory that is reserved for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOWS_S = (60.0, 300.0, 900.0)
DEMAND_BIN_S = 60.0


@dataclass(frozen=True)
class ClusterView:
    """A snapshot at a decision time; it does not change afterwards and may be kept."""

    time_s: float  # since the start of the episode
    interval_s: float  # time to the next decision
    horizon_s: float
    hour_of_day: float  # UTC, 0-24
    weekday: float  # 0 = Monday, fractional
    theta: Floats  # [M, G] sustained prompt tokens per second of one instance (capacity probe)
    # fleet
    target: Ints  # [E, G] targets in force
    active: Ints  # [E, G] accepting work
    pending: Ints  # [E, G] provisioning or loading
    pending_ready_s: Floats  # [E, G] seconds until the next pending instance is up (0 if none)
    draining: Ints  # [E, G]
    unmet: Ints  # [E, G] asked for, but no VM was free
    idle_vms: Ints  # [R, G] cold
    spot_vms: Ints  # [M, R, G] donated, by the model they still hold
    inventory: Ints  # [R, G]
    # load
    utilisation: Floats  # [E] the scenario's signal (load or kv)
    kv_utilisation: Floats  # [E] reserved KV tokens over capacity of the active instances
    queued_prompt_tokens: Floats  # [E] prompt tokens waiting or not yet prefilled
    queued_requests: Ints  # [E]
    running: Ints  # [E] sequences decoding
    global_queue: Ints  # [M] requests that no endpoint can take
    # demand by origin region, rates per second over the windows
    request_rate: Floats  # [W, M, R, K]
    prompt_rate: Floats  # [W, M, R, K] prompt tokens arrived
    output_rate: Floats  # [W, M, R, K] output tokens of requests completed
    # demand since time 0 in bins of DEMAND_BIN_S; the last bin may be incomplete
    demand_requests: Floats  # [T, M, R, K]
    demand_prompt_tokens: Floats  # [T, M, R, K]
    demand_output_tokens: Floats  # [T, M, R, K], booked when a request completes
    # service
    ttft_p95_ratio: Floats  # [E] p95 of TTFT over its objective, last 5 minutes (0 if none)
    slo_attainment: Floats  # [E] share of first tokens within the objective, last 5 minutes
    # non-interactive work held centrally
    niw_backlog: Ints  # [M] requests
    niw_backlog_tokens: Floats  # [M] prompt tokens
    niw_deadline_s: Floats  # [M] seconds to the earliest deadline (the tier objective if none)
    # decisions in force; empty where a view is made without a simulator
    router: str = ""
    routing: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))  # [M, R, R]
    niw_release: Floats = field(default_factory=lambda: np.zeros(0))  # [E] ceilings for batch work
