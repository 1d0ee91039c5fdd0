"""Prefix caches in the engine: by hand, against explicit lists of blocks, and under faults."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.actions import ClusterAction
from sageserve_env.catalogue import LatencyProfile
from sageserve_env.observe.features import FEATURES
from sageserve_env.options import BatchingConfig
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.prefixes import Blocks, build_trie
from tests.simulator import reference_endpoint as reference
from tests.simulator.small import SIMPLE, scenario, trace

BLOCK = 10
QUADRATIC = LatencyProfile(0.03, 1e-4, 4e-7, 0.04, 2e-4, 3e-6)


def with_paths(rows: list[tuple[float, int, int]], paths: list[list[int]], of: Any) -> Any:
    """Return a trace whose prompts have these block ids."""
    ids = np.array([i for path in paths for i in path], dtype=np.int64)
    offsets = np.append(0, np.cumsum([len(path) for path in paths]))
    prefixes, node = build_trie(Blocks(ids, offsets), of.batching.prefix_block_tokens)
    return replace(trace(rows, of), prefix_node=node, prefixes=prefixes)


def played(rows: list[tuple[float, int, int]], paths: list[list[int]], **changes: Any) -> Simulator:
    batching = {"prefix_cache": "lru", "prefix_block_tokens": 100, "max_output_tokens": 300}
    batching |= changes.pop("batching", {})
    of = scenario(batching=batching, **changes)
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(with_paths(rows, paths, of))
    sim.advance(1000.0)
    sim.check_invariants()
    return sim


def test_two_turns_by_hand() -> None:
    # First turn: 250 tokens, none cached: 0.1 + 0.25 s. Its two whole blocks stay. Second turn: 450
    # tokens, 200 of them cached: 0.1 + 0.25 s, where without a cache it takes 0.1 + 0.45 s.
    sim = played([(0.0, 250, 3), (10.0, 450, 3)], [[1, 2], [1, 2, 3, 4]])
    assert sim.records()["ttft_s"] == pytest.approx([0.35, 0.35])
    assert sim.records()["cached_tokens"].tolist() == [0.0, 200.0]
    assert sim.episode_metrics()["prefix_hit_rate"] == pytest.approx(200 / 700)


def test_one_token_is_computed_of_a_prompt_that_is_cached_as_a_whole() -> None:
    sim = played([(0.0, 200, 2), (10.0, 200, 2)], [[1, 2], [1, 2]])
    assert sim.records()["ttft_s"] == pytest.approx([0.3, 0.101])


def test_running_requests_share_what_has_been_computed() -> None:
    # The second comes while the first decodes. It finds the first's blocks and pins them, so both
    # need 250 + 100 tokens and 50 + 100 more: 500 of 510.
    sim = played(
        [(0.0, 250, 100), (1.0, 250, 100)],
        [[1, 2], [1, 2]],
        kv_tokens=510,
        batching={"max_output_tokens": 100},
    )
    assert sim.records()["cached_tokens"].tolist() == [0.0, 200.0]
    assert sim.records()["ttft_s"][1] < 1.0


def test_memory_that_is_needed_is_taken_from_the_end_of_the_oldest() -> None:
    # 600 tokens. The first leaves 4 blocks, the second needs 300 for itself: 3 of these stay.
    paths = [[1, 2, 3, 4], [7, 8], [1, 2, 3, 4]]
    sim = played(
        [(0.0, 400, 2), (10.0, 298, 2), (20.0, 400, 2)],
        paths,
        kv_tokens=600,
        batching={"max_output_tokens": 100},
    )
    assert sim.records()["cached_tokens"].tolist() == [0.0, 0.0, 300.0]


def test_a_crash_and_a_drain_lose_the_cache() -> None:
    of = scenario(batching={"prefix_cache": "lru", "prefix_block_tokens": 100})
    rows = [(0.0, 250, 3), (700.0, 250, 3)]
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(with_paths(rows, [[1, 2], [1, 2]], of))
    sim.advance(10.0)
    sim.apply(ClusterAction(np.array([[0]])))
    sim.advance(20.0)
    sim.apply(ClusterAction(np.array([[1]])))
    sim.advance(1000.0)
    sim.check_invariants()
    assert sim.records()["cached_tokens"].tolist() == [0.0, 0.0]


def test_the_router_weighs_reuse_against_load() -> None:
    # Two instances. The second turn goes where the first was; so would the third, but a long prompt
    # queues there by then and costs more than the 0.2 s that are saved.
    def place(rows: list[tuple[float, int, int]], paths: list[list[int]], router: str) -> float:
        sim = played(
            rows, paths, initial_instances=2, routing={"router": router}, kv_tokens=100_000
        )
        return float(sim.records()["cached_tokens"][-1])

    first = (0.0, 250, 300)
    assert place([first, (1.0, 450, 3)], [[1, 2], [1, 2, 3]], "prefix_affinity") == 200
    assert place([first, (1.0, 450, 3)], [[1, 2], [1, 2, 3]], "least_wait") == 0
    loaded = [first, (1.0, 5000, 3), (1.01, 250, 3)]
    assert place(loaded, [[1, 2], [1, 2], [1, 2]], "prefix_affinity") == 0


class CachingInstance(reference.Instance):
    """An instance of the reference with explicit lists of blocks.

    ``held`` are the paths of blocks, with the time each was last given back; ``users`` the jobs
    that pin a node. Nodes are runs of blocks, as the trace has them; a job that found a part of a
    node pins what is held of it.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.held: dict[tuple[int, ...], int] = {}
        self.users: dict[int, set[int]] = {}
        self.own: dict[int, int] = {}  # tokens that a job has for itself
        self.given_back = 0
        self.node_of: dict[tuple[int, ...], int] = {}
        self.jobs: dict[int, Any] = {}
        self.found: dict[int, int] = {}
        self.freed: list[int] = []

    def pinned(self, block: tuple[int, ...]) -> bool:
        return bool(self.users.get(self.node_of[block]))

    def in_use(self) -> int:
        return sum(self.own.values()) + BLOCK * sum(self.pinned(b) for b in self.held)

    def blocks(self, job: Any) -> list[tuple[int, ...]]:
        return [tuple(job.path[: j + 1]) for j in range(len(job.path))]

    def matched(self, job: Any) -> list[tuple[int, ...]]:
        run = []
        for block in self.blocks(job):
            if block not in self.held:
                break
            run.append(block)
        return run

    def evict(self) -> None:
        free = [b for b in self.held if not self.pinned(b)]
        free.sort(key=lambda b: self.held[b])
        while free and self.in_use() + BLOCK * len(free) > self.capacity_tokens:
            del self.held[free.pop(0)]

    def pin(self, job: Any, blocks: list[tuple[int, ...]]) -> None:
        for block in blocks:
            self.users.setdefault(self.node_of[block], set()).add(job.index)

    def give_back(self, job: Any) -> None:
        self.own.pop(job.index)
        nodes = {self.node_of[b]: b for b in self.blocks(job)}
        for node in sorted(nodes, key=lambda n: -len(nodes[n])):
            if job.index in self.users.get(node, set()):
                self.users[node].discard(job.index)
                if not self.users[node]:
                    mine = [b for b in self.held if self.node_of[b] == node]
                    for block in sorted(mine, key=len, reverse=True):
                        self.given_back += 1
                        self.held[block] = self.given_back

    # -- the rules that memory is in ------------------------------------------------------------

    def make_room(self) -> None:
        if self.batching.kv_policy != "growth":
            return
        while self.in_use() + len(self.decoding) > self.capacity_tokens:
            job = max(self.decoding, key=lambda j: j.admitted_as)
            self.decoding.remove(job)
            self.give_back(job)
            job.to_prefill = job.present_tokens
            job.prefilled = 0
            self.pending_tokens += job.to_prefill
            self.waiting.append(job)

    def admits(self, job: Any) -> bool:
        if len(self.decoding) + len(self.prefilling) >= self.batching.max_sequences:
            return False
        reserve = len(self.decoding) if self.batching.kv_policy == "growth" else 0
        need = self.needed_tokens(job)
        need -= BLOCK * sum(self.pinned(b) for b in self.matched(job))
        return self.in_use() + reserve + need <= self.capacity_tokens

    def admit_prompt(self, job: Any) -> None:
        run = self.matched(job)
        self.own[job.index] = self.needed_tokens(job) - BLOCK * len(run)
        self.pin(job, run)
        job.prefilled = min(BLOCK * len(run), job.to_prefill - 1)
        job.found_blocks = len(run)
        self.found.setdefault(job.index, job.prefilled)
        self.evict()
        self.waiting.remove(job)
        self.prefilling.append(job)
        job.admitted_as = self.admissions
        self.admissions += 1

    def admit_decode(self, job: Any) -> bool:
        need = job.output_tokens - 1
        if len(self.decoding) + len(self.prefilling) >= self.batching.max_sequences:
            return False
        if self.in_use() + need > self.capacity_tokens:
            return False
        self.own[job.index] += need
        self.evict()
        self.waiting.remove(job)
        self.decoding.append(job)
        return True

    def end_iteration(self, now: float) -> None:
        for job in self.advancing:
            job.emitted += 1
            if self.batching.kv_policy == "growth":
                self.own[job.index] += 1
        self.evict()
        done = [job for job in self.advancing if job.emitted == job.output_tokens]
        for job in sorted(done, key=lambda j: j.slot):
            self.decoding.remove(job)
            self.complete(job, now)
        for job, take in self.chunks:
            job.prefilled += take
            if job.prefilled == job.to_prefill:
                self.finish_prefill(job, now)
        self.start_iteration(now)

    def finish_prefill(self, job: Any, now: float) -> None:
        blocks = self.blocks(job)
        self.own[job.index] -= BLOCK * (len(blocks) - job.found_blocks)
        for block in blocks:
            self.held.setdefault(block, 0)
        self.pin(job, blocks)
        super().finish_prefill(job, now)

    def complete(self, job: Any, now: float) -> None:
        job.completed_s = now
        self.give_back(job)
        self.pending_tokens -= 1
        self.freed.append(job.slot)


