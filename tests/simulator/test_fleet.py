"""The capacity ladder, draining, billing and the NIW manager, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_env.scenario import load_scenario
from sageserve_env.simulator import codes
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator, targets


def states(sim) -> list[str]:  # noqa: ANN001
    return [codes.VM_STATES[i] for i in sim.state.vm["state"]]


def test_an_idle_vm_is_up_after_the_redeploy_delay() -> None:
    sim = simulator(scenario(), [])
    targets(sim, 2)
    assert states(sim)[:2] == ["active", "provisioning"]
    sim.advance(599.9)
    assert sim.state.active[0, 0] == 1
    sim.advance(600.0)
    assert sim.state.active[0, 0] == 2
    sim.check_invariants()


def test_a_spot_vm_with_the_model_is_up_after_a_minute() -> None:
    sim = simulator(scenario(), [])
    targets(sim, 0)
    assert states(sim)[0] == "spot"
    sim.advance(100.0)
    targets(sim, 1)
    assert states(sim)[0] == "loading"
    sim.advance(160.0)
    assert sim.state.active[0, 0] == 1
    assert sim.totals().spot_hours == pytest.approx(100 / 3600)


def test_a_spot_vm_with_another_model_takes_a_redeploy() -> None:
    two = scenario(vms=2, models=("a", "b"))
    sim = simulator(two, [])
    targets(sim, 0, 1)
    targets(sim, 0, 2)
    assert states(sim) == ["loading", "active"]
    sim.advance(600.0)
    assert list(sim.state.active[:, 0]) == [0, 2]


def test_weights_that_are_not_in_the_region_take_two_hours_once() -> None:
    far = scenario(
        models=("a", "b"),
        initial_instances=0,
        lifecycle={"weights_in_region": False, "jitter": 0.0},
    )
    sim = simulator(far, [])
    targets(sim, 1, 0)
    sim.advance(7199.0)
    assert sim.state.active[0, 0] == 0
    sim.advance(7200.0)
    assert sim.state.active[0, 0] == 1
    targets(sim, 2, 0)
    sim.advance(7800.0)
    assert sim.state.active[0, 0] == 2


def test_a_scale_out_without_a_vm_is_unmet_and_met_later() -> None:
    sim = simulator(scenario(vms=2, models=("a", "b")), [])
    targets(sim, 2, 1)
    assert list(sim.state.unmet[:, 0]) == [1, 0]
    sim.advance(10.0)
    targets(sim, 2, 0)  # b drains at once and its VM goes to a
    assert list(sim.state.unmet[:, 0]) == [0, 0]
    sim.advance(610.0)
    assert sim.state.active[0, 0] == 2


def test_a_drain_lets_requests_finish_and_then_donates() -> None:
    sim = simulator(scenario(), [(0.0, 100, 11), (5.0, 100, 1)])
    sim.advance(0.1)
    targets(sim, 0)
    assert states(sim)[0] == "draining"
    sim.advance(0.8)
    assert sim.records()["e2e_s"][0] == pytest.approx(0.2 + 10 * 0.06)
    assert states(sim)[0] == "spot"
    sim.advance(10.0)  # the second request finds no instance and waits globally
    assert sim.state.model[0]["n_global"] == 1
    sim.check_invariants()
    targets(sim, 1)
    sim.advance(100.0)
    assert sim.records()["ttft_s"][1] == pytest.approx(70.0 + 0.2 - 5.0)


def test_a_drain_can_be_cancelled() -> None:
    sim = simulator(scenario(), [(0.0, 100, 100)])
    sim.advance(0.1)
    targets(sim, 0)
    targets(sim, 1)
    assert states(sim)[0] == "active"
    assert sim.state.clock[0]["drains_cancelled"] == 1
    sim.check_invariants()


def test_scale_in_cancels_pending_instances_first() -> None:
    sim = simulator(scenario(), [])
    targets(sim, 3)
    sim.advance(60.0)
    targets(sim, 1)
    assert states(sim) == ["active", "cold", "cold", "cold"]
    assert sim.totals().pending_vm_hours == pytest.approx(2 * 60 / 3600)


def test_everything_pending_active_and_draining_is_billed() -> None:
    sim = simulator(scenario(), [(0.0, 100, 800)])
    targets(sim, 2)  # 600 s pending
    sim.advance(600.0)
    sim.advance(1000.0)
    assert sim.totals().vm_hours == pytest.approx((1000 + 1000) / 3600)
    assert sim.totals().vm_usd == pytest.approx(2000 / 3600 * 36.0)
    assert sim.episode_metrics()["gpu_hours"] == pytest.approx(8 * 2000 / 3600)
    assert sim.episode_metrics()["scaling_waste_gpu_hours"] == pytest.approx(8 * 600 / 3600)


def test_jsq_ties_go_to_the_lowest_index() -> None:
    # equal prompts at the same time go to VMs 0, 1, 2 in turn; the fourth again to 0
    sim = simulator(scenario(initial_instances=3), [(1.0, 100, 5)] * 4)
    sim.advance(1.0)
    assert list(sim.state.vm["pending_tokens"][:3]) == [202, 101, 101]


def test_least_wait_prefers_the_home_region_until_the_queue_costs_more() -> None:
    two = scenario(regions=("west", "east"), round_trip_s=0.05)
    sim = simulator(two, [(1.0, 100, 5)] * 3, region=[0, 0, 0])
    sim.advance(1.0)
    # the first stays (0 < 0.05), the second finds 0.1 s of queue at home and leaves
    assert sim.state.vm["pending_tokens"][0] == 202
    assert sim.state.vm["pending_tokens"][4] == 101
    sim.advance(100.0)
    assert sim.records()["served_region"].tolist() == [0, 1, 0]
    assert sim.records()["ttft_s"][1] == pytest.approx(0.25)


def test_shares_split_the_traffic_exactly() -> None:
    two = scenario(regions=("west", "east"))
    sim = simulator(two, [(float(i), 10, 1) for i in range(8)], region=[0] * 8)
    shares = np.array([[[0.25, 0.75], [0.0, 1.0]]])
    targets(sim, 1, 1, router="shares", routing=shares)
    sim.advance(100.0)
    assert np.bincount(sim.records()["served_region"].astype(int)).tolist() == [2, 6]


def test_threshold_router_leaves_a_full_region() -> None:
    two = scenario(
        regions=("west", "east"),
        kv_tokens=1000,
        batching={"utilisation": "kv", "max_output_tokens": 100},
    )
    sim = simulator(two, [(0.0, 650, 100), (1.0, 100, 5), (1.1, 100, 5)], region=[0, 0, 0])
    targets(sim, 1, 1, router="threshold")
    sim.advance(100.0)
    assert sim.records()["served_region"].tolist() == [0, 1, 1]


def test_niw_is_held_while_busy_and_pulled_when_there_is_room() -> None:
    # KV 1000: 700 are reserved by an interactive request until about 6.5 s; NIW waits till then
    busy = scenario(kv_tokens=1000, batching={"utilisation": "kv", "max_output_tokens": 100})
    sim = simulator(busy, [(0.0, 600, 100), (0.5, 100, 1, "NIW")])
    sim.advance(6.0)
    assert sim.view().niw_backlog.tolist() == [1]
    sim.advance(20.0)
    end = 0.6 + 0.2 + 99 * 0.06
    assert sim.records()["e2e_s"][0] == pytest.approx(end)
    # the manager looks each second: pulled at 7 s
    assert sim.records()["e2e_s"][1] == pytest.approx(7.0 + 0.2 - 0.5)


def test_niw_that_has_aged_is_served_as_interactive() -> None:
    never = np.zeros(1)
    sim = simulator(scenario(), [(0.0, 100, 1, "NIW")])
    targets(sim, 1, niw_release=never)
    sim.advance(35_999.0)
    assert sim.view().niw_backlog.tolist() == [1]
    sim.advance(36_001.0)
    assert sim.view().niw_backlog.tolist() == [0]
    assert sim.records()["e2e_s"][0] == pytest.approx(36_000.2)
    assert sim.episode_metrics()["slo_niw"] == 1.0


@pytest.mark.compiled
def test_niw_that_misses_its_deadline_is_counted() -> None:
    late = scenario(niw={"escalate_after_s": 1e6})
    sim = simulator(late, [(0.0, 100, 1, "NIW"), (90_000.0, 100, 1, "NIW")])
    targets(sim, 1, niw_release=np.zeros(1))
    sim.advance(86_000.0)
    assert np.isnan(sim.episode_metrics()["slo_niw"])  # not due yet
    sim.advance(100_000.0)
    metrics = sim.episode_metrics()
    assert metrics["slo_niw"] == 0.0  # the first is overdue, the second not due
    assert metrics["unfinished"] == 2
    assert metrics["requests"] == metrics["completed"] + metrics["unfinished"]


def test_niw_is_never_served_before_it_arrives() -> None:
    sim = simulator(scenario(), [(50.3, 100, 1, "NIW")])
    sim.advance(50.0)
    assert sim.state.clock[0]["arrived"] == 0
    sim.advance(60.0)
    assert sim.records()["ttft_s"][0] == pytest.approx(51.0 + 0.2 - 50.3)


def test_the_minimum_goes_to_a_vm_type_that_the_region_has() -> None:
    regions = [
        {"name": "westus", "vms": {"h100-80gb-x8": 40}},
        {"name": "eastus", "vms": {"a100-80gb-x8": 40}},
        {"name": "nowhere", "vms": {}},
    ]
    hetero = load_scenario("hetero-day").replace(regions=regions)
    sim = Simulator(hetero, np.full((4, 2), 1000.0))
    none = np.zeros((12, 2), dtype=np.int64)
    # without any VM it is asked for on the first type that the model runs on, and is unmet
    assert sim.clip_targets(none).tolist() == [[0, 2], [2, 0], [2, 0]] * 4
    assert sim.clip_targets(none + 1).tolist() == [[1, 1]] * 12
    asked = none.copy()
    asked[0, 0] = 1  # a type that the region lacks: it stays, and counts
    assert sim.clip_targets(asked)[0].tolist() == [1, 1]


@pytest.mark.parametrize("release", [np.array([-0.1]), np.array([np.nan]), np.zeros(2)])
def test_a_bad_ceiling_changes_nothing(release: np.ndarray) -> None:
    sim = simulator(scenario(), [])
    with pytest.raises(ValueError, match="niw_release: expected"):
        targets(sim, 2, niw_release=release)
    assert sim.view().target.tolist() == [[1]]
