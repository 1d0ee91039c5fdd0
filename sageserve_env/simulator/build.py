"""From a scenario to the arrays of a simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import ScenarioError
from sageserve_env.entries import default_discipline_weights, default_router_weights
from sageserve_env.options import BATCHING_MODES, UTILISATIONS
from sageserve_env.policies import (
    BALANCERS,
    DISCIPLINE_FEATURES,
    DISCIPLINES,
    ROUTER_FEATURES,
    ROUTERS,
)
from sageserve_env.scenario import Scenario
from sageserve_env.simulator import codes
from sageserve_env.simulator.counters import RECENT
from sageserve_env.simulator.heaps import (
    NO_ITEM,
    ROOT,
    SLOT_BITS,
    first_leaf,
    plant,
    time_bits,
)
from sageserve_env.simulator.memory import zeros
from sageserve_env.simulator.metrics import BUCKETS, RATIO_BUCKETS, WINDOW_MINUTES
from sageserve_env.simulator.prefix import cache_arrays, trie_array
from sageserve_env.simulator.scoring import LARGEST, refresh_scores, set_discipline, set_router
from sageserve_env.simulator.state import (
    CLOCK,
    CONFIG,
    COUNT,
    ENDPOINT,
    HELD,
    MODEL,
    PICTURE,
    PROFILE,
    REQUEST,
    THINKING,
    TIER,
    TURN,
    VM,
    Array,
    State,
)

DEMAND_BIN_S = 60.0
RECORD_COLUMNS = 5
INITIAL_SLOTS = 4096
APART_FROM = 256  # arrivals in an interval; below, the change from one model to the next costs more
_PADDING = 8  # one cache line, so that rows of a power of two do not share cache sets
_UNLIMITED_TOKENS = 1 << 40
_MOST_LEAVES = 1 << 20  # of the tournaments of all models: 16 MB

# Most that fits the records' fields; KV tokens are added up, so half of their range.
_MOST_8, _MOST_16, _MOST_KV_TOKENS = (1 << 7) - 1, (1 << 15) - 1, 1 << 30
MOST_REQUESTS = (1 << 31) - 1

Chunk = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array]

#: Columns of a piece of the trace as the kernel reads it.
ARRIVALS = (
    "arrival_s",
    "arrival_model",
    "arrival_region",
    "arrival_tier",
    "arrival_prompt",
    "arrival_output",
    "arrival_order",
    "arrival_node",
    "arrival_turn",
)
EMPTY: Chunk = (np.zeros(0), *(np.zeros(0, np.int32),) * 8)


def grow_slots(s: State) -> None:
    """Double the number of request slots; slots that were never used need no preparation.

    Raises:
        MemoryError: If more requests are in the system than a heap item can number.
    """
    old = s.request
    if 2 * len(old) > 1 << SLOT_BITS:
        raise MemoryError(f"more than {len(old)} requests are in the system at once")
    both = zeros(2 * len(old), REQUEST)
    both[: len(old)] = old
    s.put("request", both)


def check_ranges(scenario: Scenario) -> None:
    """Refuse a cluster whose numbers do not fit the narrow fields of the records.

    Raises:
        ScenarioError: With the number and the most that there may be.
    """
    capacity = int(scenario.kv_capacity_tokens.max(initial=0))
    limits = (
        ("batching.max_sequences", scenario.batching.max_sequences, _MOST_16),
        ("models x VM types", len(scenario.models) * len(scenario.gpus), _MOST_16),
        ("endpoints (models x regions x pools)", len(scenario.endpoints), _MOST_16),
        ("VMs of a region", int(scenario.inventory.sum(axis=1).max()), _MOST_16),
        ("tiers", len(scenario.tiers), _MOST_8),
        ("KV tokens of an instance", capacity, _MOST_KV_TOKENS),
    )
    for name, value, most in limits:
        if value > most:
            raise ScenarioError(f"{name}: at most {most} can be simulated, got {value}")


def build_state(scenario: Scenario, theta: NDArray[np.float64], seed: int, minutes: int) -> State:
    """Allocate and fill the state of a simulation at time 0.

    Args:
        scenario: The cluster.
        theta: Sustained prompt tokens per second of one instance, [M, G].
        seed: Seed of jitter, faults and randomised balancing.
        minutes: Length of the demand log.

    Raises:
        ScenarioError: If the cluster is too large for the records.
    """
    check_ranges(scenario)
    m, r, k = len(scenario.models), len(scenario.regions), len(scenario.tiers)
    e, g = len(scenario.endpoints), len(scenario.gpus)
    vms = int(scenario.inventory.sum())
    most = int(scenario.inventory.sum(axis=1).max())
    tables = _tables(scenario)
    clock, parts, places = _clock(scenario, seed), _parts(scenario), _places(vms)
    s = State(
        config=_config(scenario, seed),
        clock=clock,
        vm=_vms(scenario),
        request=np.zeros(INITIAL_SLOTS, dtype=REQUEST),
        endpoint=_endpoints(scenario),
        model=_models(scenario),
        tier=_tiers(scenario),
        profile=_profiles(scenario, theta),
        table=tables,
        member=_members(e, most, 0),
        score=_members(e, most, LARGEST),
        jsq=_members(e, most, LARGEST),
        lower=_members(e, most, LARGEST),
        boundary=np.full((e, (max(1, most) + 7) // 8 * 8), time_bits(np.inf), dtype=np.int64),
        weight=np.zeros((m, len(ROUTER_FEATURES))),
        keyed=np.full((m, len(ROUTER_FEATURES)), np.nan),
        router_row=router_rows(scenario),
        order=np.zeros((m, len(DISCIPLINE_FEATURES))),
        order_row=discipline_rows(scenario),
        ends=np.zeros((vms, scenario.batching.max_sequences + _PADDING), dtype=np.int64),
        tree_time=np.full(places, time_bits(np.inf), dtype=np.int64),
        tree_vm=np.zeros(places, dtype=np.int32),
        leaf=np.zeros(vms, dtype=np.int32),
        part_clock=_part_clocks(clock, parts),
        part_time=np.zeros((parts, places), dtype=np.int64),
        part_vm=np.zeros((parts, places), dtype=np.int32),
        picture=np.zeros(e, dtype=PICTURE),
        sent=np.zeros((r, e), dtype=np.int64),
        ring=np.zeros((e, 60), dtype=np.int64),
        target=np.zeros((e, g), dtype=np.int64),
        active=np.zeros((e, g), dtype=np.int64),
        pending=np.zeros((e, g), dtype=np.int64),
        draining=np.zeros((e, g), dtype=np.int64),
        unmet=np.zeros((e, g), dtype=np.int64),
        weights_s=np.full((m, r), -np.inf if scenario.lifecycle.weights_in_region else np.inf),
        round_trip=np.ascontiguousarray(scenario.round_trip),
        routing=np.zeros((m, r, r)),
        credit=np.zeros((m, r, r)),
        orders=np.ascontiguousarray(np.argsort(scenario.round_trip, axis=1, kind="stable")),
        pools=_pools(scenario),
        held=_held(scenario),
        objectives=_objectives(scenario),
        admission=np.full((m, k), np.inf),
        resident=np.array([region.resident for region in scenario.regions]),
        start_s=scenario.start_s.copy(),
        count=np.zeros((m, r, k), dtype=COUNT),
        ttft=np.zeros((m, r, k, BUCKETS), dtype=np.int32),
        e2e=np.zeros((m, r, k, BUCKETS), dtype=np.int32),
        tpot=np.zeros((m, k, BUCKETS), dtype=np.int32),
        window=np.zeros((e, WINDOW_MINUTES, RATIO_BUCKETS), dtype=np.int64),
        tpot_window=np.zeros((e, WINDOW_MINUTES, RATIO_BUCKETS), dtype=np.int64),
        recent=np.zeros((e, WINDOW_MINUTES, len(RECENT)), dtype=np.int64),
        window_minute=np.zeros(e, dtype=np.int64),
        demand=np.zeros((minutes, m, r, k, 3)),
        vm_seconds=np.zeros((e, g, 3)),
        spot_seconds=np.zeros((m, r, g)),
        record=np.zeros((0, RECORD_COLUMNS)),
        turn=np.zeros(0, dtype=TURN),
        thinking=np.zeros(0, dtype=THINKING),
        trie=trie_array(np.zeros(1, np.int32), np.zeros(1, np.int32)),
        **cache_arrays(vms, _most_entries(scenario)),
        **dict(zip(ARRIVALS, EMPTY, strict=True)),
        arrival_next=np.zeros(0, dtype=np.int32),
    )
    plant(s)
    set_router(s, int(s.config[0]["router"]))
    set_discipline(s, int(s.config[0]["discipline"]))
    refresh_scores(s)
    return s


def _most_entries(scenario: Scenario) -> int:
    """Return how many entries the prefix cache of an instance may have: one for each block."""
    if scenario.batching.prefix_cache == "none":
        return 0
    most = int(scenario.kv_capacity_tokens.max(initial=0))
    return max(1, most // scenario.batching.prefix_block_tokens)


def router_rows(scenario: Scenario) -> NDArray[np.float64]:
    """Return the weights of every router in the scenario, [routers, F]; zeros for kernels."""
    return np.stack([default_router_weights(scenario, name)[0] for name in ROUTERS])


def discipline_rows(scenario: Scenario) -> NDArray[np.float64]:
    """Return the weights of every discipline in the scenario, [disciplines, D]."""
    return np.stack([default_discipline_weights(scenario, name)[0] for name in DISCIPLINES])


def _members(endpoints: int, most: int, value: int) -> Array:
    """Return a value for each place of an endpoint's members, in whole lines of eight."""
    return np.full((endpoints, (max(1, most) + 7) // 8 * 8), value, dtype=np.int64)


def _places(vms: int) -> int:
    """Return the length of a tournament, whole lines of eight."""
    return max(8, 8 * (first_leaf(vms) - ROOT + 1))


def _parts(scenario: Scenario) -> int:
    """Return how many models may be simulated one by one: all or none.

    None where one may change what happens to another between decisions in other ways than `parts`
    looks for: by the common generator, the clocks of faults, pictures and sessions, the list of
    requests on their way, or the rounding of the NIW manager's ticks.
    """
    faults, routing, models = scenario.faults, scenario.routing, len(scenario.models)
    together = (
        models == 1
        or models * int(scenario.inventory.sum()) > _MOST_LEAVES
        or faults.crash_per_hour + faults.eviction_per_hour + faults.provision_failure > 0
        or faults.slow_share + faults.stale_metrics_s > 0
        or faults.outage_region is not None
        or routing.region_age_s + routing.delay_s > 0
        or scenario.batching.balancer == "power_of_two"
        or scenario.batching.prefix_cache != "none"
        or scenario.workload.sessions == "closed"
        or not float(scenario.niw.pull_interval_s).is_integer()
    )
    return 0 if together else models


def _part_clocks(clock: Array, parts: int) -> Array:
    """Return the clocks of models that are simulated by themselves."""
    clocks = np.repeat(clock[None], parts, axis=0)
    clocks["part"] = np.arange(parts)[:, None]
    clocks["exhausted"] = 1  # the next piece of the trace is not theirs to ask for
    return clocks


def _config(scenario: Scenario, seed: int) -> Array:
    b, routing, niw = scenario.batching, scenario.routing, scenario.niw
    life, faults = scenario.lifecycle, scenario.faults
    config = np.zeros(1, dtype=CONFIG)
    values: dict[str, float] = {
        "mode": BATCHING_MODES.index(b.mode),
        "budget_tokens": b.prefill_token_budget or _UNLIMITED_TOKENS,
        "max_sequences": b.max_sequences,
        "growth": int(b.kv_policy == "growth"),
        "shared_budget": int(b.shared_budget),
        "late_reserve": int(b.reserve_output_at_decode and b.kv_policy == "reservation"),
        "discipline": DISCIPLINES.index(b.discipline),
        "utilisation": UTILISATIONS.index(b.utilisation),
        "balancer": BALANCERS.index(b.balancer),
        "router": ROUTERS.index(routing.router),
        "overhead_s": b.iteration_overhead_s,
        "mixed_factor": b.mixed_prefill_factor or 0.0,
        "threshold": routing.threshold,
        "spill_threshold": routing.spill_threshold,
        "routing_delay_s": routing.delay_s,
        "running_penalty_s": routing.running_penalty_s,
        "slo_scale": scenario.slo_scale or 0.0,
        "escalate_after_s": niw.escalate_after_s,
        "pull_gap": niw.pull_below - niw.pull_two_below,
        "pull_interval_s": niw.pull_interval_s,
        "spot_same_model_s": life.spot_same_model_s,
        "fetch_weights_s": life.fetch_weights_s,
        "jitter": life.jitter,
        "crash_per_s": faults.crash_per_hour / 3600.0,
        "eviction_per_s": faults.eviction_per_hour / 3600.0,
        "provision_failure": faults.provision_failure,
        "slow_share": faults.slow_share,
        "slow_factor": faults.slow_factor,
        "outage_region": _outage_region(scenario),
        "outage_end_s": faults.outage_start_s + faults.outage_duration_s,
        "stale_s": faults.stale_metrics_s,
        "region_age_s": routing.region_age_s,
        "picture_s": max(routing.region_age_s, faults.stale_metrics_s),
        "aged": routing.region_age_s > 0 or faults.stale_metrics_s > 0,
        "pools": len(scenario.pools),
        "draws": int(np.random.SeedSequence([seed, 0xD4A3]).generate_state(1)[0]),
        "tpot": int(any(t.tpot_s is not None for t in scenario.tiers)),
        "residency": int(any(r.resident > 0 for r in scenario.regions)),
        "fading_per_s": np.log(2.0) / life.label_half_life_s if life.label_half_life_s else 0.0,
        "apart_from": APART_FROM,
        "least_per_model": scenario.min_per_model,
        "longest_output": b.max_output_tokens,
        "prefix_tokens": b.prefix_block_tokens if b.prefix_cache != "none" else 0,
    }
    for key, value in values.items():
        config[0][key] = value
    return config


def _outage_region(scenario: Scenario) -> int:
    region = scenario.faults.outage_region
    return codes.NONE if region is None else scenario.region_names.index(region)


def _clock(scenario: Scenario, seed: int) -> Array:
    clock = np.zeros(1, dtype=CLOCK)
    c = clock[0]
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5A6E]))
    c["rng1"] = int(rng.integers(1, 2147483562))
    c["rng2"] = int(rng.integers(1, 2147483398))
    c["next_tick_s"] = c["next_fault_s"] = np.inf
    faults = scenario.faults
    outage = faults.outage_region is not None and faults.outage_duration_s > 0
    c["next_outage_s"] = faults.outage_start_s if outage else np.inf
    c["next_stale_s"] = 0.0 if faults.stale_metrics_s > 0 else np.inf
    aged = scenario.routing.region_age_s > 0 or faults.stale_metrics_s > 0
    c["next_picture_s"] = 0.0 if aged else np.inf
    c["next_other_s"] = min(c["next_outage_s"], c["next_stale_s"], c["next_picture_s"])
    c["next_turn_s"] = np.inf
    c["free_head"] = c["part"] = codes.NONE
    c["transit_head"] = c["transit_tail"] = codes.NONE
    return clock