def nodes_of(jobs: list[Any]) -> dict[tuple[int, ...], int]:
    """Return the node of each block: runs that no prompt ends in and none branches in."""
    ends = {tuple(job.path) for job in jobs}
    paths = {tuple(job.path[: j + 1]) for job in jobs for j in range(len(job.path))}
    followers: dict[tuple[int, ...], int] = {}
    for path in paths:
        followers[path[:-1]] = followers.get(path[:-1], 0) + 1
    node: dict[tuple[int, ...], int] = {}
    for path in sorted(paths, key=len):
        above = path[:-1]
        goes_on = above in node and above not in ends and followers[above] == 1
        node[path] = node[above] if goes_on else len(set(node.values())) + 1
    return node


def by_reference(
    rows: list[tuple[float, int, int]],
    paths: list[list[int]],
    batching: BatchingConfig,
    capacity: int,
    instances: int,
) -> tuple[list[Any], list[int]]:
    jobs = [reference.Job(i, *row) for i, row in enumerate(rows)]
    for job, path in zip(jobs, paths, strict=True):
        job.path = path  # type: ignore[attr-defined]
    fleet = [CachingInstance(i, batching, QUADRATIC, capacity) for i in range(instances)]
    for instance in fleet:
        instance.node_of = nodes_of(jobs)
    arrivals, free, slots = list(jobs), [], 0
    while arrivals or any(i.busy for i in fleet):
        first = min(fleet, key=lambda i: i.end_s)
        if not arrivals or first.end_s <= arrivals[0].arrival_s:
            now, first.end_s = first.end_s, math.inf
            first.end_iteration(now)
            free += first.freed
            first.freed = []
            continue
        job: Any = arrivals.pop(0)
        job.key = (job.arrival_s,)
        job.slot = free.pop() if free else slots
        slots = max(slots, job.slot + 1)
        min(fleet, key=lambda i: i.pending_tokens).enqueue(job, job.arrival_s)
    found = {k: v for instance in fleet for k, v in instance.found.items()}
    return jobs, [found.get(i, -1) for i in range(len(jobs))]


