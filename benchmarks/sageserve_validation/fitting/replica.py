"""One instance in a few arrays: the simulator's iteration rules, fast enough to fit through.

A fit simulates each measurement hundreds of times. `replay` follows the rules of
``sageserve_env.simulator.batching`` for pass profiles, first come first served, memory by growth:
`tests/validation/test_fitting.py` compares the two request by request.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from sageserve_env.catalogue import LatencyProfile
from sageserve_env.options import BatchingConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REQUEST = np.dtype(
    [
        ("prompt", "i8"),
        ("output", "i8"),
        ("target", "i8"),  # tokens to prefill: after a preemption the emitted ones too
        ("prefilled", "i8"),
        ("emitted", "i8"),
        ("chunk", "i8"),
        ("admitted", "i8"),
        ("sent_s", "f8"),
        ("first_s", "f8"),
        ("done_s", "f8"),
    ]
)
_NEVER = 1 << 62


ONE_PASS, BASE_ADDED, BASE_DROPPED = range(3)
"""How prompts and decodes of one iteration add up.

The pass table at the sum of their tokens (the product's rule), the sum of a prompt pass and a
decode pass, or that sum less a pass over nothing.
"""


@dataclass(frozen=True)
class Rules:
    """What of a `BatchingConfig` matters here, and the memory.

    Attributes:
        budget: Tokens of an iteration.
        shared: Whether decodes take from the budget.
        prompts_first: Whether iterations with prompt tokens carry no decodes.
        sequences: Most sequences at a time.
        capacity: KV tokens.
        mixed: `ONE_PASS`, or another rule to compare with.
    """

    budget: int
    shared: bool
    prompts_first: bool
    sequences: int
    capacity: int
    mixed: int = ONE_PASS

    @staticmethod
    def of(batching: BatchingConfig, capacity: int) -> Rules:
        """Return the rules of a configuration."""
        return Rules(
            batching.prefill_token_budget or 1 << 40,
            batching.shared_budget,
            batching.mode == "prefill_first",
            batching.max_sequences,
            capacity,
        )


def replay(
    profile: LatencyProfile,
    rules: Rules,
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    clients: int = 0,
) -> tuple[Floats, Floats]:
    """Serve requests on one instance.

    Args:
        profile: A profile with a pass table.
        rules: Batching and memory.
        arrival_s: Arrival times in order; not read in a closed loop.
        prompt: Prompt tokens.
        output: Output tokens.
        clients: More than 0: a closed loop of that many clients.

    Returns:
        TTFT and E2E in seconds; NaN where memory or budget never suffice.
    """
    request = np.zeros(len(prompt), dtype=_REQUEST).view(np.recarray)
    request["prompt"] = request["target"] = prompt
    request["output"] = output
    request["sent_s"] = 0.0 if clients else arrival_s
    request["first_s"] = request["done_s"] = np.nan
    table = np.array(profile.pass_table).T
    coefficients = (
        profile.prefill_base_s,
        profile.prefill_per_token2_s,
        profile.decode_per_sequence_s,
        profile.decode_per_context_token_s,
    )
    limits = (rules.budget, rules.sequences, rules.capacity, clients, rules.mixed)
    flags = (rules.shared, rules.prompts_first)
    _replay(request, np.ascontiguousarray(table), coefficients, limits, flags)
    ttft_s, e2e_s = (request[key] - request["sent_s"] for key in ("first_s", "done_s"))
    return ttft_s + profile.frontend_s, e2e_s + profile.frontend_s


_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _table_s(table: Floats, tokens: float) -> float:
    """Piecewise-linear interpolation, the outer pieces continued."""
    last = table.shape[1] - 1
    if last == 0:
        return float(table[1, 0])
    i = 1
    while i < last and tokens > table[0, i]:
        i += 1
    x0, x1, y0, y1 = table[0, i - 1], table[0, i], table[1, i - 1], table[1, i]
    return float(y0 + (y1 - y0) * (tokens - x0) / (x1 - x0))


@_jit
def _boundaries(base: float, growth: float, elapsed: float) -> int:
    """Iterations until the first boundary after ``elapsed`` seconds of a run."""
    k = 1
    if growth > 0.0 and elapsed > 0.0:
        half = base - 0.5 * growth
        k = int((np.sqrt(half * half + 2.0 * growth * elapsed) - half) / growth)
    elif elapsed > 0.0:
        k = int(elapsed / base)
    k = max(1, k)
    while k * base + growth * 0.5 * k * (k - 1) <= elapsed:
        k += 1
    return k


@_jit
def _newest(request: np.ndarray, running: list[tuple[int, int]]) -> int:
    """Return the place of the sequence that was admitted last."""
    place, stamp = 0, -1
    for j in range(len(running)):
        i = running[j][1]
        if i >= 0 and request[i].admitted > stamp:
            place, stamp = j, request[i].admitted
    return place


@_jit
def _replay(
    request: np.ndarray,
    table: Floats,
    coefficients: tuple[float, float, float, float],
    limits: tuple[int, int, int, int, int],
    flags: tuple[bool, bool],
) -> None:
    prefill_s, square_s, sequence_s, context_s = coefficients
    budget, sequences, capacity, clients, mixed = limits
    shared, prompts_first = flags
    total = len(request)
    # Waiting requests lie in queue[head:tail]; there is room before the head for preempted ones.
    queue = np.zeros(8 * total + 16, dtype=np.int64)
    head = tail = 4 * total + 8
    prefilling = np.zeros(total, dtype=np.int64)
    late = np.zeros(total, dtype=np.int64)  # sent at the start of the iteration under way
    running = [(_NEVER, -1)]  # heap of the iteration after which a sequence ends
    n_late, n_prefilling, n, context, kv = 0, 0, 0, 0, 0
    iteration, admissions, completed, sent = 0, 0, 0, 0
    now = 0.0
    if clients > 0:
        n_late = sent = min(clients, total)
        for i in range(sent):
            late[i] = i
    while completed < total:
        if n == 0 and n_prefilling == 0 and head == tail:  # idle: the next arrival starts alone
            if clients > 0:
                queue[tail] = late[0]
                n_late -= 1
                late[:n_late] = late[1 : n_late + 1]
            else:
                now = max(now, request[sent].sent_s)
                queue[tail] = sent
                sent += 1
            tail += 1
        elif clients == 0:
            while sent < total and request[sent].sent_s <= now:
                queue[tail] = sent
                tail += 1
                sent += 1
        while n > 0 and kv + n > capacity:
            end, i = running.pop(_newest(request, running))
            heapq.heapify(running)
            n -= 1
            request[i].emitted = request[i].output - (end - iteration)
            request[i].target = request[i].prompt + request[i].emitted
            request[i].prefilled = 0
            context -= request[i].target
            kv -= request[i].target
            head -= 1
            queue[head] = i
        # -- the batch
        left = budget - n if shared and not prompts_first else budget
        tokens, prompts = 0, 0
        attention_s = 0.0
        while tokens < left:
            if prompts == n_prefilling:
                if head == tail or n + n_prefilling >= sequences:
                    break
                i = int(queue[head])
                if kv + request[i].target + 1 + n > capacity:
                    break
                head += 1
                kv += request[i].target + 1
                request[i].admitted = admissions
                admissions += 1
                prefilling[n_prefilling] = i
                n_prefilling += 1
            i = int(prefilling[prompts])
            done = request[i].prefilled
            chunk = min(request[i].target - done, left - tokens)
            request[i].chunk = chunk
            attention_s += square_s * chunk * (2.0 * done + chunk)
            tokens += chunk
            prompts += 1
        if tokens == 0 and n == 0:
            return  # nothing fits: what is left never ends
        # -- its duration
        decodes = n if tokens == 0 or not prompts_first else 0
        if mixed == ONE_PASS or tokens == 0 or decodes == 0:
            base = _table_s(table, float(tokens + decodes))
        else:
            base = _table_s(table, float(tokens)) + _table_s(table, float(decodes))
            if mixed == BASE_DROPPED:
                base -= _table_s(table, 0.0)
        base += attention_s + sequence_s * decodes
        if decodes > 0:
            base += context_s * context
        k, growth = 1, 0.0
        if tokens > 0:
            base += prefill_s
        else:
            growth = context_s * n
            k = running[0][0] - iteration
            k = min(k, max(1, (capacity - kv) // n))
            if n_late > 0:
                k = 1
            elif clients == 0 and sent < total:
                k = min(k, _boundaries(base, growth, request[sent].sent_s - now))
        now += k * base + growth * 0.5 * k * (k - 1)
        for j in range(n_late):
            queue[tail] = late[j]
            tail += 1
        n_late = 0
        # -- its end
        before = completed
        if decodes > 0:
            iteration += k
            context += n * k
            kv += n * k
            while running[0][0] <= iteration:
                _, i = heapq.heappop(running)
                n -= 1
                context -= request[i].prompt + request[i].output
                kv -= request[i].prompt + request[i].output
                request[i].done_s = now
                completed += 1
        kept = 0
        for j in range(n_prefilling):
            i = int(prefilling[j])
            if j < prompts:
                request[i].prefilled += request[i].chunk
            if request[i].prefilled < request[i].target:
                prefilling[kept] = i
                kept += 1
                continue
            if np.isnan(request[i].first_s):
                request[i].first_s = now
            request[i].emitted += 1
            if request[i].emitted == request[i].output:
                kv -= request[i].prompt + request[i].output
                request[i].done_s = now
                completed += 1
            else:
                end = int(iteration + request[i].output - request[i].emitted)
                heapq.heappush(running, (end, i))
                n += 1
                context += request[i].target + 1
        n_prefilling = kept
        if clients > 0:
            for _ in range(min(completed - before, total - sent)):
                request[sent].sent_s = now
                late[n_late] = sent
                n_late += 1
                sent += 1