def _vms(scenario: Scenario) -> Array:
    vm = np.zeros(int(scenario.inventory.sum()), dtype=VM)
    for field in ("wait_head", "wait_tail", "pre_head", "pre_tail"):
        vm[field] = codes.NONE
    for field in ("profile", "endpoint", "member_pos", "model"):
        vm[field] = codes.NONE
    vm["event_s"] = vm["fault_s"] = vm["fade_s"] = np.inf
    vm["slow"] = 1.0
    vm["first_item"] = NO_ITEM
    vm["state"] = codes.COLD
    flat = scenario.inventory.ravel()
    place = np.repeat(np.arange(flat.size), flat)
    vm["region"], vm["gpu"] = np.divmod(place, len(scenario.gpus))
    return vm


def _endpoints(scenario: Scenario) -> Array:
    endpoint = np.zeros(len(scenario.endpoints), dtype=ENDPOINT)
    pools = scenario.pools
    for i, item in enumerate(scenario.endpoints):
        endpoint[i]["model"] = scenario.models.index(item.model)
        endpoint[i]["region"] = scenario.region_names.index(item.region)
        endpoint[i]["pool"] = pools.index(item.pool)
        endpoint[i]["batch"] = int(item.pool != "interactive")
        endpoint[i]["best"] = codes.NONE
        endpoint[i]["best_until_s"] = np.inf
        endpoint[i]["next_boundary_s"] = np.inf
        endpoint[i]["release"] = scenario.niw.pull_below
    return endpoint