@st.composite
def prompts(draw: st.DrawFn, capacity: int) -> tuple[tuple[float, int, int], list[int]]:
    path = draw(st.lists(st.integers(0, 1), max_size=6))
    rest = draw(st.integers(1, 40))
    gap = draw(st.sampled_from([0.0, 0.01, 0.2, 2.0]))
    prompt = min(BLOCK * len(path) + rest, capacity - 40)
    return (gap, prompt, draw(st.integers(1, 30))), path[: prompt // BLOCK]


@pytest.mark.parametrize("kv_policy", ["reservation", "growth"])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_engine_equals_lists_of_blocks(kv_policy: str, data: st.DataObject) -> None:
    capacity = data.draw(st.integers(90, 400))
    drawn = data.draw(st.lists(prompts(capacity), min_size=1, max_size=25))
    paths = [path for _, path in drawn]
    arrival = np.cumsum([row[0] for row, _ in drawn])
    rows = [(float(t), row[1], row[2]) for t, (row, _) in zip(arrival, drawn, strict=True)]
    instances = data.draw(st.integers(1, 2))
    options: dict[str, Any] = {
        "mode": data.draw(st.sampled_from(["mixed", "prefill_first"])),
        "prefill_token_budget": data.draw(st.sampled_from([None, 16, 64])),
        "max_sequences": data.draw(st.sampled_from([2, 8, 64])),
        "kv_policy": kv_policy,
        "max_output_tokens": 40,
    }
    late = kv_policy == "reservation" and data.draw(st.booleans())
    options["reserve_output_at_decode"] = late
    caches = {"prefix_cache": "lru", "prefix_block_tokens": BLOCK}
    of = scenario(
        vms=instances,
        profile=QUADRATIC,
        kv_tokens=capacity,
        initial_instances=instances,
        batching={**options, **caches},
        routing={"router": "threshold"},
    )
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(with_paths(rows, paths, of))
    for until_s in (1.0, 5.0, 50_000.0):
        sim.advance(until_s)
        sim.check_invariants()
    jobs, found = by_reference(rows, paths, BatchingConfig(**options), capacity, instances)
    records = sim.records()
    np.testing.assert_allclose(
        records["ttft_s"], [j.first_token_s - j.arrival_s for j in jobs], rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        records["e2e_s"], [j.completed_s - j.arrival_s for j in jobs], rtol=0, atol=1e-6
    )
    assert np.nan_to_num(records["cached_tokens"], nan=-1).tolist() == found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_invariants_hold_under_faults_and_scaling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    of = scenario(
        vms=4,
        regions=("west", "east"),
        kv_tokens=1200,
        round_trip_s=0.05,
        batching={
            "prefix_cache": "lru",
            "prefix_block_tokens": BLOCK,
            "max_output_tokens": 100,
            "kv_policy": rng.choice(["growth", "reservation"]).item(),
        },
        routing={"router": "prefix_affinity", "region_age_s": float(rng.choice([0.0, 2.0]))},
        faults={"crash_per_hour": 200.0, "eviction_per_hour": 100.0},
        lifecycle={"redeploy_s": 5.0},
    )
    n = 80
    paths = [rng.integers(0, 2, rng.integers(0, 20)).tolist() for _ in range(n)]
    times = np.sort(rng.uniform(0, 60, n))
    rows = [
        (float(t), BLOCK * len(p) + int(rng.integers(1, 100)), int(rng.integers(1, 80)))
        for t, p in zip(times, paths, strict=True)
    ]
    base = with_paths(rows, paths, of)
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(replace(base, region=rng.integers(0, 2, n)), seed)
    kept: Any = None
    for step in range(12):
        sim.apply(ClusterAction(rng.integers(0, 4, (2, 1))))
        sim.advance(sim.time_s + 7.0)
        sim.check_invariants()
        if step == 5:
            kept = sim.snapshot()
    state = sim.state.cache.copy(), sim.state.vm["kv_used"].copy()
    sim.restore(kept)
    sim.check_invariants()
    assert sim.time_s == pytest.approx(42.0)
    assert len(state[0]) == len(sim.state.cache)


def test_no_cache_is_the_default() -> None:
    sim = Simulator(scenario(profile=SIMPLE), np.full((1, 1), 1000.0))
    sim.reset(trace([(0.0, 10, 1)], sim.scenario))
    assert sim.state.entry.size == sim.state.bucket.size == 0
    assert "prefix_hit_rate" not in sim.episode_metrics()


def test_the_view_has_the_hit_rate_of_the_last_five_minutes() -> None:
    of = scenario(batching={"prefix_cache": "lru", "prefix_block_tokens": 100})
    rows = [(0.0, 250, 3), (10.0, 450, 3)]
    sim = Simulator(of, np.full((1, 1), 1000.0))
    sim.reset(with_paths(rows, [[1, 2], [1, 2, 3, 4]], of))
    sim.advance(20.0)
    assert sim.view().prefix_hit_rate == pytest.approx([200 / 700])
    key = next(k for k in sim.episode_metrics() if k.startswith("ttft_mean_"))
    assert sim.episode_metrics()[key] == pytest.approx(0.35)
    sim.advance(400.0)
    assert sim.view().prefix_hit_rate.tolist() == [0.0]
    assert feature_names(of).count("prefix_hits") == 1
    assert "prefix_hits" not in feature_names(scenario())


def feature_names(of: Any) -> list[str]:
    """Return the names of the features of an endpoint that a scenario has."""
    rows = [f for f in FEATURES if f.axis == "endpoint"]
    return [f.name for f in rows if f.when is None or f.when(of)]


def test_a_gateway_finds_back_to_where_it_has_sent_the_turn_before() -> None:
    # Prefill 0.1 s + 1 ms a token, theta 1000; the way east costs 0.1 s. At 1.0 a long prompt goes
    # to the west, where the first turn would wait 2 s: it goes east. At 10.0 the west has 0.06 s of
    # work, less than the way, but of the second turn the east saves 0.2 s. That is worth the way;
    # a prompt of other blocks is not.
    def regions(prefix_s: float, path: list[int]) -> list[int]:
        of = scenario(
            regions=("west", "east"),
            round_trip_s=0.1,
            batching={"prefix_cache": "lru", "prefix_block_tokens": 100},
            routing={
                "router": "prefix_affinity",
                "region_age_s": 5.0,
                "weights": {"prefix_s": prefix_s},
            },
        )
        rows = [(1.0, 2000, 1), (1.01, 250, 3), (10.0, 60, 1), (10.01, 350, 3)]
        sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
        sim.reset(with_paths(rows, [[], [1, 2], [], path], of))
        sim.advance(1000.0)
        sim.check_invariants()
        return [int(r) for r in sim.records()["served_region"]]

    assert regions(-1.0, [1, 2, 3]) == [0, 1, 0, 1]
    assert regions(-1.0, [7, 8, 9]) == [0, 1, 0, 0]
    assert regions(-1e-9, [1, 2, 3]) == [0, 1, 0, 0]
