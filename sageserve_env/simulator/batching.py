"""Iteration-level continuous batching of one instance.

An instance works in *runs*: k iterations with the same batch, in which every decoding sequence
advances k tokens and at most one prompt advances k full chunks. Iteration j of a run takes
``base + j growth`` seconds (growth from the context that each iteration adds), so k iterations take
``k base + growth k (k - 1) / 2``: one event stands for many iterations. A run ends when the first
sequence or the prompt ends, when KV memory would run out, or at the next iteration boundary after
an arrival that may change the batch. The last, smaller chunk of a prompt that is alone belongs to
its run until another request may share that iteration.
"""

from __future__ import annotations

import math

from sageserve_env.simulator._handle import prefetch, rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.codes import (
    INFINITY,
    LATE,
    NONE,
    PREFILL_FIRST,
    PREFILLING,
    RUNNING,
    WAITING,
    WHOLE_PROMPT,
)
from sageserve_env.simulator.heaps import (
    SLOT_BITS,
    SLOT_MASK,
    push_sequence,
    remove_sequence,
    schedule,
)
from sageserve_env.simulator.latency import (
    chunk_interaction_s,
    decode_s,
    decode_share_s,
    pass_s,
    prefill_s,
    run_time_s,
)
from sageserve_env.simulator.memory import LINE_BYTES
from sageserve_env.simulator.metrics import book_completion, book_first_token
from sageserve_env.simulator.ordering import queue_key, stand_back, too_late
from sageserve_env.simulator.prefix_use import (
    leave_prefix,
    make_room,
    shared_tokens,
    store_prefix,
    take_prefix,
)
from sageserve_env.simulator.scoring import settle
from sageserve_env.simulator.sessions import think
from sageserve_env.simulator.slots import (
    free_slot,
    insert_prefilling,
    insert_waiting,
    pop_waiting,
    remove_prefilling,
)
from sageserve_env.simulator.state import State


@hot
def _fits(s: State, v: int, i: int) -> bool:
    """Whether the waiting request ``i`` can be admitted to VM ``v`` now."""
    c = s.config[0]
    vm = s.vm[v]
    if vm.n_running + vm.n_prefilling >= c.max_sequences:
        return False
    request = s.request[i]
    need = request.prompt + request.output
    if rare(request.prefilled > 0):  # late reservation: it waits for the memory of its output
        need = request.prompt + request.output - request.target - 1
    elif rare(c.growth == 1):  # and room for the token that each decode adds in this iteration
        need = request.target + 1 + vm.n_running
    elif rare(c.late_reserve == 1):
        need = request.target + 1
    fits = vm.kv_used + need <= vm.kv_capacity
    if rare(c.prefix_tokens > 0) and not fits and request.prefilled == 0:
        fits = vm.kv_used + need - shared_tokens(s, v, i) <= vm.kv_capacity
    return bool(fits)


@hot
def _admit(s: State, v: int, before: int) -> int:
    """Move the head of the waiting list into the prefilling list before ``before``."""
    c = s.config[0]
    vm = s.vm[v]
    i = pop_waiting(s, v)
    request = s.request[i]
    if rare(c.growth + c.late_reserve > 0):
        vm.kv_used += request.target + 1
    else:
        vm.kv_used += request.prompt + request.output
    if rare(c.prefix_tokens > 0):
        take_prefix(s, v, i)
    s.clock[0].admissions += 1
    request.admitted = s.clock[0].admissions
    request.state = PREFILLING
    insert_prefilling(s, v, i, before)
    return i


@jit
def _start_reserved(s: State, v: int) -> None:
    """Late reservation: reserve the output of the prefilled head of the queue and decode it."""
    i = pop_waiting(s, v)
    request = s.request[i]
    s.vm[v].kv_used += request.prompt + request.output - request.target - 1
    if rare(s.config[0].prefix_tokens > 0):
        make_room(s, v)
    _start_decode(s, v, i)


@hot
def _start_decode(s: State, v: int, i: int) -> None:
    """Let the prefilled request ``i`` decode from the next iteration on."""
    vm = s.vm[v]
    request = s.request[i]
    request.state = RUNNING
    push_sequence(s, v, vm.n_running, vm.iteration + request.output - request.emitted, i)
    vm.n_running += 1
    vm.context_tokens += request.target + 1