def _models(scenario: Scenario) -> Array:
    """Objectives refer to the slowest VM type in use, so that an idle instance always attains."""
    model = np.zeros(len(scenario.models), dtype=MODEL)
    stocked = scenario.inventory.sum(axis=0) > 0
    for i, spec in enumerate(scenario.model_specs):
        for field in ("global_head", "global_tail"):
            model[i][field] = codes.NONE
        model[i]["longest_prompt"] = scenario.max_context_tokens[i]
        usable = [j for j in range(len(scenario.gpus)) if scenario.compatible[i, j]]
        usable = [j for j in usable if stocked[j]] or usable
        slowest = max(usable, key=lambda j: spec.profiles[scenario.gpus[j]].prefill_s(2048.0))
        model[i]["reference"] = i * len(scenario.gpus) + slowest
    return model


def _tiers(scenario: Scenario) -> Array:
    tier = np.zeros(len(scenario.tiers), dtype=TIER)
    for i, item in enumerate(scenario.tiers):
        tier[i]["objective_s"] = item.objective_s
        tier[i]["choices"] = len(item.objectives_s)
        tier[i]["tpot_s"] = item.tpot_s or 0.0
        tier[i]["ttft"] = int(item.objective == "ttft")
        tier[i]["interactive"] = int(item.interactive)
        tier[i]["priority"] = item.priority
    return tier


