"""The reference itself: cases worked out by hand, its invariants, and another loop."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sageserve_env.catalogue import LatencyProfile
from sageserve_env.options import BatchingConfig

TESTS = Path(__file__).resolve().parents[1]


def load(path: str) -> ModuleType:
    """Import a helper that lies among the tests (which are no package)."""
    name = f"_sageserve_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


reference = load("simulator/reference_endpoint.py")
naive = load("validation/naive_events.py")

# prefill(T) = 1 + T / 100 + T^2 / 10,000 s, decode(n, K) = 0.5 + 0.1 n + 0.001 K s
PROFILE = LatencyProfile(1.0, 0.01, 1e-4, 0.5, 0.1, 0.001)


def serve(batching: BatchingConfig, capacity: int, *jobs: tuple[float, int, int]) -> list[Any]:
    made = [reference.Job(i, *job) for i, job in enumerate(jobs)]
    reference.simulate(made, PROFILE, batching, capacity)
    return made


def test_one_request_alone() -> None:
    (job,) = serve(BatchingConfig(), 1000, (2.0, 100, 3))
    # Prefill 1 + 1 + 1 s; two decode steps over 101 and 102 tokens.
    assert job.first_token_s == pytest.approx(5.0)
    assert job.completed_s == pytest.approx(5.0 + 0.6 + 0.101 + 0.6 + 0.102)


def test_chunks_of_a_prompt_add_up_to_its_attention() -> None:
    (job,) = serve(BatchingConfig(prefill_token_budget=40), 1000, (0.0, 100, 1))
    # Three iterations: 3 x 1 s base, 1 s linear, 1 s quadratic.
    assert job.first_token_s == pytest.approx(5.0)
    assert job.completed_s == job.first_token_s


def test_a_mixed_iteration_carries_chunk_and_decode() -> None:
    first, second = serve(BatchingConfig(), 1000, (0.0, 100, 3), (0.5, 50, 1))
    # The second waits for the end of the first's prefill at 3 s; then one mixed iteration.
    mixed_s = (1 + 0.5 + 0.25) + (0.1 + 0.101)
    assert second.first_token_s == pytest.approx(3.0 + mixed_s)
    assert first.completed_s == pytest.approx(3.0 + mixed_s + 0.6 + 0.102)


def test_prefill_first_holds_the_decodes() -> None:
    batching = BatchingConfig(mode="prefill_first")
    first, second = serve(batching, 1000, (0.0, 100, 3), (0.5, 50, 1))
    assert second.first_token_s == pytest.approx(3.0 + 1.75)
    assert first.completed_s == pytest.approx(4.75 + 0.6 + 0.101 + 0.6 + 0.102)


def test_head_of_line_blocks_when_memory_is_short() -> None:
    first, second, third = serve(BatchingConfig(), 200, (0.0, 100, 2), (0.1, 150, 1), (0.2, 10, 1))
    # 102 tokens are reserved; 151 do not fit, and the small third waits behind them.
    assert second.first_token_s > first.completed_s
    assert third.first_token_s >= second.first_token_s


def test_growth_preempts_the_newest_and_keeps_its_first_token() -> None:
    batching = BatchingConfig(kv_policy="growth")
    first, second = serve(batching, 30, (0.0, 10, 20), (0.0, 10, 20))
    assert (first.preemptions, second.preemptions) == (0, 1)
    # Both prompts go together from the second's view only after the first iteration.
    assert second.first_token_s < first.completed_s < second.completed_s


@pytest.mark.parametrize("kv_policy", ["reservation", "growth"])
@pytest.mark.parametrize("mode", ["mixed", "prefill_first", "whole_prompt"])
def test_nothing_is_lost_and_memory_is_given_back(mode: str, kv_policy: str) -> None:
    for seed in range(40):
        draw = random.Random(seed)
        now = 0.0
        jobs = []
        for i in range(draw.randint(1, 25)):
            now += draw.expovariate(draw.choice([0.5, 3, 20]))
            jobs.append(reference.Job(i, now, draw.randint(1, 900), draw.randint(1, 60)))
        batching = BatchingConfig(
            mode=mode,
            kv_policy=kv_policy,
            prefill_token_budget=draw.choice([None, 64, 256, 700]),
            max_sequences=draw.choice([1, 2, 5, 50]),
        )
        capacity = draw.choice([1000, 1500, 3000])
        fleet = reference.simulate(jobs, PROFILE, batching, capacity, draw.randint(1, 3))
        assert not any(math.isnan(job.completed_s) for job in jobs)
        assert all(job.emitted == job.output_tokens for job in jobs)
        assert all(i.used_tokens == i.pending_tokens == 0 for i in fleet)


def test_two_loops_written_apart_agree_under_memory_pressure() -> None:
    prefill = ((128.0, 0.06), (256.0, 0.07), (512.0, 0.1), (1024.0, 0.16), (4096.0, 0.7))
    decode = ((128.0, 0.043), (256.0, 0.0434), (1024.0, 0.0445))
    profile = LatencyProfile(prefill_table=prefill, decode_table=decode)
    batching = BatchingConfig(
        mode="whole_prompt",
        prefill_token_budget=None,
        max_sequences=512,
        reserve_output_at_decode=True,
        iteration_overhead_s=naive.OVERHEAD_S,
        mixed_prefill_factor=naive.MIXED_FACTOR,
    )
    stuck = 0
    for seed in range(150):
        draw = random.Random(seed)
        now, rows = 0.0, []
        for _ in range(draw.randint(1, 60)):
            now += draw.expovariate(draw.choice([0.5, 3, 20]))
            rows.append((now, draw.randint(1, 900), draw.randint(2, 60)))
        capacity, instances = draw.choice([1000, 1500, 3000, 6000]), draw.randint(1, 3)
        model = naive.NaiveModel(prefill, decode, 1.0, float(capacity))
        requests = [naive.NaiveRequest(a, (0,), 0, p, o) for a, p, o in rows]
        naive.NaiveCluster([model], [instances], 1).replay(requests)
        delay_s = naive.ROUTING_DELAY_S
        jobs = [reference.Job(i, a + delay_s, p, o) for i, (a, p, o) in enumerate(rows)]
        reference.simulate(jobs, profile, batching, capacity, instances)
        stuck += sum(math.isnan(r.completed_s) for r in requests)
        for request, job in zip(requests, jobs, strict=True):
            expected = (request.first_token_s, request.completed_s)
            got = (job.first_token_s, job.completed_s)
            assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert stuck > 0  # the deadlock of the recipe is among the cases
