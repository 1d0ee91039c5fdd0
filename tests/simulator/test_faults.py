"""Each fault: what it does to requests, to capacity and to the bill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env.scenario import Scenario
from sageserve_env.simulator import codes
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator, targets

OUTAGE = {"outage_region": "west", "outage_start_s": 100.0, "outage_duration_s": 50.0}


def states(sim: Simulator) -> list[str]:
    return [codes.VM_STATES[i] for i in sim.state.vm["state"]]


def crash(sim: Simulator, v: int, at_s: float) -> None:
    """Make VM ``v`` crash at a time of our choice."""
    clock = sim.state.clock[0]
    sim.state.vm["fault_s"][v] = at_s
    clock["next_fault_s"] = min(clock["next_fault_s"], at_s)
    clock["next_other_s"] = min(clock["next_other_s"], at_s)


def two_regions(**changes: Any) -> Scenario:
    return scenario(regions=("west", "east"), **changes)


def test_crashed_work_is_recomputed_and_keeps_its_first_token() -> None:
    # prefill to 0.2, tokens 2-4 at 0.26, 0.32, 0.38; the crash at 0.4 loses the KV but not the 4
    # tokens that were streamed. VM 1 takes 0.1 + 0.001 x 104 s for the recomputation, which
    # gives token 5; the other 5 take 0.06 s each.
    sim = simulator(scenario(initial_instances=2), [(0.0, 100, 10)])
    crash(sim, 0, 0.4)
    sim.advance(0.4)
    sim.check_invariants()
    assert states(sim)[:2] == ["provisioning", "active"]  # the target stands: it is replaced
    assert sim.state.clock[0]["requeued"] == 1
    sim.advance(100.0)
    rows = sim.records()
    assert rows["ttft_s"] == pytest.approx([0.2])
    assert rows["e2e_s"] == pytest.approx([0.4 + 0.204 + 5 * 0.06])
    assert sim.episode_metrics()["crashes"] == 1


def test_a_crash_in_the_prefill_starts_over() -> None:
    sim = simulator(scenario(initial_instances=2), [(0.0, 1200, 2)])
    crash(sim, 0, 1.0)  # the second chunk of 500 is running
    sim.advance(100.0)
    sim.check_invariants()
    assert sim.records()["ttft_s"] == pytest.approx([1.0 + 3 * 0.1 + 1.2])


def test_a_crash_without_a_second_instance_waits_for_the_replacement() -> None:
    sim = simulator(scenario(vms=1), [(0.0, 100, 10), (0.1, 50, 1), (5.0, 100, 1)])
    crash(sim, 0, 0.15)
    sim.advance(10.0)
    sim.check_invariants()
    assert sim.view().global_queue.tolist() == [3]
    sim.advance(1000.0)
    assert sim.episode_metrics()["completed"] == 3
    # up again at 600.15; the first starts at once, the other two share 0.1 + 0.15 + 0.01 s
    assert sim.records()["ttft_s"] == pytest.approx([600.35, 600.61 - 0.1, 600.61 - 5.0])


def test_a_crash_while_draining_requeues_too() -> None:
    sim = simulator(scenario(initial_instances=2), [(0.0, 100, 100)])
    sim.advance(0.1)
    targets(sim, 1)  # VM 1 is idle and drains at once; the request runs on VM 0
    targets(sim, 0)
    assert states(sim)[:2] == ["draining", "spot"]
    crash(sim, 0, 1.0)
    sim.advance(2.0)
    sim.check_invariants()
    assert sim.view().global_queue.tolist() == [1]
    targets(sim, 1)
    sim.advance(1000.0)
    assert sim.episode_metrics()["completed"] == 1


def test_a_crash_under_late_reservation_returns_all_memory() -> None:
    late = scenario(initial_instances=2, batching={"reserve_output_at_decode": True})
    sim = simulator(late, [(0.0, 100, 10)])
    crash(sim, 0, 0.4)
    sim.advance(100.0)
    assert sim.episode_metrics()["completed"] == 1
    assert sim.state.vm["kv_used"].tolist() == [0, 0, 0, 0]


def test_crashes_come_at_their_rate_and_everything_is_billed() -> None:
    faulty = scenario(vms=10, initial_instances=10, faults={"crash_per_hour": 2.0})
    sim = simulator(faulty, [])
    sim.advance(36_000.0)
    # the ten targets are always active or being provisioned: ten VMs are billed throughout
    assert sim.totals().vm_hours == pytest.approx(100.0)
    active_hours = sim.totals().vm_hours - sim.totals().pending_vm_hours
    crashes = sim.episode_metrics()["crashes"]
    assert crashes == pytest.approx(2.0 * active_hours, abs=4 * np.sqrt(2.0 * active_hours))
    # each crash costs one redeploy of 600 s, of which the last may be incomplete
    assert sim.totals().pending_vm_hours == pytest.approx(crashes / 6, abs=10 / 6)


def test_an_outage_takes_the_region_and_gives_it_back_cold() -> None:
    lost = two_regions(vms=2, faults=OUTAGE)
    sim = simulator(lost, [(99.9, 100, 50), (120.0, 100, 1)], region=[0, 0])
    sim.advance(99.95)
    targets(sim, 1, 1)
    sim.advance(100.0)
    sim.check_invariants()
    assert states(sim) == ["lost", "lost", "active", "cold"]
    assert sim.state.unmet[:, 0].tolist() == [1, 0]
    assert sim.view().idle_vms[:, 0].tolist() == [0, 1]
    sim.advance(149.9)
    assert sim.episode_metrics()["completed"] == 2  # both served in the east
    assert sim.records()["served_region"].tolist() == [1, 1]
    assert sim.records()["ttft_s"][0] == pytest.approx(0.1 + 0.2)
    billed = sim.state.vm_seconds.sum(axis=(1, 2))
    assert billed == pytest.approx([100.0, 149.9])
    sim.advance(150.0)
    assert states(sim) == ["provisioning", "cold", "active", "cold"]  # the target still stands
    sim.advance(750.0)
    assert states(sim)[0] == "active"
    sim.check_invariants()


def test_an_outage_stops_pending_and_spot_vms_as_well() -> None:
    sim = simulator(two_regions(vms=3, faults=OUTAGE), [])
    targets(sim, 2, 1)
    targets(sim, 2, 0)
    assert states(sim) == ["active", "provisioning", "cold", "spot", "cold", "cold"]
    sim.advance(120.0)
    assert states(sim)[:3] == ["lost"] * 3
    assert sim.state.unmet[:, 0].tolist() == [2, 0]
    targets(sim, 0, 0)
    sim.advance(200.0)
    assert states(sim)[:3] == ["cold"] * 3
    assert sim.totals().vm_hours == pytest.approx(2 * 100 / 3600)
    sim.check_invariants()


def test_work_on_its_way_to_a_lost_region_goes_elsewhere() -> None:
    moving = two_regions(faults=OUTAGE, routing={"delay_s": 1.0})
    sim = simulator(moving, [(99.5, 100, 1)], region=[0])
    sim.advance(140.0)
    sim.check_invariants()
    # chosen at 99.5, refused at 100.5, in the east at 101.5
    assert sim.records()["ttft_s"] == pytest.approx([2.0 + 0.2])


def test_a_failed_scale_out_is_billed_and_retried() -> None:
    faulty = scenario(faults={"provision_failure": 0.5})
    sim = simulator(faulty, [], seed=4)
    targets(sim, 2)
    sim.advance(20_000.0)
    failed = int(sim.state.clock[0]["failed_scale_outs"])
    assert failed > 0
    assert sim.state.active.tolist() == [[2]]
    assert sim.totals().pending_vm_hours == pytest.approx((failed + 1) * 600 / 3600)
    sim.check_invariants()


def test_a_failed_scale_out_is_not_retried_when_the_target_is_gone() -> None:
    faulty = scenario(faults={"provision_failure": 1.0})
    sim = simulator(faulty, [])
    targets(sim, 2)
    sim.advance(700.0)
    targets(sim, 1)
    sim.advance(5000.0)
    assert states(sim) == ["active", "cold", "cold", "cold"]
    assert sim.totals().pending_vm_hours == pytest.approx(700 / 3600)


def test_an_evicted_spot_vm_has_lost_its_label() -> None:
    faulty = scenario(vms=1, faults={"eviction_per_hour": 60.0})
    sim = simulator(faulty, [])
    targets(sim, 0)
    assert sim.view().spot_vms.tolist() == [[[1]]]
    sim.advance(1200.0)
    assert sim.state.clock[0]["evictions"] == 1
    assert states(sim) == ["cold"]
    assert 0.0 < sim.totals().spot_hours < 1200 / 3600  # donated until the eviction only
    targets(sim, 1)
    sim.advance(1200.0 + 599.0)
    assert states(sim) == ["provisioning"]  # a redeploy of 10 min, not 1 min
    sim.advance(1200.0 + 600.0)
    assert states(sim) == ["active"]


def test_slow_instances_are_drawn_at_their_start() -> None:
    faulty = scenario(vms=200, initial_instances=200, faults={"slow_share": 0.25})
    sim = simulator(faulty, [])
    slow = sim.state.vm["slow"]
    assert set(slow.tolist()) == {1.0, 2.0}
    assert (slow == 2.0).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 200))


def stale(seconds: float) -> Simulator:
    """Two regions; at 1.0 a request fills the west, at 2.5 the next must choose."""
    old = two_regions(
        kv_tokens=1000,
        batching={"utilisation": "kv", "max_output_tokens": 100},
        routing={"router": "threshold"},
        faults={"stale_metrics_s": seconds},
    )
    sim = simulator(old, [(1.0, 700, 100), (2.5, 100, 5), (9.0, 100, 5)], region=[0] * 3)
    sim.advance(2.6)
    return sim


def test_stale_metrics_keep_the_router_on_a_full_region() -> None:
    fresh, old = stale(0.0), stale(5.0)
    assert fresh.view().utilisation.tolist() == [0.8, 0.105]
    assert old.view().utilisation.tolist() == [0.0, 0.0]  # as of time 0
    for sim in (fresh, old):
        sim.advance(100.0)
        sim.check_invariants()
    assert fresh.records()["served_region"].tolist() == [0, 1, 0]
    # the picture of time 5 shows the west full; by 9 it is empty again, but the router sees 5
    assert old.records()["served_region"].tolist() == [0, 0, 1]


def test_stale_metrics_do_not_strand_work_at_a_new_instance() -> None:
    """Utilisation was last published when no instance was up."""
    old = scenario(
        initial_instances=0, routing={"router": "threshold"}, faults={"stale_metrics_s": 1e6}
    )
    sim = simulator(old, [(1.0, 100, 1)])
    targets(sim, 1)
    sim.advance(700.0)
    assert sim.records()["ttft_s"] == pytest.approx([600.2 - 1.0])


@pytest.mark.parametrize("seed", range(5))
def test_all_faults_at_once_lose_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    worst = two_regions(
        vms=5,
        initial_instances=3,
        lifecycle={"jitter": 0.2, "redeploy_s": 30.0},
        faults={
            **OUTAGE,
            "crash_per_hour": 120.0,
            "provision_failure": 0.5,
            "eviction_per_hour": 120.0,
            "slow_share": 0.5,
            "stale_metrics_s": 7.0,
        },
    )
    n = 400
    rows = list(
        zip(
            np.sort(rng.uniform(0, 300, n)),
            rng.integers(1, 900, n),
            rng.integers(1, 40, n),
            rng.choice(["IW-F", "IW-N", "NIW"], n),
            strict=True,
        )
    )
    sim = simulator(worst, rows, region=list(rng.integers(0, 2, n)), seed=seed)
    for _ in range(40):
        targets(sim, *rng.integers(0, 5, 2))
        sim.advance(sim.time_s + 10.0)
        sim.check_invariants()
    targets(sim, 3, 3)
    sim.advance(6000.0)
    sim.check_invariants()
    metrics = sim.episode_metrics()
    assert metrics["requests"] == metrics["completed"] == n
    assert metrics["crashes"] > 0 and metrics["requeued"] > 0
