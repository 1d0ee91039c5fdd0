"""Micro-cases of batching, worked out by hand (profile in ``small.py``)."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_env.catalogue import LatencyProfile
from tests.simulator.small import SIMPLE, scenario, simulator


def finish(sim, until_s=1000.0):  # noqa: ANN001, ANN201
    sim.advance(until_s)
    sim.check_invariants()
    return sim.records()


def test_one_request_alone() -> None:
    # prefill 0.1 + 0.1 = 0.2 s gives token 1; tokens 2 and 3 take 0.06 s each
    rows = finish(simulator(scenario(), [(1.0, 100, 3)]))
    assert rows["ttft_s"] == pytest.approx([0.2])
    assert rows["e2e_s"] == pytest.approx([0.2 + 2 * 0.06])


def test_a_single_output_token_completes_with_the_prefill() -> None:
    rows = finish(simulator(scenario(), [(0.0, 100, 1)]))
    assert rows["ttft_s"] == pytest.approx([0.2])
    assert rows["e2e_s"] == pytest.approx([0.2])


def test_two_requests_batch() -> None:
    # r0 prefills 0 - 0.2. r1 came at 0.1, waits for the boundary, prefills 0.2 - 0.41 with r0's
    # decode in the same iteration (0.1 + 0.1 + 0.01). Then both decode at 0.07: r0 needs 3 more
    # tokens, has 1 from the mixed iteration, so 2 x 0.07, ends at 0.55; r1 ends one later, alone.
    rows = finish(simulator(scenario(), [(0.0, 100, 4), (0.1, 100, 4)]))
    assert rows["ttft_s"] == pytest.approx([0.2, 0.41 - 0.1])
    assert rows["e2e_s"] == pytest.approx([0.55, 0.55 + 0.06 - 0.1])


def test_an_arrival_cuts_a_decode_run_at_the_next_boundary() -> None:
    # r0: prefill to 0.2, decodes of 0.06 at 0.26, 0.32, 0.38, ... r1 at 0.3 is seen at 0.32 and
    # prefills to 0.32 + 0.2 + 0.01.
    rows = finish(simulator(scenario(), [(0.0, 100, 50), (0.3, 100, 1)]))
    assert rows["ttft_s"][1] == pytest.approx(0.32 + 0.21 - 0.3)


def test_a_chunked_prompt_under_running_decodes() -> None:
    # r0 decodes; r1 (1200 tokens, budget 500) takes chunks of 500, 500, 200 with one decode each:
    # 0.61 + 0.61 + 0.31 s from the boundary at 0.26.
    rows = finish(simulator(scenario(), [(0.0, 100, 50), (0.25, 1200, 2)]))
    assert rows["ttft_s"][1] == pytest.approx(0.26 + 0.61 + 0.61 + 0.31 - 0.25)
    # r0: 3 tokens under the chunks, 1 under r1's decode at 0.07, the other 44 alone
    assert rows["e2e_s"][0] == pytest.approx(0.26 + 1.53 + 0.07 + 44 * 0.06)


def test_the_last_chunk_of_a_prompt_alone_needs_no_event_of_its_own() -> None:
    # chunks of 500, 500, 200: 0.6 + 0.6 + 0.3 s; one arrival, one end of a run
    sim = simulator(scenario(), [(0.0, 1200, 1)])
    assert finish(sim)["ttft_s"] == pytest.approx([1.5])
    assert sim.state.clock[0]["events"] == 2


def test_an_arrival_before_the_last_chunk_shares_its_iteration() -> None:
    # r1 comes under the second chunk: 200 + 100 tokens from 1.2 s on take 0.4 s
    rows = finish(simulator(scenario(), [(0.0, 1200, 1), (1.0, 100, 1)]))
    assert rows["ttft_s"] == pytest.approx([1.6, 0.6])


def test_an_arrival_under_the_last_chunk_waits_for_its_end() -> None:
    # that chunk ends at 1.5 s, also where r1 comes exactly as it begins
    for arrival_s in (1.2, 1.25):
        rows = finish(simulator(scenario(), [(0.0, 1200, 1), (arrival_s, 100, 1)]))
        assert rows["ttft_s"] == pytest.approx([1.5, 1.7 - arrival_s])


def test_no_sequence_ends_before_the_last_chunk_of_a_run() -> None:
    # r0 has its last token with the second chunk (0.26 + 2 x 0.61): the third has no decode
    rows = finish(simulator(scenario(), [(0.0, 100, 4), (0.25, 1200, 1)]))
    assert rows["e2e_s"][0] == pytest.approx(0.26 + 2 * 0.61)
    assert rows["ttft_s"][1] == pytest.approx(0.26 + 2 * 0.61 + 0.3 - 0.25)


def test_chunks_of_a_prompt_attend_to_what_came_before() -> None:
    # c = 1e-6: chunks of 500 cost 0.1 + 0.5 + c (500^2) and then 2 c 500 500 and 2 c 1000 500 more;
    # over the whole prompt the quadratic term is c 1500^2.
    profile = LatencyProfile(0.1, 0.001, 1e-6, 0.05, 0.01, 0.0)
    rows = finish(simulator(scenario(profile=profile), [(0.0, 1500, 1)]))
    assert rows["ttft_s"] == pytest.approx([3 * 0.1 + 1.5 + 1e-6 * 1500**2])


def test_context_grows_during_decode() -> None:
    # f = 1 ms: the decode steps see 101, 102, 103 KV tokens
    profile = LatencyProfile(0.1, 0.001, 0.0, 0.05, 0.01, 0.001)
    rows = finish(simulator(scenario(profile=profile), [(0.0, 100, 4)]))
    assert rows["e2e_s"] == pytest.approx([0.2 + 3 * 0.06 + 0.101 + 0.102 + 0.103])


def test_kv_full_holds_the_head_of_the_queue() -> None:
    # 250 tokens of KV: r0 reserves 124, r1 (144) waits until r0 ends and blocks r2, which would fit
    small = scenario(kv_tokens=250, batching={"max_output_tokens": 100})
    rows = finish(simulator(small, [(0.0, 120, 4), (0.1, 140, 4), (0.15, 10, 1)]))
    end_0 = 0.22 + 3 * 0.06
    assert rows["e2e_s"][0] == pytest.approx(end_0)
    # r1 and r2 then share a prefill of 150 tokens
    assert rows["ttft_s"][1] == pytest.approx(end_0 + 0.25 - 0.1)
    assert rows["ttft_s"][2] == pytest.approx(end_0 + 0.25 - 0.15)


def test_batch_limit_holds_further_requests() -> None:
    small = scenario(batching={"max_sequences": 1})
    rows = finish(simulator(small, [(0.0, 100, 2), (0.0, 100, 2)]))
    assert rows["e2e_s"] == pytest.approx([0.26, 0.52])


def test_growth_preempts_the_newest_and_recomputes() -> None:
    # KV of 225: when r1 starts to decode r0 holds 102 tokens and r1 101. They grow by 2 a step and
    # reach 225 after 11 steps: r1 is preempted with 12 tokens out and recomputes 112 after r0.
    small = scenario(kv_tokens=225, batching={"kv_policy": "growth", "max_output_tokens": 100})
    sim = simulator(small, [(0.0, 100, 30), (0.0, 100, 30)])
    rows = finish(sim)
    assert sim.state.clock[0]["preemptions"] == 1
    start = 0.2 + 0.2 + 0.01  # r0 alone, then r1 with r0's first decode
    common = 11
    end_0 = start + common * 0.07 + (30 - 2 - common) * 0.06
    assert rows["e2e_s"][0] == pytest.approx(end_0)
    emitted = 1 + common
    again = 0.1 + 0.001 * (100 + emitted)
    assert rows["e2e_s"][1] == pytest.approx(end_0 + again + (30 - emitted - 1) * 0.06)
    assert rows["ttft_s"][1] == pytest.approx(start)


def test_prefill_first_stops_decodes() -> None:
    small = scenario(batching={"mode": "prefill_first"})
    rows = finish(simulator(small, [(0.0, 100, 3), (0.1, 100, 2)]))
    assert rows["ttft_s"] == pytest.approx([0.2, 0.4 - 0.1])
    assert rows["e2e_s"] == pytest.approx([0.4 + 0.07 + 0.06, 0.4 + 0.07 - 0.1])


def test_whole_prompts_are_not_split() -> None:
    # budget 500: 400 + 200 do not go together; the first prompt goes whatever its size
    small = scenario(batching={"mode": "whole_prompt"})
    rows = finish(simulator(small, [(0.0, 900, 1), (0.1, 400, 1), (0.1, 200, 1)]))
    assert rows["ttft_s"] == pytest.approx([1.0, 1.5 - 0.1, 1.8 - 0.1])


def test_tables_replace_the_formulas() -> None:
    profile = LatencyProfile(
        prefill_table=((100.0, 0.3), (200.0, 0.4)), decode_table=((1.0, 0.05), (3.0, 0.09))
    )
    # two prompts of 100 in one iteration: 0.4 s; two decodes: 0.07 s
    small = scenario(profile=profile)
    rows = finish(simulator(small, [(0.0, 50, 1), (0.1, 100, 2), (0.1, 100, 2)]))
    assert rows["ttft_s"] == pytest.approx([0.25, 0.55, 0.55])
    assert rows["e2e_s"][1] == pytest.approx(0.55 + 0.07)


def test_edf_puts_a_short_deadline_first() -> None:
    # r1's objective is 60 s (IW-N), r2's 1 s: r2 goes first although it came later
    small = scenario(batching={"discipline": "edf", "max_sequences": 1})
    rows = finish(
        simulator(small, [(0.0, 100, 1, "IW-F"), (0.1, 100, 1, "IW-N"), (0.15, 100, 1, "IW-F")])
    )
    assert rows["ttft_s"] == pytest.approx([0.2, 0.6 - 0.1, 0.4 - 0.15])


def test_triage_lets_short_prompts_pass() -> None:
    # r1: deadline 0.1 + 3, 10 x 1.0 s alone; r2: deadline 0.15 + 1, 10 x 0.2 s: r2 goes first
    small = scenario(batching={"discipline": "triage", "max_sequences": 1})
    rows = finish(simulator(small, [(0.0, 100, 1), (0.1, 900, 1), (0.15, 100, 1)]))
    assert rows["ttft_s"] == pytest.approx([0.2, 0.4 + 0.6 + 0.5 - 0.1, 0.4 - 0.15])


def test_triage_lets_what_is_late_stand_back() -> None:
    # At 0.6 + 29 x 0.06 = 2.34 r1 has missed its deadline of 1.1; r2 can meet its own of 3.5.
    small = scenario(batching={"discipline": "triage", "max_sequences": 1})
    rows = finish(simulator(small, [(0.0, 500, 30), (0.1, 100, 1), (2.0, 400, 1)]))
    assert rows["ttft_s"] == pytest.approx([0.6, 2.84 + 0.2 - 0.1, 2.84 - 2.0])
    edf = scenario(batching={"discipline": "edf", "max_sequences": 1})
    rows = finish(simulator(edf, [(0.0, 500, 30), (0.1, 100, 1), (2.0, 400, 1)]))
    assert rows["ttft_s"] == pytest.approx([0.6, 2.34 + 0.2 - 0.1, 2.54 + 0.5 - 2.0])


def test_slow_instances_take_longer() -> None:
    slow = scenario(faults={"slow_share": 1.0, "slow_factor": 2.0})
    rows = finish(simulator(slow, [(0.0, 100, 3)]))
    assert rows["e2e_s"] == pytest.approx([2 * (0.2 + 2 * 0.06)])


def test_isolated_prefill_is_a_lower_bound() -> None:
    sim = simulator(scenario(), [(0.1 * i, 50 * (i % 30 + 1), 20) for i in range(200)])
    rows = finish(sim)
    alone = np.array([SIMPLE.prefill_s(50 * (i % 30 + 1)) for i in range(200)])
    assert (rows["ttft_s"] >= alone - 1e-9).all()