def _objectives(scenario: Scenario) -> Array:
    """Return what the objectives of each tier are drawn from, [K, C]; rows are padded with 0."""
    rows = [tier.objectives_s for tier in scenario.tiers]
    table = np.zeros((len(rows), max(1, *map(len, rows))))
    for k, row in enumerate(rows):
        table[k, : len(row)] = row
    return table


def _held(scenario: Scenario) -> Array:
    """Return empty queues of the NIW manager: a lane per objective and place that may serve."""
    objectives = max(1, *(len(tier.objectives_s) for tier in scenario.tiers))
    places = 1 + len(scenario.regions) if any(r.resident > 0 for r in scenario.regions) else 1
    held = np.zeros((len(scenario.models), objectives * places), dtype=HELD)
    held["head"] = held["tail"] = codes.NONE
    return held


def _profiles(scenario: Scenario, theta: NDArray[np.float64]) -> Array:
    g = len(scenario.gpus)
    profile = np.zeros(len(scenario.models) * g, dtype=PROFILE)
    for i, spec in enumerate(scenario.model_specs):
        for j, gpu in enumerate(scenario.gpus):
            if gpu not in spec.profiles:
                continue
            p, source = profile[i * g + j], spec.profiles[gpu]
            p["a"], p["b"] = source.prefill_base_s, source.prefill_per_token_s
            p["c"] = source.prefill_per_token2_s
            p["d"], p["e"] = source.decode_base_s, source.decode_per_sequence_s
            p["f"] = source.decode_per_context_token_s
            p["frontend_s"] = source.frontend_s
            p["theta"] = theta[i, j]
            p["kv_capacity"] = scenario.kv_capacity_tokens[i, j]
            p["prefill_points"] = len(source.prefill_table)
            p["decode_points"] = len(source.decode_table)
            p["pass_points"] = len(source.pass_table)
    return profile


def _tables(scenario: Scenario) -> Array:
    g = len(scenario.gpus)
    pairs = [
        (i * g + j, spec.profiles[gpu])
        for i, spec in enumerate(scenario.model_specs)
        for j, gpu in enumerate(scenario.gpus)
        if gpu in spec.profiles
    ]
    longest = max(len(t) for _, p in pairs for t in (p.prefill_table, p.decode_table, p.pass_table))
    table = np.zeros((len(scenario.models) * g, 4, max(1, longest)))
    for i, profile in pairs:
        second = profile.pass_table or profile.decode_table
        for row, points in ((0, profile.prefill_table), (2, second)):
            if points:
                table[i, row : row + 2, : len(points)] = np.array(points).T
    return table


def _pools(scenario: Scenario) -> Array:
    """First and spill pool of interactive and of batch work."""
    none = codes.NONE
    rows = {
        "unified": [[0, none], [0, none]],
        "siloed": [[0, none], [1, none]],
        "chiron": [[0, 1], [2, 1]],
    }
    return np.array(rows[scenario.pooling], dtype=np.int64)