@jit
def preempt(s: State, v: int) -> None:
    """Send the newest running sequence of VM ``v`` back to the queue, to be recomputed."""
    vm = s.vm[v]
    place, newest = 0, -1
    for j in range(vm.n_running):
        stamp = s.request[s.ends[v, j] & SLOT_MASK].admitted
        if stamp > newest:
            place, newest = j, stamp
    item = s.ends[v, place]
    i = item & SLOT_MASK
    request = s.request[i]
    remove_sequence(s, v, vm.n_running, place)
    vm.n_running -= 1
    emitted = request.output - ((item >> SLOT_BITS) - vm.iteration)
    present = request.prompt + emitted
    vm.context_tokens -= present
    vm.kv_used -= present
    if rare(s.config[0].prefix_tokens > 0):
        leave_prefix(s, v, i)
    request.emitted = emitted
    request.target = present
    request.prefilled = 0
    request.state = WAITING
    insert_waiting(s, v, i)
    vm.queued_tokens += present
    vm.pending_tokens += present
    s.clock[0].preemptions += 1


@hot
def start_run(s: State, v: int, now_s: float) -> None:
    """Form the batch of VM ``v`` at an iteration boundary and schedule the end of its run."""
    c = s.config[0]
    vm = s.vm[v]
    if rare(c.growth == 1):
        while vm.n_running > 0 and vm.kv_used + vm.n_running > vm.kv_capacity:
            preempt(s, v)
    budget = c.budget_tokens
    if rare(c.shared_budget == 1) and c.mode != PREFILL_FIRST:
        budget -= vm.n_running
    one_pass = s.profile[vm.profile].pass_points > 0
    tokens, prompts, last = 0, 0, NONE
    interaction = 0.0
    blocked = vm.wait_head == NONE
    at = vm.pre_head
    while tokens < budget:
        if not blocked:
            head = vm.wait_head
            first = at == NONE or s.request[head].key < s.request[at].key
            if not first and s.request[head].key == s.request[at].key:
                first = s.request[head].id < s.request[at].id
            if first:
                whole = c.mode == WHOLE_PROMPT and s.request[head].prefilled == 0
                if rare(whole) and tokens > 0 and tokens + s.request[head].target > budget:
                    break
                if not _fits(s, v, head):
                    blocked = True
                    continue
                if rare(s.request[head].prefilled > 0):
                    _start_reserved(s, v)
                    blocked = vm.wait_head == NONE
                    continue
                if rare(s.order[s.request[head].model, LATE] != 0.0):
                    if too_late(s, head, now_s):
                        pop_waiting(s, v)
                        stand_back(s, head, now_s)
                        insert_waiting(s, v, head)
                        continue
                last = _admit(s, v, at)
                blocked = vm.wait_head == NONE
            else:
                last = at
                at = s.request[at].next
        elif at != NONE:
            last = at
            at = s.request[at].next
        else:
            break
        request = s.request[last]
        chunk = request.target - request.prefilled
        if c.mode != WHOLE_PROMPT:
            chunk = min(chunk, budget - tokens)
        request.chunk = chunk
        if one_pass or request.prefilled > 0:
            interaction += chunk_interaction_s(s, vm.profile, request.prefilled, chunk)
        tokens += chunk
        prompts += 1
    _time_run(s, v, now_s, tokens, prompts, interaction, last)


@hot
def _with_prompts_s(
    s: State, p: int, tokens: int, interaction: float, n: int, context: int
) -> float:
    """One iteration of ``tokens`` prompt tokens and ``n`` decodes, without overhead."""
    if rare(s.config[0].mixed_factor > 0.0) and n > 0:
        return float(s.config[0].mixed_factor * prefill_s(s, p, float(tokens + n)))
    if rare(s.profile[p].pass_points > 0):
        return float(pass_s(s, p, float(tokens), n, float(context)) + interaction)
    seconds = prefill_s(s, p, float(tokens)) + interaction
    if n > 0:
        seconds += decode_share_s(s, p, n, float(context))
    return float(seconds)


