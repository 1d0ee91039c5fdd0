"""What can be seen of service, queues and VMs, summed in one pass each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import COLD, INFINITY, LOADING, NONE, PROVISIONING, SPOT
from sageserve_env.simulator.metrics import RATIO_BUCKETS, WINDOW_MINUTES
from sageserve_env.simulator.routing import seen_utilisation, turn_ring
from sageserve_env.simulator.state import State


@jit
def service(s: State, now_s: float, out: NDArray[np.float64]) -> None:
    """Fill [E, 4]: utilisation as seen, KV utilisation, TTFT p95 ratio, attainment (5 min)."""
    minute = int(now_s / 60.0)
    for e in range(s.endpoint.shape[0]):
        endpoint = s.endpoint[e]
        turn_ring(s, e, now_s)
        used = seen_utilisation(s, e, now_s)
        out[e, 0] = used if used < INFINITY else 0.0
        out[e, 1] = 0.0
        if endpoint.kv_capacity > 0:
            out[e, 1] = endpoint.kv_used / endpoint.kv_capacity
        total, good = 0, 0
        fresh = minute - s.window_minute[e] < WINDOW_MINUTES
        for row in range(WINDOW_MINUTES):
            age = (s.window_minute[e] - row) % WINDOW_MINUTES + minute - s.window_minute[e]
            if fresh and age < WINDOW_MINUTES:
                for i in range(RATIO_BUCKETS):
                    total += s.window[e, row, i]
                    if i < 32:
                        good += s.window[e, row, i]
        out[e, 2] = 0.0
        out[e, 3] = good / total if total > 0 else 1.0
        if total > 0:
            rest = total - int(total * 0.95)
            i = RATIO_BUCKETS
            while rest > 0 and i > 0:
                i -= 1
                for row in range(WINDOW_MINUTES):
                    age = (s.window_minute[e] - row) % WINDOW_MINUTES + minute - s.window_minute[e]
                    if age < WINDOW_MINUTES:
                        rest -= s.window[e, row, i]
            out[e, 2] = 2.0 ** (i // 8 - 4) * (1.0 + (i % 8 + 0.5) / 8.0)


@jit
def queues(s: State, now_s: float, queue: NDArray[np.float64], ready: NDArray[np.float64]) -> None:
    """Fill [E, 3]: requests queued, running, prompt tokens queued; [E, G]: time to the next VM.

    The time in seconds is that until the next pending instance is up, infinite without one.
    """
    for e in range(s.target.shape[0]):
        for i in range(3):
            queue[e, i] = 0.0
        for g in range(s.target.shape[1]):
            ready[e, g] = INFINITY
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        e = vm.endpoint
        if e != NONE:
            queue[e, 0] += vm.n_waiting + vm.n_prefilling
            queue[e, 1] += vm.n_running
            queue[e, 2] += vm.queued_tokens
            if vm.state == PROVISIONING or vm.state == LOADING:
                ready[e, vm.gpu] = min(ready[e, vm.gpu], vm.event_s - now_s)


@jit
def free_vms(s: State, idle: NDArray[np.int64], spot: NDArray[np.int64]) -> None:
    """Count cold VMs into zeros [R, G] and spot VMs into zeros [M, R, G]."""
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.state == COLD:
            idle[vm.region, vm.gpu] += 1
        elif vm.state == SPOT:
            spot[vm.model, vm.region, vm.gpu] += 1
