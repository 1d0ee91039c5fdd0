"""The whole state of a simulation: every array, its shape and its unit.

Axes: V VMs, E endpoints, G VM types, M models, R regions, K tiers, S request slots, P = M x G
profiles, F features of a router, D of a discipline, B histogram bins, T minutes of the episode.
Times are seconds since the start of the episode; ``NONE`` (-1) stands for "no such index". Records
keep together what is used together. Kernels take the ``State``; nothing else holds state.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sageserve_env.simulator._handle import Handle
from sageserve_env.simulator.memory import LINE_BYTES

Array = np.ndarray[Any, Any]


def _record(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    return np.dtype((np.record, list(fields)))


def _lines(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    """Return a record of whole cache lines; fields are in the order of how often they are used."""
    spare = -_record(*fields).itemsize % LINE_BYTES
    return _record(*fields, ("spare", "u1", (spare,))) if spare else _record(*fields)


CONFIG = _record(
    ("mode", "i8"),  # MIXED, PREFILL_FIRST, WHOLE_PROMPT
    ("budget_tokens", "i8"),  # prompt tokens per iteration
    ("max_sequences", "i8"),
    ("growth", "i8"),  # 1: KV grows token by token, 0: reservation
    ("shared_budget", "i8"),  # 1: decodes take from the token budget too
    ("late_reserve", "i8"),  # 1: prompt + 1 at admission, the rest at the first decode
    ("discipline", "i8"),
    ("utilisation", "i8"),
    ("balancer", "i8"),
    ("router", "i8"),
    ("scored", "i8"),  # 1: the router is weights, 0: a kernel
    ("never_negative", "i8"),  # 1: no score of an instance is below 0
    ("timely", "i8"),  # 1: its scores count queued tokens, so these are booked chunk by chunk
    ("overhead_s", "f8"),  # added to each iteration
    ("mixed_factor", "f8"),  # > 0: factor x prefill(tokens + decodes); 0: additive rule
    ("threshold", "f8"),
    ("spill_threshold", "f8"),
    ("routing_delay_s", "f8"),
    ("running_penalty_s", "f8"),
    ("slo_scale", "f8"),
    ("escalate_after_s", "f8"),
    ("pull_gap", "f8"),  # release ceiling minus the ceiling for two
    ("pull_interval_s", "f8"),
    ("spot_same_model_s", "f8"),
    ("fetch_weights_s", "f8"),
    ("jitter", "f8"),
    ("crash_per_s", "f8"),
    ("eviction_per_s", "f8"),
    ("provision_failure", "f8"),
    ("slow_share", "f8"),
    ("slow_factor", "f8"),
    ("outage_region", "i8"),
    ("outage_end_s", "f8"),
    ("stale_s", "f8"),
    ("region_age_s", "f8"),
    ("picture_s", "f8"),  # time between two pictures
    ("aged", "i8"),  # 1: some gateway knows some endpoint by a picture
    ("keep_records", "i8"),
    ("pools", "i8"),  # pools of each (model, region)
    ("draws", "i8"),  # seed of what is drawn per request
    ("tpot", "i8"),  # 1: a tier has an objective for the time per output token
    ("residency", "i8"),  # 1: some requests must be served where they come from
    ("fading_per_s", "f8"),  # rate at which donated VMs lose what they hold
    ("admission", "i8"),  # 1: a tier may be refused
    ("closed", "i8"),  # 1: a turn of a session arrives some time after the answer before it
    ("longest_output", "i8"),
    ("prefix_tokens", "i8"),  # tokens of a block of the prefix caches; 0: there are none
    ("apart_from", "i8"),  # arrivals from which on models are simulated one by one
    ("shared", "i8"),  # 1: by several threads
    ("least_per_model", "i8"),  # fewest target instances of a model over all its endpoints
)

CLOCK = _lines(
    ("now_s", "f8"),
    ("next_other_s", "f8"),  # earliest of the times below
    ("next_tick_s", "f8"),  # NIW manager; inf while nothing is held
    ("next_fault_s", "f8"),
    ("next_outage_s", "f8"),
    ("next_stale_s", "f8"),
    ("next_turn_s", "f8"),  # of a session; inf while nobody thinks
    ("n_thinking", "i8"),
    ("next_picture_s", "f8"),  # regions tell each other how they stand
    ("chosen", "i8"),  # place in the endpoint that a region was chosen for; NONE: not looked for
    ("free_head", "i8"),  # request slots that were given back
    ("n_free", "i8"),
    ("n_touched", "i8"),  # slots that were ever used: the first so many
    ("transit_head", "i8"),  # requests between region and instance, FIFO
    ("transit_tail", "i8"),
    ("sequence", "i8"),  # requests taken from the trace; tie-breaker of queue keys
    ("cursor", "i8"),  # next request of the current chunk
    ("end", "i8"),  # and the one after its last, or after the last of the interval
    ("exhausted", "i8"),  # 1: the trace has no further chunk
    ("part", "i8"),  # model that is simulated by itself; NONE: all of them
    ("apart", "i8"),  # 1: other threads simulate the parts
    ("end_s", "f8"),  # up to then
    ("n_due", "i8"),  # its arrivals in the interval
    ("first_due", "i8"),  # the first of them
    ("first_leaf", "i8"),  # places of its VMs in its tournament: the first,
    ("end_leaf", "i8"),  # and the one after the last
    ("first_part", "i8"),  # model that comes first the next time
    ("reconcile", "i8"),  # 1: an unmet target may now be met
    ("rng1", "i8"),  # L'Ecuyer's combined generator
    ("rng2", "i8"),
    ("arrived", "i8"),
    ("completed", "i8"),
    ("refused", "i8"),  # by the gateway
    ("admissions", "i8"),  # to the batch of an instance
    ("preemptions", "i8"),
    ("requeued", "i8"),  # by crashes and outages
    ("crashes", "i8"),
    ("evictions", "i8"),
    ("failed_scale_outs", "i8"),
    ("scale_outs", "i8"),
    ("scale_ins", "i8"),
    ("drains_cancelled", "i8"),
    ("unmet_events", "i8"),
    ("escalated", "i8"),
    ("found_tokens", "i8"),  # prompt tokens cached when requests were first admitted
    ("asked_tokens", "i8"),  # prompt tokens of these requests
    ("events", "i8"),
)

# Two lines are used at each event of a VM, the rest when it changes its state. Narrow fields are
# checked where a state is built (``build.check_ranges``).
VM = _lines(
    ("run_start_s", "f8"),
    ("run_base_s", "f8"),  # time of the run's first iteration
    ("run_growth_s", "f8"),  # added by each further iteration
    ("slow", "f8"),  # factor on iteration times
    ("iteration", "i8"),  # decode iterations done
    ("first_item", "i8"),  # sequence that ends first, as in ``ends``; NO_ITEM when none decodes
    ("queued_tokens", "i8"),  # prompt tokens not yet prefilled
    ("pending_tokens", "i8"),  # JSQ: prompts until their prefill ends, + 1 per request
    # second line
    ("event_s", "f8"),  # next event; inf when idle
    ("run_iterations", "i4"),  # planned iterations of the current run; 0 when idle
    ("run_booked", "i4"),  # iterations of the run whose prompt tokens have left the queue already
    ("context_tokens", "i4"),  # KV tokens of the decoding sequences
    ("kv_used", "i4"),  # tokens reserved or in use
    ("kv_capacity", "i4"),
    ("n_waiting", "i4"),
    ("wait_head", "i4"),  # waiting requests in key order
    ("wait_tail", "i4"),
    ("pre_head", "i4"),  # admitted prompts in key order
    ("pre_tail", "i4"),
    ("run_prompts", "i2"),  # prompts with a chunk in the run
    ("n_running", "i2"),  # decoding sequences
    ("n_prefilling", "i2"),  # admitted, prompt not finished
    ("profile", "i2"),  # index into profiles; NONE without a model
    ("member_pos", "i2"),  # place in the endpoint's list of accepting instances
    ("endpoint", "i2"),
    ("state", "i2"),
    ("run_decodes", "i1"),  # 1: the run advances the decoding sequences
    ("run_tail", "i1"),  # 1: a last, smaller chunk follows the planned iterations
    # third line, rarely used
    ("since_s", "f8"),  # start of the unbilled part of the current state
    ("fault_s", "f8"),  # next crash or eviction
    ("fade_s", "f8"),  # a donated VM holds its model until then
    ("region", "i4"),
    ("gpu", "i4"),
    ("model", "i4"),  # model on the VM, also while spot
)

# The first line has what queues, prefill and completion need.
REQUEST = _lines(
    ("arrival_s", "f8"),
    ("key", "f8"),  # queue order; while in transit: when it reaches the region
    ("id", "i4"),  # position in the trace
    ("prompt", "i4"),
    ("output", "i4"),
    ("target", "i4"),  # tokens to prefill (prompt, plus emitted ones after a preemption)
    ("prefilled", "i4"),
    ("chunk", "i4"),  # tokens per iteration of the current run
    ("emitted", "i4"),  # output tokens emitted before the current decode phase
    ("next", "i4"),
    ("prev", "i4"),
    ("vm", "i4"),
    ("endpoint", "i2"),
    ("model", "i2"),
    ("region", "i2"),
    ("tier", "i1"),
    ("state", "i1"),
    # second line
    ("objective_s", "f8"),
    ("first_token_s", "f8"),  # < 0 until emitted
    ("admitted", "i8"),  # admission stamp, for newest-first preemption
    ("preference", "i4"),  # row of ``orders``
    ("escalated", "i2"),
    ("resident", "i1"),  # 1: may be served in its own region only
    ("overdue", "i1"),  # where the tier has a TPOT objective: OVERDUE, OVERDUE_FLAT
    ("late", "i4"),  # 1: its turn came too late, it has stood back
    ("node", "i4"),  # node of its prompt in the trie; 0: it shares nothing
    ("entry", "i4"),  # deepest entry that it pins where it runs
    ("shared", "i4"),  # blocks of its prompt that are held for others too
    ("turn", "i4"),  # turn of its session after it, NONE if it is the last
    ("cached", "i4"),  # prompt tokens that it found when first admitted; NONE before
)

ENDPOINT = _lines(
    ("theta", "f8"),  # prompt tokens per second of the active instances
    ("kv_used", "i8"),  # over active instances
    ("kv_capacity", "i8"),
    ("queued_tokens", "i8"),  # over active instances
    ("ring_tokens", "i8"),  # routed in the last 60 s
    ("ring_second", "i8"),
    ("seen", "f8"),  # utilisation as last published, where metrics are stale
    ("release", "f8"),  # NIW pull ceiling
    ("model", "i8"),
    ("region", "i8"),
    ("pool", "i8"),
    ("n_members", "i8"),  # accepting instances
    ("round_robin", "i8"),
    ("next_boundary_s", "f8"),  # no member's queue is booked late before it
    ("best_until_s", "f8"),  # no queue shortens before it so that another could be the best
    ("best", "i8"),  # member with the least score; NONE: look again
    ("batch", "i8"),  # 1: pulls non-interactive work
)

# What other regions know of an endpoint: its aggregates when they were last published.
PICTURE = _record(
    ("members", "i8"),
    ("used", "f8"),  # utilisation
    ("theta", "f8"),
    ("kv_used", "i8"),
    ("kv_capacity", "i8"),
    ("queued_tokens", "i8"),
    ("running", "i8"),
    ("pending_tokens", "i8"),
)

MODEL = _lines(
    ("n_held", "i8"),  # with the NIW manager
    ("held_tokens", "i8"),
    ("global_head", "i8"),  # requests that no endpoint can take, FIFO
    ("global_tail", "i8"),
    ("n_global", "i8"),
    ("longest_prompt", "i8"),
    ("reference", "i8"),  # profile whose isolated prefill sets objectives
)

TIER = _record(
    ("objective_s", "f8"),  # the longest where there are several
    ("choices", "i8"),  # > 0: objectives to draw from
    ("tpot_s", "f8"),  # > 0: objective for the time per output token too
    ("ttft", "i8"),  # 1: TTFT objective, 0: completion
    ("interactive", "i8"),
    ("priority", "i8"),
)

PROFILE = _record(
    ("a", "f8"),
    ("b", "f8"),
    ("c", "f8"),
    ("d", "f8"),
    ("e", "f8"),
    ("f", "f8"),
    ("frontend_s", "f8"),  # outside the engine: shows in TTFT and E2E, occupies nothing
    ("theta", "f8"),
    ("kv_capacity", "i8"),
    ("prefill_points", "i8"),  # > 0: table instead of a, b, c
    ("decode_points", "i8"),  # > 0: table instead of d, e
    ("pass_points", "i8"),  # > 0: one table over prompt tokens + decodes instead of both
)

COUNT = _record(
    ("arrived", "i8"),
    ("completed", "i8"),
    ("attained", "i8"),
    ("attained_flat", "i8"),  # within the flat tier objective
    ("missed", "i8"),  # objective known to be missed
    ("refused", "i8"),  # of those: at the gateway
    ("prompt_tokens", "i8"),
    ("output_tokens", "i8"),
    ("remote_tokens", "i8"),  # served outside the origin region
    ("ttft_s", "f8"),  # sum
)

HELD = _record(("head", "i8"), ("tail", "i8"))  # FIFO

_F8, _I8, _I4 = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.int32)

# Prefix caches (``prefix``): nodes of the trie, one cache per VM, and what each holds.
TRIE = _record(
    ("parent", "i4"),
    ("depth", "i4"),  # blocks from the start of the prompt to the end of the node
    ("listed", "i8"),  # up to three VMs that hold some of it; or its row of ``crowd`` (``holders``)
    ("holders", "i4"),  # how many VMs hold some of it
    ("n_listed", "i4"),  # how many of them are listed; NONE: it has a row
    ("sent", "i8"),  # bit of origin x regions + region: sent there (``prefix_memory``)
)

CACHE = _record(
    ("oldest", "i4"),  # entries that no request pins
    ("newest", "i4"),
    ("free_head", "i4"),  # entries that were given back
    ("n_touched", "i4"),
    ("evictable", "i8"),  # blocks of entries that no request pins
)

ENTRY = _record(
    ("node", "i4"),
    ("held", "i4"),  # its first blocks
    ("pins", "i4"),  # requests that run on it
    ("up", "i4"),  # entry of its parent
    ("older", "i4"),
    ("newer", "i4"),
    ("chain", "i4"),  # next in the bucket, or next of those that were given back
)

# Turns of closed sessions (``sessions``): all of the trace, and a heap of those that are to come.
TURN = _record(
    ("think_s", "f8"),  # from the answer before it
    ("prompt", "i4"),
    ("output", "i4"),
    ("node", "i4"),
    ("next", "i4"),
)

THINKING = _record(
    ("time_s", "f8"),
    ("turn", "i4"),
    ("model", "i2"),
    ("region", "i2"),
    ("tier", "i2"),
    ("preference", "i2"),
    ("node", "i4"),  # of the turn
)


class State(Handle):
    """All arrays of one simulation."""

    config: Array  # CONFIG [1]
    clock: Array  # CLOCK [1]
    vm: Array  # VM [V]
    request: Array  # REQUEST [S]
    endpoint: Array  # ENDPOINT [E]
    model: Array  # MODEL [M]
    tier: Array  # TIER [K]
    profile: Array  # PROFILE [P]
    table: Array  # f8 [P, 4, L]: prefill tokens, seconds, decode sequences or pass tokens, seconds
    member: Array  # i8 [E, W]: accepting VMs; W is a multiple of 8
    score: Array  # i8 [E, W]: their weighted scores as `order_bits`; LARGEST beyond the members
    jsq: Array  # i8 [E, W]: pending tokens << 24 | VM; LARGEST beyond the members
    lower: Array  # i8 [E, W]: least that they can score within their runs; LARGEST: no long run
    boundary: Array  # i8 [E, W]: when a chunk of a long run leaves the queue next, as `time_bits`
    weight: Array  # f8 [M, F]: weights of the router in force, per model
    keyed: Array  # f8 [M, F]: those that ``score`` was computed with; NaN: none
    router_row: Array  # f8 [routers, F]: weights of each router; zeros where it is a kernel
    order: Array  # f8 [M, D]: weights of the discipline in force, per model
    order_row: Array  # f8 [disciplines, D]: weights of each discipline
    ends: Array  # i8 [V, max_sequences + padding]: heap of end_iteration << 24 | slot
    tree_time: Array  # i8 [places]: tournament of next events, bits of their times (``heaps``)
    tree_vm: Array  # i4 [places]: their VMs
    leaf: Array  # i4 [V]: place of each VM in the tournament
    part_clock: Array  # CLOCK [M, 1]: of a model that is simulated by itself (``parts``)
    part_time: Array  # i8 [M, places]: its tournament
    part_vm: Array  # i4 [M, places]
    parts: Array  # i8 [M, words]
    picture: Array  # PICTURE [E]
    sent: Array  # i8 [R, E]: prompt tokens that a gateway has sent since the picture was taken
    ring: Array  # i8 [E, 60]: prompt tokens routed per second
    target: Array  # i8 [E, G]
    active: Array  # i8 [E, G]
    pending: Array  # i8 [E, G]
    draining: Array  # i8 [E, G]
    unmet: Array  # i8 [E, G]
    weights_s: Array  # f8 [M, R]: time from which the weights are in the region
    round_trip: Array  # f8 [R, R]
    routing: Array  # f8 [M, R, R]: shares or penalties
    credit: Array  # f8 [M, R, R]: weighted round robin of the shares router
    orders: Array  # i8 [orders, R]: region preference; row o is that of origin o
    pools: Array  # i8 [2, 2]: (interactive, batch) x (first pool, spill pool)
    held: Array  # HELD [M, lanes]: queues of the NIW manager (``slots.lane_of``)
    objectives: Array  # f8 [K, C]: what a tier's objectives are drawn from
    admission: Array  # f8 [M, K]: expected wait in seconds above which a request is refused
    resident: Array  # f8 [R]: share of a region's requests that must be served there
    start_s: Array  # f8 [M, G]: time that a start takes with the weights in the region
    count: Array  # COUNT [M, R, K]
    count_words: Array  # i8 [M, R, K, fields of COUNT]: the same numbers by place
    ttft: Array  # i4 [M, R, K, B]
    e2e: Array  # i4 [M, R, K, B]
    tpot: Array  # i4 [M, K, B]: mean time per output token after the first
    window: Array  # i8 [E, 5, 64]: TTFT over objective, last five minutes
    tpot_window: Array  # i8 [E, 5, 64]: the same of the time per output token
    recent: Array  # i8 [E, 5, RECENT]: what was counted in the last five minutes (``counters``)
    window_minute: Array  # i8 [E]
    demand: Array  # f8 [T, M, R, K, 3]: requests, prompt tokens; output tokens at completion
    vm_seconds: Array  # f8 [E, G, 3]: pending, active, draining
    spot_seconds: Array  # f8 [M, R, G]
    record: Array  # f8 [requests or 0, 5]: first token, completion, region, endpoint, cached
    trie: Array  # TRIE [nodes]
    cache: Array  # CACHE [V]
    entry: Array  # ENTRY [V, C]
    bucket: Array  # i4 [V, B]: heads of chains of entries, by a hash of their nodes
    crowd: Array  # i8 [rows, words]: bit sets of VMs that hold nodes which many hold (``holders``)
    turn: Array  # TURN [turns or 0]
    thinking: Array  # THINKING [sessions or 0]: binary heap by time
    arrival_s: Array  # f8 [N]: the current piece of the trace, read by the kernel
    arrival_model: Array  # i4 [N]
    arrival_region: Array  # i4 [N]
    arrival_tier: Array  # i4 [N]
    arrival_prompt: Array  # i4 [N]
    arrival_output: Array  # i4 [N]
    arrival_order: Array  # i4 [N]: row of ``orders``
    arrival_node: Array  # i4 [N]: node of the prompt in ``trie``
    arrival_turn: Array  # i4 [N]: turn after it, where sessions are closed
    arrival_next: Array  # i4 [N]: next request of the model in the interval (``parts``)

    IN_WORDS: ClassVar = {"count_words": "count"}
    IN_PARTS: ClassVar = {"clock": "part_clock", "tree_time": "part_time", "tree_vm": "part_vm"}
    FIELDS = (
        ("config", CONFIG, 1),
        ("clock", CLOCK, 1),
        ("vm", VM, 1),
        ("request", REQUEST, 1),
        ("endpoint", ENDPOINT, 1),
        ("model", MODEL, 1),
        ("tier", TIER, 1),
        ("profile", PROFILE, 1),
        ("table", _F8, 3),
        ("member", _I8, 2),
        ("score", _I8, 2),
        ("jsq", _I8, 2),
        ("lower", _I8, 2),
        ("boundary", _I8, 2),
        ("weight", _F8, 2),
        ("keyed", _F8, 2),
        ("router_row", _F8, 2),
        ("order", _F8, 2),
        ("order_row", _F8, 2),
        ("ends", _I8, 2),
        ("tree_time", _I8, 1),
        ("tree_vm", _I4, 1),
        ("leaf", _I4, 1),
        ("part_clock", CLOCK, 2),
        ("part_time", _I8, 2),
        ("part_vm", _I4, 2),
        ("parts", _I8, 2),
        ("picture", PICTURE, 1),
        ("sent", _I8, 2),
        ("ring", _I8, 2),
        ("target", _I8, 2),
        ("active", _I8, 2),
        ("pending", _I8, 2),
        ("draining", _I8, 2),
        ("unmet", _I8, 2),
        ("weights_s", _F8, 2),
        ("round_trip", _F8, 2),
        ("routing", _F8, 3),
        ("credit", _F8, 3),
        ("orders", _I8, 2),
        ("pools", _I8, 2),
        ("held", HELD, 2),
        ("objectives", _F8, 2),
        ("admission", _F8, 2),
        ("resident", _F8, 1),
        ("start_s", _F8, 2),
        ("count", COUNT, 3),
        ("count_words", _I8, 4),
        ("ttft", _I4, 4),
        ("e2e", _I4, 4),
        ("tpot", _I4, 3),
        ("window", _I8, 3),
        ("tpot_window", _I8, 3),
        ("recent", _I8, 3),
        ("window_minute", _I8, 1),
        ("demand", _F8, 5),
        ("vm_seconds", _F8, 3),
        ("spot_seconds", _F8, 3),
        ("record", _F8, 2),
        ("trie", TRIE, 1),
        ("cache", CACHE, 1),
        ("entry", ENTRY, 2),
        ("bucket", _I4, 2),
        ("crowd", _I8, 2),
        ("turn", TURN, 1),
        ("thinking", THINKING, 1),
        ("arrival_s", _F8, 1),
        ("arrival_model", _I4, 1),
        ("arrival_region", _I4, 1),
        ("arrival_tier", _I4, 1),
        ("arrival_prompt", _I4, 1),
        ("arrival_output", _I4, 1),
        ("arrival_order", _I4, 1),
        ("arrival_node", _I4, 1),
        ("arrival_turn", _I4, 1),
        ("arrival_next", _I4, 1),
    )