@hot
def _time_run(
    s: State, v: int, now_s: float, tokens: int, prompts: int, interaction: float, last: int
) -> None:
    """Find length and duration of the run whose batch has been formed."""
    c = s.config[0]
    vm = s.vm[v]
    profile = s.profile[vm.profile]
    n = vm.n_running
    iterations = 1
    growth = 0.0
    decodes = n > 0
    if tokens > 0:
        decodes = decodes and c.mode != PREFILL_FIRST
        decoding = n if decodes else 0
        context = vm.context_tokens if decodes else 0
        base = _with_prompts_s(s, vm.profile, tokens, interaction, decoding, context)
        if prompts == 1 and profile.prefill_points == 0 and c.mixed_factor == 0.0:
            request = s.request[last]
            iterations = max(1, (request.target - request.prefilled) // tokens)
            growth = 2.0 * profile.c * tokens * tokens
            if decodes:
                growth += profile.f * n
    elif n > 0:
        base = decode_s(s, vm.profile, n, float(vm.context_tokens))
        growth = profile.f * n
        iterations = c.max_sequences << 32
    else:
        vm.run_iterations = 0
        schedule(s, v, INFINITY)
        return
    if decodes:
        iterations = min(iterations, (vm.first_item >> SLOT_BITS) - vm.iteration)
        if rare(c.growth == 1):
            iterations = min(iterations, (vm.kv_capacity - vm.kv_used) // n)
    base = (base + c.overhead_s) * vm.slow
    growth *= vm.slow
    vm.run_start_s = now_s
    vm.run_base_s = base
    vm.run_growth_s = growth
    vm.run_iterations = iterations
    vm.run_decodes = 1 if decodes else 0
    vm.run_prompts = prompts
    vm.run_booked = 0
    if n > 0:  # what the end of the run will read
        prefetch(s.request, vm.first_item & SLOT_MASK, 0)
        prefetch(s.request, vm.first_item & SLOT_MASK, LINE_BYTES)
    if vm.wait_head != NONE:
        prefetch(s.request, vm.wait_head, 0)
        prefetch(s.request, vm.wait_head, LINE_BYTES)
    end_s = now_s + run_time_s(base, growth, iterations)
    if prompts == 1 and vm.n_prefilling == 1 and vm.wait_head == NONE:
        end_s += _last_chunk_s(s, v, tokens)
    schedule(s, v, end_s)


@jit
def _last_chunk_s(s: State, v: int, tokens: int) -> float:
    """Append the last, smaller chunk of the only prompt of VM ``v`` to its run; return its time.

    That is done where the batch would be the same with an event in between: nobody waits for the
    rest of the budget, no sequence ends and memory suffices. ``tokens`` is the size of the others.
    """
    c = s.config[0]
    vm = s.vm[v]
    request = s.request[vm.pre_head]
    before = vm.run_iterations
    done = request.prefilled + tokens * before
    rest = request.target - done
    if rest <= 0 or rest >= tokens:
        return 0.0
    n, context = 0, 0
    if vm.run_decodes == 1:
        n = vm.n_running
        context = vm.context_tokens + n * before
        if (vm.first_item >> SLOT_BITS) - vm.iteration <= before:
            return 0.0
        if c.growth == 1 and vm.kv_capacity - vm.kv_used < n * (before + 1):
            return 0.0
    vm.run_tail = 1
    interaction = chunk_interaction_s(s, vm.profile, float(done), float(rest))
    seconds = _with_prompts_s(s, vm.profile, rest, interaction, n, context)
    return float((seconds + c.overhead_s) * vm.slow)


@hot
def part_last_chunk(s: State, v: int, now_s: float) -> None:
    """Give the last chunk of the run of VM ``v`` an event of its own if it has not begun."""
    vm = s.vm[v]
    if vm.run_tail == 1:
        begin_s = vm.run_start_s + run_time_s(vm.run_base_s, vm.run_growth_s, vm.run_iterations)
        if now_s < begin_s:
            vm.run_tail = 0
            schedule(s, v, begin_s)


@jit
def cut_run(s: State, v: int, now_s: float) -> None:
    """End the current run at the first iteration boundary after ``now_s``."""
    vm = s.vm[v]
    elapsed = now_s - vm.run_start_s
    base, growth = vm.run_base_s, vm.run_growth_s
    if growth > 0.0:
        half = base - 0.5 * growth
        k = int((math.sqrt(half * half + 2.0 * growth * elapsed) - half) / growth)
    else:
        k = int(elapsed / base)
    k = max(1, min(k, vm.run_iterations))
    while k < vm.run_iterations and run_time_s(base, growth, k) <= elapsed:
        k += 1
    while k > 1 and run_time_s(base, growth, k - 1) > elapsed:
        k -= 1
    if k < vm.run_iterations:
        vm.run_iterations = k
        schedule(s, v, vm.run_start_s + run_time_s(base, growth, k))


@hot
def _complete(s: State, v: int, i: int, now_s: float) -> None:
    """Book a completed request and free its memory."""
    vm = s.vm[v]
    request = s.request[i]
    if rare(s.config[0].closed == 1) and request.turn != NONE:
        prefetch(s.turn, request.turn, 0)
    vm.kv_used -= request.prompt + request.output
    if rare(s.config[0].prefix_tokens > 0):
        leave_prefix(s, v, i)
    vm.pending_tokens -= 1
    answered_s = now_s + s.profile[vm.profile].frontend_s
    book_completion(s, i, answered_s)
    if rare(s.config[0].closed == 1):
        trip_s = s.round_trip[request.region, s.endpoint[request.endpoint].region]
        think(s, i, answered_s + trip_s)
    free_slot(s, i)


@hot
def _finish_prefill(s: State, v: int, i: int, now_s: float) -> None:
    """Emit the token that comes with the end of a prefill and start decoding."""
    c = s.config[0]
    vm = s.vm[v]
    request = s.request[i]
    remove_prefilling(s, v, i)
    vm.pending_tokens -= request.target
    if rare(c.prefix_tokens > 0):
        store_prefix(s, v, i)
    if request.first_token_s < 0.0:
        book_first_token(s, i, now_s + s.profile[vm.profile].frontend_s)
    request.emitted += 1
    if request.emitted == request.output:
        _complete(s, v, i, now_s)
    elif rare(c.late_reserve == 1):  # back to the queue: its decode needs memory of its own
        request.state = WAITING
        insert_waiting(s, v, i)
    else:
        _start_decode(s, v, i)


@hot
def end_run(s: State, v: int, now_s: float) -> None:
    """Book the iterations of the run of VM ``v`` that ends now."""
    vm = s.vm[v]
    if vm.wait_head != NONE and s.request[vm.wait_head].next != NONE:  # the second in the queue
        prefetch(s.request, s.request[vm.wait_head].next, 0)
    k = vm.run_iterations + vm.run_tail
    if vm.run_decodes == 1:
        vm.iteration += k
        vm.context_tokens += vm.n_running * k
        if rare(s.config[0].growth == 1):
            vm.kv_used += vm.n_running * k
            if rare(s.config[0].prefix_tokens > 0):
                make_room(s, v)
        while vm.first_item >> SLOT_BITS <= vm.iteration:
            i = vm.first_item & SLOT_MASK
            remove_sequence(s, v, vm.n_running, 0)
            vm.n_running -= 1
            vm.context_tokens -= s.request[i].prompt + s.request[i].output
            _complete(s, v, i, now_s)
    i = vm.pre_head
    for _ in range(vm.run_prompts):
        request = s.request[i]
        after = request.next
        done = request.chunk * (k - vm.run_booked)
        if vm.run_tail == 1:
            done = request.target - request.prefilled
        request.chunk = 0
        request.prefilled += done
        vm.queued_tokens -= done
        if request.prefilled == request.target:
            _finish_prefill(s, v, i, now_s)
        i = after
    vm.run_iterations = 0
    vm.run_tail = 0
    vm.run_booked = 0
    vm.run_prompts = 0


@hot
def _may_join(s: State, v: int, i: int) -> bool:
    """Whether the new head of the queue of VM ``v`` changes the batch at the next boundary.

    It does not if prompts before it take the whole budget, as they do in a run of several
    iterations, nor if it does not fit: memory is freed and sequences end only at the end of a run.
    """
    vm = s.vm[v]
    if vm.run_prompts > 0:
        return bool(s.request[i].key < s.request[vm.pre_head].key)
    return _fits(s, v, i)


@hot
def enqueue(s: State, v: int, i: int, now_s: float) -> None:
    """Queue request ``i`` at VM ``v``; an idle instance starts at once."""
    vm = s.vm[v]
    request = s.request[i]
    kv_before, queued_before = vm.kv_used, vm.queued_tokens
    request.key = queue_key(s, i, now_s)
    request.late = 0
    request.vm = v
    request.endpoint = vm.endpoint
    request.state = WAITING
    insert_waiting(s, v, i)
    vm.queued_tokens += request.target
    vm.pending_tokens += request.target + 1
    if rare(vm.run_iterations == 0):
        start_run(s, v, now_s)
    else:
        part_last_chunk(s, v, now_s)
        if vm.run_iterations > 1 and vm.wait_head == i and _may_join(s, v, i):
            cut_run(s, v, now_s)
    settle(s, v, kv_before, queued_before)


@hot
def instance_event(s: State, v: int, now_s: float) -> None:
    """End the run of VM ``v`` and start the next one."""
    vm = s.vm[v]
    kv_before, queued_before = vm.kv_used, vm.queued_tokens
    end_run(s, v, now_s)
    start_run(s, v, now_s)
    settle(s, v, kv_before, queued_before)


@hot
def is_empty(s: State, v: int) -> bool:
    """Whether VM ``v`` has no request."""
    vm = s.vm[v]
    return bool(vm.n_running + vm.n_prefilling + vm.n_waiting == 0)
