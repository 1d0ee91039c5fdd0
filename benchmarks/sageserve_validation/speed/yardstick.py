"""A bare event loop of the full day's size: what speeds of the engine are quoted against.

Machines differ and are shared, so requests a second say little by themselves. This loop serves a
million lognormal requests at 345 a second on 12 endpoints of 60 instances with the least that such
a simulation can do: the first region below 70 % KV use, the shortest queue there, whole-prompt
prefill batches, decode runs cut by arrivals, binary heaps, no counters but TTFT and E2E.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REQUESTS, RATE_PER_S, INSTANCES = 1_000_000, 345.0, 60
REGIONS, MODELS = 3, 4
MAX_SEQUENCES, MAX_PROMPT_TOKENS, KV_TOKENS, FULL = 256, 8192, 1.4e6, 0.7
# seconds: prefill A + B tokens; decode D + E sequences + F context tokens
A, B, D, E, F = 0.015, 1 / 5000, 0.030, 0.0002, 1.5e-7
IDLE, PREFILL, DECODE = range(3)

_kernel = njit(cache=True)


@_kernel
def _push(ends: Ints, slots: Ints, i: int, n: int, end: int, slot: int) -> None:
    while n > 0:
        parent = (n - 1) >> 1
        if ends[i, parent] <= end:
            break
        ends[i, n], slots[i, n] = ends[i, parent], slots[i, parent]
        n = parent
    ends[i, n], slots[i, n] = end, slot


@_kernel
def _pop(ends: Ints, slots: Ints, i: int, n: int) -> None:
    """Remove the first of ``n`` sequences of instance ``i``."""
    end, slot = ends[i, n - 1], slots[i, n - 1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n - 1:
            break
        if child + 1 < n - 1 and ends[i, child + 1] < ends[i, child]:
            child += 1
        if ends[i, child] >= end:
            break
        ends[i, at], slots[i, at] = ends[i, child], slots[i, child]
        at = child
    ends[i, at], slots[i, at] = end, slot


@_kernel
def _reschedule(event_s: Floats, heap: Ints, place: Ints, i: int) -> None:
    """Move instance ``i`` to where its next event belongs."""
    at, key = place[i], event_s[i]
    while at > 0:
        parent = (at - 1) >> 1
        if event_s[heap[parent]] <= key:
            break
        heap[at] = heap[parent]
        place[heap[at]] = at
        at = parent
    while True:
        child = 2 * at + 1
        if child >= heap.shape[0]:
            break
        if child + 1 < heap.shape[0] and event_s[heap[child + 1]] < event_s[heap[child]]:
            child += 1
        if event_s[heap[child]] >= key:
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = i
    place[i] = at


@_kernel
def _decode_s(n: int, context: float, k: int) -> float:
    return k * (D + E * n + F * context) + F * n * k * (k - 1) * 0.5


@_kernel
def _iterations(n: int, context: float, seconds: float) -> int:
    """Return the most iterations that take no longer than ``seconds``."""
    half = F * n * 0.5
    linear = D + E * n + F * context - half
    if half < 1e-18:
        return math.floor(seconds / linear + 1e-9)
    root = math.sqrt(linear * linear + 4 * half * seconds)
    return math.floor((root - linear) / (2 * half) + 1e-9)


@_kernel
def _simulate(
    arrival_s: Floats,
    model: Ints,
    origin: Ints,
    prompt: Ints,
    output: Ints,
    ttft_s: Floats,
    e2e_s: Floats,
) -> int:
    """Serve all requests; returns how many were completed."""
    instances = REGIONS * MODELS * INSTANCES
    event_s = np.full(instances, np.inf)
    heap, place = np.arange(instances), np.arange(instances)
    mode, iteration = np.zeros(instances, np.int8), np.zeros(instances, np.int64)
    start_s, running = np.zeros(instances), np.zeros(instances, np.int64)
    context, reserved, pending = np.zeros(instances), np.zeros(instances), np.zeros(instances)
    planned = np.zeros(instances, np.int64)
    ends = np.zeros((instances, MAX_SEQUENCES), np.int64)
    slots = np.zeros((instances, MAX_SEQUENCES), np.int64)
    after = np.full(arrival_s.shape[0], -1, np.int64)
    head, tail = np.full(instances, -1, np.int64), np.full(instances, -1, np.int64)
    batch = np.full(instances, -1, np.int64)
    c, done = 0, 0
    while True:
        i = heap[0]
        now_s = event_s[i]
        if c < arrival_s.shape[0] and arrival_s[c] <= now_s:
            now_s, m = arrival_s[c], model[c]
            region, least = origin[c], np.inf
            for step in range(REGIONS):
                r = (origin[c] + step) % REGIONS
                base, used = (r * MODELS + m) * INSTANCES, 0.0
                for j in range(INSTANCES):
                    used += reserved[base + j]
                used /= INSTANCES * KV_TOKENS
                if used < FULL:
                    region = r
                    break
                if used < least:
                    least, region = used, r
            base = (region * MODELS + m) * INSTANCES
            i = base
            for j in range(1, INSTANCES):
                if pending[base + j] < pending[i]:
                    i = base + j
            need = prompt[c] + output[c]
            pending[i] += need
            if head[i] < 0:
                head[i] = c
            else:
                after[tail[i]] = c
            tail[i] = c
            fits = running[i] < MAX_SEQUENCES and reserved[i] + need <= KV_TOKENS
            if mode[i] == DECODE and fits:
                k = _iterations(running[i], context[i], now_s - start_s[i]) + 1
                if k < planned[i]:
                    planned[i] = k
                    event_s[i] = start_s[i] + _decode_s(running[i], context[i], k)
                    _reschedule(event_s, heap, place, i)
            c += 1
            if mode[i] != IDLE:
                continue
        elif now_s == np.inf:
            return done
        elif mode[i] == PREFILL:
            r = batch[i]
            while r >= 0:
                ttft_s[r] = now_s - arrival_s[r]
                if output[r] <= 1:
                    e2e_s[r] = now_s - arrival_s[r]
                    reserved[i] -= prompt[r] + output[r]
                    pending[i] -= prompt[r] + output[r]
                    done += 1
                else:
                    _push(ends, slots, i, running[i], iteration[i] + output[r] - 1, r)
                    running[i] += 1
                    context[i] += prompt[r] + 1
                r = after[r]
            batch[i] = -1
        else:
            iteration[i] += planned[i]
            context[i] += planned[i] * running[i]
            while running[i] > 0 and ends[i, 0] <= iteration[i]:
                r = slots[i, 0]
                _pop(ends, slots, i, running[i])
                running[i] -= 1
                e2e_s[r] = now_s - arrival_s[r]
                context[i] -= prompt[r] + output[r]
                reserved[i] -= prompt[r] + output[r]
                pending[i] -= prompt[r] + output[r]
                done += 1
        tokens, count, last = 0, 0, -1
        while head[i] >= 0 and running[i] + count < MAX_SEQUENCES:
            r = head[i]
            need = prompt[r] + output[r]
            if reserved[i] + need > KV_TOKENS and running[i] + count > 0:
                break
            if tokens > 0 and tokens + prompt[r] > MAX_PROMPT_TOKENS:
                break
            head[i], after[r] = after[r], -1
            if last < 0:
                batch[i] = r
            else:
                after[last] = r
            last = r
            tokens += prompt[r]
            count += 1
            reserved[i] += need
        start_s[i] = now_s
        if count > 0:
            mode[i] = PREFILL
            event_s[i] = now_s + A + B * tokens
        elif running[i] > 0:
            mode[i] = DECODE
            planned[i] = ends[i, 0] - iteration[i]
            event_s[i] = now_s + _decode_s(running[i], context[i], planned[i])
        else:
            mode[i] = IDLE
            event_s[i] = np.inf
        _reschedule(event_s, heap, place, i)


def run(requests: int = REQUESTS, seed: int = 0) -> dict[str, Any]:
    """Serve lognormal requests once.

    Returns:
        ``requests_per_cpu_s``, ``completed``, and the latencies ``ttft_s`` and ``e2e_s``, [n].
    """
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1 / RATE_PER_S, requests))
    model, origin = rng.integers(0, MODELS, requests), rng.integers(0, REGIONS, requests)
    prompt = np.clip(rng.lognormal(6.9, 1.1, requests), 8, 16_000).astype(np.int64)
    output = np.clip(rng.lognormal(5.0, 0.9, requests), 1, 2_000).astype(np.int64)
    ttft_s, e2e_s = np.full(requests, np.nan), np.full(requests, np.nan)
    began = time.process_time()
    done = _simulate(arrival_s, model, origin, prompt, output, ttft_s, e2e_s)
    spent_s = time.process_time() - began
    return {
        "requests_per_cpu_s": requests / spent_s,
        "completed": int(done),
        "ttft_s": ttft_s,
        "e2e_s": e2e_s,
    }
