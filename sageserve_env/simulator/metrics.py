"""Counters and histograms, a few operations per event.

A latency histogram has 32 linear buckets per octave from 2^-10 s (1 ms) to 2^20 s (12 days), so a
bucket is at most 3.1 % wide and a percentile read from bucket middles is within 1.6 %.
"""

from __future__ import annotations

import numpy as np

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import (
    ACTIVE,
    BILL_ACTIVE,
    BILL_DRAINING,
    BILL_PENDING,
    DRAINING,
    NONE,
    SPOT,
)
from sageserve_env.simulator.state import State

OCTAVE_BUCKETS = 32
LOWEST_EXPONENT = -10
OCTAVES = 30
BUCKETS = OCTAVE_BUCKETS * OCTAVES

# A float64 is sign, 11 bits of exponent + 1023, 52 bits of mantissa: shifted right until 5 (3) bits
# of the mantissa are left, consecutive integers are consecutive buckets, 32 (8) to an octave.
_LOWEST_BITS = (1023 + LOWEST_EXPONENT) << 5
_LOWEST_RATIO_BITS = (1023 - 4) << 3

# what a request whose tier has a TPOT objective missed already with its first token
OVERDUE, OVERDUE_FLAT = 1, 2

RATIO_BUCKETS = 64  # of the TTFT-over-objective windows: 8 per octave from 2^-4 to 2^4
WINDOW_MINUTES = 5


@hot
def bucket(seconds: float) -> int:
    """Return the histogram bucket of a latency: exponent and top 5 bits of the mantissa."""
    i = int(np.float64(seconds).view(np.int64) >> 47) - _LOWEST_BITS
    return min(max(i, 0), BUCKETS - 1)


@hot
def ratio_bucket(ratio: float) -> int:
    """Return the window bucket of a TTFT-over-objective ratio; bucket 32 starts at 1."""
    i = int(np.float64(ratio).view(np.int64) >> 49) - _LOWEST_RATIO_BITS
    return min(max(i, 0), RATIO_BUCKETS - 1)


@jit
def fresh(row: int, minute: int, last: int) -> bool:
    """Whether a row of a window that was turned last in minute ``last`` is of the last minutes."""
    return minute - last < WINDOW_MINUTES and (last - row) % WINDOW_MINUTES + minute - last < (
        WINDOW_MINUTES
    )


@hot
def turn_window(s: State, e: int, now_s: float) -> int:
    """Clear the minutes of endpoint ``e``'s window that have passed; return the current row."""
    minute = int(now_s / 60.0)
    last = s.window_minute[e]
    if rare(minute > last):
        for step in range(min(minute - last, WINDOW_MINUTES)):
            row = (minute - step) % WINDOW_MINUTES
            for i in range(RATIO_BUCKETS):
                s.window[e, row, i] = 0
                s.tpot_window[e, row, i] = 0
            for i in range(s.recent.shape[2]):
                s.recent[e, row, i] = 0
        s.window_minute[e] = minute
    return minute % WINDOW_MINUTES


@hot
def book_arrival(s: State, i: int, now_s: float) -> None:
    """Count an arrival."""
    request = s.request[i]
    count = s.count[request.model, request.region, request.tier]
    count.arrived += 1
    count.prompt_tokens += request.prompt
    minute = min(int(now_s / 60.0), s.demand.shape[0] - 1)
    s.demand[minute, request.model, request.region, request.tier, 0] += 1.0
    s.demand[minute, request.model, request.region, request.tier, 1] += request.prompt


@hot
def book_first_token(s: State, i: int, now_s: float) -> None:
    """Count a first token; network latency to the serving region is included."""
    request = s.request[i]
    request.first_token_s = now_s
    e = request.endpoint
    ttft = now_s - request.arrival_s + s.round_trip[request.region, s.endpoint[e].region]
    m, r, k = request.model, request.region, request.tier
    count = s.count[m, r, k]
    count.ttft_s += ttft
    s.ttft[m, r, k, bucket(ttft)] += 1
    if s.tier[k].ttft == 1:
        if rare(s.tier[k].tpot_s > 0.0):  # judged at completion, unless it is late already
            request.overdue = 0
            if ttft > request.objective_s:
                request.overdue = OVERDUE
                count.missed += 1
            if ttft > s.tier[k].objective_s:
                request.overdue += OVERDUE_FLAT
        else:
            if ttft <= request.objective_s:
                count.attained += 1
            else:
                count.missed += 1
            if ttft <= s.tier[k].objective_s:
                count.attained_flat += 1
        row = turn_window(s, e, now_s)
        s.window[e, row, ratio_bucket(ttft / request.objective_s)] += 1
    if rare(s.config[0].keep_records == 1):
        s.record[request.id, 0] = ttft


@jit
def _judge_pace(s: State, i: int, tpot: float, now_s: float) -> None:
    """Judge a completed request by the time per output token, and by what its TTFT was."""
    request = s.request[i]
    objective_s = s.tier[request.tier].tpot_s
    count = s.count[request.model, request.region, request.tier]
    if request.overdue & OVERDUE == 0:
        if tpot <= objective_s:
            count.attained += 1
        else:
            count.missed += 1
    if request.overdue & OVERDUE_FLAT == 0 and tpot <= objective_s:
        count.attained_flat += 1
    if request.output > 1:
        row = turn_window(s, request.endpoint, now_s)
        s.tpot_window[request.endpoint, row, ratio_bucket(tpot / objective_s)] += 1


@hot
def book_completion(s: State, i: int, now_s: float) -> None:
    """Count a completed request."""
    request = s.request[i]
    e = request.endpoint
    served = s.endpoint[e].region
    e2e = now_s - request.arrival_s + s.round_trip[request.region, served]
    m, r, k = request.model, request.region, request.tier
    count = s.count[m, r, k]
    count.completed += 1
    count.output_tokens += request.output
    if served != r:
        count.remote_tokens += request.prompt + request.output
    s.e2e[m, r, k, bucket(e2e)] += 1
    tpot = 0.0
    if request.output > 1:
        tpot = (now_s - request.first_token_s) / (request.output - 1)
        s.tpot[m, k, bucket(tpot)] += 1
    if rare(s.tier[k].tpot_s > 0.0):
        _judge_pace(s, i, tpot, now_s)
    if s.tier[k].ttft == 0:
        if e2e <= request.objective_s:
            count.attained += 1
            count.attained_flat += 1
        else:
            count.missed += 1
    minute = min(int(now_s / 60.0), s.demand.shape[0] - 1)
    s.demand[minute, m, r, k, 2] += request.output
    s.clock[0].completed += 1
    if rare(s.config[0].keep_records == 1):
        s.record[request.id, 1] = e2e
        s.record[request.id, 2] = served
        s.record[request.id, 3] = e


@jit
def bill(s: State, v: int, now_s: float) -> None:
    """Book the VM-seconds of VM ``v`` since they were last booked."""
    vm = s.vm[v]
    span = now_s - vm.since_s
    vm.since_s = now_s
    if vm.endpoint != NONE:
        if vm.state == ACTIVE:
            s.vm_seconds[vm.endpoint, vm.gpu, BILL_ACTIVE] += span
        elif vm.state == DRAINING:
            s.vm_seconds[vm.endpoint, vm.gpu, BILL_DRAINING] += span
        else:
            s.vm_seconds[vm.endpoint, vm.gpu, BILL_PENDING] += span
    elif vm.state == SPOT:
        s.spot_seconds[vm.model, vm.region, vm.gpu] += span
