"""Routers, pools and balancers on cases whose outcome can be worked out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import SIMPLE, scenario, simulator, targets

KV = {"utilisation": "kv", "max_output_tokens": 100}


def served(sim: Simulator, until_s: float = 1000.0) -> list[int]:
    sim.advance(until_s)
    sim.check_invariants()
    return [int(r) for r in sim.records()["served_region"]]


def pool_of(sim: Simulator, until_s: float = 1000.0) -> list[str]:
    sim.advance(until_s)
    sim.check_invariants()
    return [sim.scenario.endpoints[int(e)].pool for e in sim.records()["endpoint"]]


def three(**changes: Any) -> Scenario:
    """West, centre and east in a row: 10 ms and 20 ms from the west."""
    trips = ((0.0, 0.01, 0.02), (0.01, 0.0, 0.01), (0.02, 0.01, 0.0))
    return scenario(regions=("west", "centre", "east"), **changes).replace(round_trips_s=trips)


# -- utilisation -------------------------------------------------------------------------------


def test_load_is_routed_and_queued_tokens_over_a_minute_of_service() -> None:
    # theta 1000/s and two instances: 120,000 prompt tokens a minute. At 2.0 all 3 x 900 tokens have
    # been routed in the last minute and the second and third prompt still stand in part or whole.
    wide = scenario(initial_instances=2, kv_tokens=1_000_000)
    sim = simulator(wide, [(1.0, 900, 1), (1.0, 900, 1), (2.0, 900, 1)])
    sim.advance(1.0)
    assert sim.view().utilisation[0] == pytest.approx((1800 + 1800) / 120_000)
    # VM 0 ends its chunk of 500 at 1.6 and the rest at 2.1; so does VM 1
    sim.advance(2.0)
    assert sim.view().utilisation[0] == pytest.approx((2700 + 400 + 400 + 900) / 120_000)
    sim.advance(30.0)
    assert sim.view().utilisation[0] == pytest.approx(2700 / 120_000)
    sim.advance(61.0)  # what was routed in second 1 has left the window
    assert sim.view().utilisation[0] == pytest.approx(900 / 120_000)
    sim.advance(62.0)
    assert sim.view().utilisation[0] == 0.0


def test_load_is_at_least_the_reserved_kv() -> None:
    sim = simulator(scenario(kv_tokens=1000, batching={"max_output_tokens": 100}), [(0, 500, 100)])
    sim.advance(0.0)
    assert sim.view().utilisation[0] == pytest.approx(0.6)
    assert sim.view().kv_utilisation[0] == pytest.approx(0.6)


# -- routers -----------------------------------------------------------------------------------


def test_threshold_takes_the_nearest_region_with_room() -> None:
    full = three(kv_tokens=1000, batching=KV, routing={"router": "threshold"})
    rows = [(0.0, 700, 100), (0.1, 700, 100), (0.2, 700, 100), (0.3, 10, 1), (0.4, 10, 1)]
    sim = simulator(full, rows, region=[0, 0, 0, 0, 1])
    # 0.8 each; the fourth finds all full and takes the least, which is the first in its order
    assert served(sim) == [0, 1, 2, 0, 1]


def test_threshold_takes_the_least_used_when_all_are_full() -> None:
    full = three(kv_tokens=1000, batching=KV, routing={"router": "threshold"})
    rows = [(0.0, 900, 50), (0.1, 890, 50), (0.2, 700, 100), (0.3, 10, 1)]
    assert served(simulator(full, rows)) == [0, 1, 2, 2]


def test_least_wait_weighs_the_penalty_against_the_queue() -> None:
    # theta 1000: a queued prompt of 100 tokens is 0.1 s of wait, the penalties are 0.15 and 0.05
    sim = simulator(three(), [(1.0, 100, 1)] * 6)
    penalty = np.tile(np.array([0.0, 0.15, 0.05]), (1, 3, 1))
    targets(sim, 1, 1, 1, routing=penalty)
    # waits seen: (0, .15, .05) (.1, .15, .05) (.1, .15, .15) (.2, .15, .15) (.2, .25, .15) ...
    assert served(sim) == [0, 2, 0, 1, 2, 0]


def test_least_wait_adds_a_term_for_running_sequences() -> None:
    near = scenario(regions=("west", "east"), round_trip_s=0.01)
    rows = [(0.0, 10, 400), (0.0, 10, 400), (5.0, 10, 1)]
    assert served(simulator(near, rows)) == [0, 0, 0]  # 2 running x 2 ms < 10 ms
    costly = near.replace(routing={"running_penalty_s": 0.02})
    assert served(simulator(costly, rows)) == [0, 0, 1]


def test_least_wait_kv_sees_memory_that_decoding_holds() -> None:
    # After its prefill the first request holds 4,000 of 10,000 tokens: 1.6 s of wait, not 0.002 s.
    near = scenario(regions=("west", "east"), round_trip_s=0.01)
    rows = [(0.0, 3400, 600), (20.0, 10, 1)]
    assert served(simulator(near, rows)) == [0, 0]
    assert served(simulator(near.replace(routing={"router": "least_wait_kv"}), rows)) == [0, 1]
    # A penalty above those 1.6 s keeps the request at home.
    away = np.array([[[0.0, 1.9], [1.9, 0.0]]])
    aware = simulator(near, rows)
    targets(aware, 1, 1, router="least_wait_kv", routing=away)
    assert served(aware) == [0, 0]


def test_a_change_to_or_from_least_wait_kv_recomputes_the_waits() -> None:
    near = scenario(regions=("west", "east"), round_trip_s=0.01)
    sim = simulator(near, [(0.0, 3400, 600), (20.0, 10, 1), (21.0, 10, 1), (22.0, 10, 1)])
    for until_s, router in ((19.0, "least_wait_kv"), (20.5, "threshold"), (20.7, "least_wait")):
        sim.advance(until_s)
        targets(sim, 1, 1, router=router)
    sim.advance(21.5)
    targets(sim, 1, 1, router="least_wait_kv")
    assert served(sim) == [0, 1, 0, 1]


def test_least_wait_sees_each_chunk_of_a_long_prompt() -> None:
    # 5,000 tokens from time 1 on are ten chunks of 0.6 s in one run. At 3.05 three are done and
    # 3.5 s of wait are left, at 5.85 eight are and 1 s is left; the way east costs 2 s.
    rows = [(1.0, 5000, 1), (3.05, 10, 1), (5.85, 10, 1)]
    near = scenario(regions=("west", "east"), round_trip_s=2.0)
    sim = simulator(near, rows)
    sim.advance(5.84)
    sim.check_invariants()
    assert sim.state.vm["queued_tokens"].max() == 3500  # booked when someone looked
    sim.advance(5.86)
    sim.check_invariants()
    assert sim.state.vm["queued_tokens"].max() == 1010
    assert served(sim) == [0, 1, 0]
    # times are those of the chunks, whoever looks
    assert sim.records()["ttft_s"][[0, 2]] == pytest.approx([6.0, 1.15 + 0.11])


@given(st.integers(0, 2**32 - 1), st.sampled_from(["least_wait", "least_wait_kv"]))
@settings(max_examples=15, deadline=None)
def test_a_run_of_many_iterations_routes_as_the_iterations_do(seed: int, router: str) -> None:
    # A table of the same prefill times makes every chunk an event of its own.
    rng = np.random.default_rng(seed)
    arrival_s = np.sort(rng.uniform(1.0, 30.0, 40))
    prompts = np.ceil(5000 * rng.random(40) ** 2 + 1)
    region = [int(r) for r in rng.integers(0, 3, 40)]
    rows = [(float(arrival_s[i]), int(prompts[i]), 1 + i) for i in range(40)]
    table = dataclasses.replace(SIMPLE, prefill_table=((0.0, 0.1), (1000.0, 1.1)))
    found = []
    for profile in (SIMPLE, table):
        of = three(kv_tokens=100_000, profile=profile, routing={"router": router})
        sim = simulator(of, rows, region=region)
        sim.advance(20.0)
        sim.check_invariants()
        sim.advance(500.0)
        found.append(sim.records())
    for name in ("ttft_s", "e2e_s", "served_region"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-9)


def test_shares_are_held_exactly_over_any_prefix() -> None:
    sim = simulator(three(), [(float(i), 10, 1) for i in range(20)])
    shares = np.tile(np.array([0.5, 0.3, 0.2]), (1, 3, 1))
    targets(sim, 1, 1, 1, router="shares", routing=shares)
    regions = np.array(served(sim))
    for n in range(1, 21):
        counts = np.bincount(regions[:n], minlength=3)
        assert (np.abs(counts - n * shares[0, 0]) < 1.0).all()


def test_shares_of_a_dead_region_are_spread_over_the_rest() -> None:
    sim = simulator(three(), [(float(i), 10, 1) for i in range(1, 51)])
    shares = np.tile(np.array([0.5, 0.3, 0.2]), (1, 3, 1))
    targets(sim, 0, 1, 1, router="shares", routing=shares)
    assert np.bincount(served(sim), minlength=3).tolist() == [0, 30, 20]


def test_a_region_without_a_share_gets_work_only_if_no_other_can_take_it() -> None:
    rows = [(float(i), 10, 1) for i in range(40)]
    sim = simulator(three(), rows)
    first = np.tile(np.array([0.3, 0.3, 0.4]), (1, 3, 1))
    targets(sim, 1, 1, 1, router="shares", routing=first)
    for i in range(4):  # the credits that are left over must not pull work to the west
        sim.advance(i + 0.5)
    then = np.tile(np.array([0.0, 0.5, 0.5]), (1, 3, 1))
    targets(sim, 1, 1, 1, router="shares", routing=then)
    assert 0 not in served(sim)[4:]
    alone = simulator(three(), rows)
    only = np.tile(np.array([1.0, 0.0, 0.0]), (1, 3, 1))
    targets(alone, 0, 1, 1, router="shares", routing=only)
    assert served(alone) == [1] * 40  # the nearest to the origin


def test_work_on_its_way_to_a_drained_region_is_routed_again() -> None:
    moving = scenario(regions=("west", "east"), routing={"delay_s": 1.0})
    sim = simulator(moving, [(1.0, 100, 1)])
    sim.advance(1.5)
    targets(sim, 0, 1)
    assert served(sim, 100.0) == [1]
    assert sim.records()["ttft_s"] == pytest.approx([2.0 + 0.2])


def test_no_instance_anywhere_means_the_global_queue_in_order() -> None:
    sim = simulator(scenario(initial_instances=0), [(float(i), 100, 1) for i in range(5)])
    sim.advance(10.0)
    assert sim.view().global_queue.tolist() == [5]
    targets(sim, 1)
    sim.advance(1000.0)
    first_s = sim.records()["ttft_s"] + np.arange(5)
    assert (np.diff(first_s) >= 0).all()
    assert sim.view().global_queue.tolist() == [0]


# -- pools -------------------------------------------------------------------------------------


def test_siloed_keeps_the_classes_apart() -> None:
    silos = scenario(pooling="siloed", vms=5, initial_instances=5)
    sim = simulator(silos, [(1.0, 100, 1), (1.0, 100, 1, "IW-N"), (1.0, 100, 1, "NIW")])
    assert sim.state.active[:, 0].tolist() == [4, 1]
    assert pool_of(sim) == ["interactive", "interactive", "batch"]


def test_siloed_interactive_work_never_spills() -> None:
    silos = scenario(pooling="siloed", vms=5, initial_instances=5)
    sim = simulator(silos, [(1.0, 100, 1), (1.0, 100, 1, "NIW")])
    targets(sim, 0, 5)
    sim.advance(3000.0)
    assert sim.view().global_queue.tolist() == [1]
    assert sim.episode_metrics()["completed"] == 1


def test_aged_batch_work_becomes_interactive() -> None:
    silos = scenario(pooling="siloed", vms=5, initial_instances=5, niw={"escalate_after_s": 50.0})
    sim = simulator(silos, [(1.0, 100, 1, "NIW")])
    targets(sim, 4, 0)
    assert pool_of(sim) == ["interactive"]
    assert sim.records()["ttft_s"] == pytest.approx([50.2])


def chiron(*, mixed: int, batch: int = 0, rows: Any) -> Simulator:
    pools = scenario(
        pooling="chiron",
        vms=3,
        initial_instances=0,
        kv_tokens=1000,
        batching=KV,
        routing={"router": "threshold"},
        lifecycle={"redeploy_s": 0.5, "jitter": 0.0},
    )
    sim = simulator(pools, rows)
    targets(sim, 1, mixed, batch)
    sim.advance(0.6)
    return sim


def test_chiron_spills_at_seventy_percent() -> None:
    # 690 tokens reserved is below 0.7 of 1,000, 701 is not
    below = [(1.0, 600, 90), (1.1, 10, 1)]
    assert pool_of(chiron(mixed=1, rows=below)) == ["interactive", "interactive"]
    above = [(1.0, 601, 100), (1.1, 10, 1)]
    assert pool_of(chiron(mixed=1, rows=above)) == ["interactive", "mixed"]
    assert pool_of(chiron(mixed=0, rows=above)) == ["interactive", "interactive"]


def test_chiron_batch_work_uses_batch_and_mixed_instances() -> None:
    rows = [(1.0, 100, 1, "NIW")]
    assert pool_of(chiron(mixed=1, rows=rows)) == ["mixed"]
    assert pool_of(chiron(mixed=0, batch=1, rows=rows)) == ["batch"]
    alone = chiron(mixed=0, rows=rows)
    alone.advance(1000.0)
    assert alone.view().niw_backlog.tolist() == [1]  # never on interactive instances


# -- balancers ---------------------------------------------------------------------------------


def places(balancer: str, rows: Any, *, seed: int = 0, instances: int = 3) -> list[int]:
    """Return the number of requests on each VM just after the last arrival."""
    base = scenario(
        vms=instances,
        initial_instances=instances,
        batching={"balancer": balancer},
        routing={"router": "threshold"},  # least_wait chooses the instance by itself
    )
    sim = simulator(base, rows, seed=seed)
    sim.advance(rows[-1][0])
    vm = sim.state.vm
    return [int(n) for n in vm["n_waiting"] + vm["n_prefilling"] + vm["n_running"]]


def test_jsq_counts_prompt_tokens_not_requests() -> None:
    assert places("jsq", [(1.0, 900, 5), (1.0, 100, 5), (1.0, 100, 5), (1.0, 100, 5)]) == [1, 2, 1]


def test_round_robin_takes_turns() -> None:
    assert places("round_robin", [(1.0, 100 * i, 5) for i in range(1, 8)]) == [3, 2, 2]


def test_least_kv_sees_reserved_memory_only() -> None:
    # the outputs decide: 100 + 900 reserved on VM 0, so the next two go to VM 1 and 2, and the
    # fourth to VM 1, which reserves the least
    rows = [(1.0, 100, 900), (1.0, 100, 50), (1.0, 100, 60), (1.0, 100, 5)]
    assert places("least_kv", rows) == [1, 2, 1]


def test_power_of_two_is_seeded_and_better_than_one_choice() -> None:
    rows = [(1.0, 100, 5)] * 400
    one, again, other = (places("power_of_two", rows, seed=s, instances=20) for s in (1, 1, 2))
    assert one == again
    assert one != other
    # single random choice: deviation sqrt(20) = 4.5 and a maximum near 30; two choices: near 22
    assert max(one) <= 24


# -- decisions ---------------------------------------------------------------------------------


def test_an_invalid_decision_changes_nothing() -> None:
    sim = simulator(three(), [])
    before = {n: getattr(sim.state, n).copy() for n, _, _ in sim.state.FIELDS}
    bad = np.full((1, 3, 3), 0.4)
    with pytest.raises(ValueError, match="every row must sum to 1"):
        sim.apply(ClusterAction(np.full((3, 1), 2), router="shares", routing=bad))
    with pytest.raises(ValueError, match="NaN"):
        sim.apply(ClusterAction(np.full((3, 1), 2), niw_release=np.full(3, np.nan)))
    for name, array in before.items():
        assert (getattr(sim.state, name) == array).all(), name


@pytest.mark.parametrize("until_s", [float("nan"), float("inf"), 0.5])
def test_advance_wants_a_finite_time_ahead(until_s: float) -> None:
    sim = simulator(scenario(), [])
    sim.advance(1.0)
    with pytest.raises(ValueError, match="advance"):
        sim.advance(until_s)
