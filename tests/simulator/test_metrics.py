"""Histograms, attainment, rates, cost: figures against the records they summarise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_env.simulator.metrics import BUCKETS, RATIO_BUCKETS, bucket, ratio_bucket
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.simulator.summary import bucket_middle_s, percentile, tier_key
from tests.simulator.small import scenario, simulator, targets


@given(st.floats(0.001, 1e6))
def test_a_bucket_middle_is_within_two_percent(seconds: float) -> None:
    assert bucket_middle_s(bucket(seconds)) == pytest.approx(seconds, rel=0.016)


@given(st.floats(0.0, 1e9), st.floats(1.0, 2.0))
def test_buckets_are_monotone_and_in_range(seconds: float, factor: float) -> None:
    assert 0 <= bucket(seconds) <= bucket(seconds * factor) < BUCKETS
    assert 0 <= ratio_bucket(seconds) <= ratio_bucket(seconds * factor) < RATIO_BUCKETS


def test_the_ratio_bucket_of_one_is_the_middle() -> None:
    assert [ratio_bucket(x) for x in (0.0, 0.999999, 1.0, 1e9)] == [0, 31, 32, 63]


@given(st.lists(st.floats(0.002, 1e5), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 1]))
def test_percentiles_are_within_two_percent_of_exact(values: list[float], q: float) -> None:
    histogram = np.zeros(BUCKETS, dtype=np.int64)
    for value in values:
        histogram[bucket(value)] += 1
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert percentile(histogram, q) == pytest.approx(exact, rel=0.02)


def test_no_observation_has_no_percentile() -> None:
    assert np.isnan(percentile(np.zeros(BUCKETS, dtype=np.int64), 0.5))


def busy(seed: int = 0) -> tuple[Simulator, np.ndarray]:
    """A run of 3,000 requests of all tiers over two regions; also the origins and tiers."""
    rng = np.random.default_rng(seed)
    n = 3000
    cluster = scenario(
        regions=("west", "east"), round_trip_s=0.03, initial_instances=2, kv_tokens=50_000
    )
    tiers = rng.choice(["IW-F", "IW-N", "NIW"], n, p=[0.6, 0.2, 0.2])
    rows = list(
        zip(
            np.sort(rng.uniform(0, 1500, n)),
            rng.integers(1, 2000, n),
            rng.integers(1, 100, n),
            tiers,
            strict=True,
        )
    )
    region = rng.integers(0, 2, n)
    sim = simulator(cluster, rows, region=list(region), theta=900.0)
    return sim, np.array([(r[0], r[1], r[2], cluster.tier_names.index(r[3])) for r in rows])


def test_episode_metrics_agree_with_the_records() -> None:
    sim, rows = busy()
    sim.advance(5000.0)
    records, metrics = sim.records(), sim.episode_metrics()
    assert metrics["completed"] == len(rows)
    tier, prompt = rows[:, 3], rows[:, 1]
    for k, name in enumerate(sim.scenario.tier_names):
        here = tier == k
        for q in (50, 95, 99):
            exact = np.quantile(records["ttft_s"][here], q / 100, method="inverted_cdf")
            assert metrics[f"ttft_p{q}_{tier_key(name)}"] == pytest.approx(exact, rel=0.02)
        exact = np.quantile(records["e2e_s"][here], 0.95, method="inverted_cdf")
        assert metrics[f"e2e_p95_{tier_key(name)}"] == pytest.approx(exact, rel=0.02)
    alone = 0.1 + 0.001 * prompt
    for k, key in ((0, "iwf"), (1, "iwn")):
        here = tier == k
        flat_s = sim.scenario.tiers[k].objective_s
        scaled_s = np.maximum(flat_s, 3 * alone[here])
        ttft = records["ttft_s"][here]
        assert metrics[f"slo_{key}"] == pytest.approx((ttft <= scaled_s).mean())
        assert metrics[f"slo_flat_{key}"] == pytest.approx((ttft <= flat_s).mean())
        assert metrics[f"missed_{key}"] == (ttft > scaled_s).sum()
    assert metrics["slo_niw"] == 1.0 or np.isnan(metrics["slo_niw"])
    assert 0.3 < metrics["slo_iwf"] < 1.0  # the case is one where the figure means something


def test_overdue_work_counts_as_missed_and_due_only_when_it_is() -> None:
    sim = simulator(scenario(initial_instances=0), [(0.0, 100, 1), (10.0, 100, 1, "IW-N")])
    sim.advance(1.0)
    assert np.isnan(sim.episode_metrics()["slo_iwf"])  # not late yet
    sim.advance(1.01)
    assert sim.episode_metrics()["slo_iwf"] == 0.0
    assert sim.episode_metrics()["missed_iwf"] == 1
    assert np.isnan(sim.episode_metrics()["slo_iwn"])
    sim.advance(80.0)
    metrics = sim.episode_metrics()
    assert metrics["slo_iwn"] == metrics["slo_worst_model"] == 0.0
    assert sim.unfinished().requests == 2
    # 200 prompt tokens at 1,000 a second and $36 an hour
    assert sim.unfinished().work_usd == pytest.approx(0.2 * 36 / 3600)


def test_the_window_shows_recent_service_and_forgets_it() -> None:
    # objective 1 s; 19 requests a second apart with TTFT 0.2 s and two that wait too long
    rows = [(float(i), 100, 1) for i in range(19)] + [(30.0, 1800, 1), (30.0, 1700, 1)]
    sim = simulator(scenario(slo_scale=1.0), rows)
    sim.advance(20.0)
    view = sim.view()
    assert view.slo_attainment.tolist() == [1.0]
    assert view.ttft_p95_ratio[0] == pytest.approx(0.2, rel=0.07)  # eighths of an octave
    sim.advance(40.0)
    view = sim.view()
    ttft = sim.records()["ttft_s"][19:]
    ratios = ttft / np.array([1.9, 1.8])
    assert (ratios > 1).all()
    assert view.slo_attainment == pytest.approx([19 / 21])
    # the 95th percentile of 21 values is the 20th
    assert view.ttft_p95_ratio[0] == pytest.approx(ratios.min(), rel=0.07)
    sim.advance(299.0)
    assert sim.view().slo_attainment == pytest.approx([19 / 21])
    sim.advance(301.0)  # minute 0 has left the five-minute window
    assert sim.view().slo_attainment.tolist() == [1.0]
    assert sim.view().ttft_p95_ratio.tolist() == [0.0]


def test_rates_over_one_five_and_fifteen_minutes() -> None:
    # one request of 100 tokens a second in minute 0, 600 of one token at 850 s
    rows = [(float(i), 100, 2) for i in range(60)] + [(850.0, 1, 1)] * 600
    sim = simulator(scenario(), rows)
    sim.advance(60.0)
    view = sim.view()
    assert view.request_rate[:, 0, 0, 0].tolist() == [1.0, 1.0, 1.0]  # since time 0
    assert view.prompt_rate[:, 0, 0, 0].tolist() == [100.0, 100.0, 100.0]
    sim.advance(120.0)
    assert sim.view().request_rate[:, 0, 0, 0].tolist() == [0.0, 0.5, 0.5]
    assert sim.view().output_rate[2, 0, 0, 0] == pytest.approx(1.0)  # 120 tokens in 120 s
    sim.advance(900.0)
    assert sim.view().request_rate[:, 0, 0, 0] == pytest.approx([10.0, 2.0, 660 / 900])
    sim.advance(960.0)
    assert sim.view().request_rate[:, 0, 0, 0] == pytest.approx([0.0, 2.0, 600 / 900])
    bins = sim.view().demand_requests[:, 0, 0, 0]
    assert bins.tolist() == [60.0, *[0.0] * 13, 600.0, 0.0]


def test_the_view_holds_nothing_of_the_future() -> None:
    rows = [(10.0, 100, 1), (70.0, 100, 1)]
    sim = simulator(scenario(), rows)
    sim.advance(20.0)
    view = sim.view()
    assert view.demand_requests.sum() == 1.0
    sim.advance(100.0)
    assert view.demand_requests.sum() == 1.0  # a copy, or at least not longer


def test_a_view_that_is_kept_does_not_change() -> None:
    sim = simulator(scenario(), [(float(i), 100, 2) for i in range(200)])
    for now_s in (0.0, 30.0, 60.0, 90.0, 120.0):
        sim.advance(now_s)
        view = sim.view()
        arrays = {k: v for k, v in vars(view).items() if isinstance(v, np.ndarray)}
        copies = {k: v.copy() for k, v in arrays.items()}
        snapshot = sim.snapshot()
        targets(sim, 3, router="shares", niw_release=np.array([0.2]))
        sim.advance(now_s + 29.5)
        sim.restore(snapshot)
        for name, array in arrays.items():
            assert (array == copies[name]).all(), name
            assert not np.shares_memory(array, getattr(sim.view(), name)) or "demand" in name


def test_a_view_after_the_horizon_does_not_change() -> None:
    short = scenario(horizon_s=120.0)
    sim = simulator(short, [(float(i), 100, 2) for i in range(120)])
    sim.advance(240.0)  # the last bin takes all that follows
    view = sim.view()
    before = view.demand_output_tokens.copy()
    sim.advance(2000.0)
    assert (view.demand_output_tokens == before).all()


def test_the_view_has_the_decisions_in_force() -> None:
    two = scenario(regions=("west", "east"), round_trip_s=0.03)
    sim = simulator(two, [])
    view = sim.view()
    assert (view.router, view.niw_release.tolist()) == ("least_wait", [0.6, 0.6])
    assert (view.routing == two.round_trip).all()
    shares = np.array([[[0.7, 0.3], [0.2, 0.8]]])
    targets(sim, 1, 1, router="shares", routing=shares, niw_release=np.array([0.1, 0.9]))
    assert view.router == "least_wait" and (view.routing == two.round_trip).all()
    view = sim.view()
    assert (view.router, view.niw_release.tolist()) == ("shares", [0.1, 0.9])
    assert (view.routing == shares).all()


def test_what_happened_to_vms_is_counted() -> None:
    sim = simulator(scenario(faults={"provision_failure": 1.0}), [(0.0, 100, 600)])
    sim.advance(1.0)
    targets(sim, 0)
    targets(sim, 1)  # the drain is cancelled
    targets(sim, 2)
    sim.advance(1300.0)
    metrics = sim.episode_metrics()
    assert metrics["drains_cancelled"] == 1
    assert metrics["failed_scale_outs"] == 2  # after 600 s and 1,200 s
    assert metrics["evictions"] == 0
    gone = simulator(scenario(initial_instances=2, faults={"eviction_per_hour": 1000.0}), [])
    targets(gone, 1)
    gone.advance(3600.0)
    assert gone.episode_metrics()["evictions"] == 1


def test_cost_waste_and_transfer() -> None:
    two = scenario(regions=("west", "east"), routing={"transfer_usd_per_gb": 1000.0})
    sim = simulator(two, [(0.0, 100, 20), (1.0, 100, 20)], region=[0, 1])
    targets(sim, 2, 0)  # the east retires at once; one more in the west for 600 s
    sim.advance(900.0)
    totals, metrics = sim.totals(), sim.episode_metrics()
    assert totals.vm_hours == pytest.approx((900 + 900) / 3600)
    assert totals.pending_vm_hours == pytest.approx(600 / 3600)
    assert totals.vm_usd == pytest.approx(0.5 * 36)
    assert totals.spot_hours == pytest.approx(900 / 3600)
    assert totals.spot_usd == pytest.approx(900 / 3600 * 18)
    # 120 tokens of 4 bytes from the east were served in the west
    assert totals.transfer_usd == pytest.approx(120 * 4e-9 * 1000)
    assert totals.cost_usd == pytest.approx(totals.vm_usd + totals.transfer_usd)
    assert metrics["cost_usd"] == pytest.approx(totals.cost_usd)
    assert metrics["gpu_hours"] == pytest.approx(8 * 0.5)
    assert metrics["scaling_waste_gpu_hours"] == pytest.approx(8 * 600 / 3600)
    assert metrics["scale_outs"] == 1
    assert metrics["scale_ins"] == 1


def test_deadlines_and_backlog_of_held_work() -> None:
    sim = simulator(scenario(initial_instances=0), [(5.0, 100, 1, "NIW"), (7.0, 50, 1, "NIW")])
    sim.advance(105.0)
    view = sim.view()
    assert view.niw_backlog.tolist() == [2]
    assert view.niw_backlog_tokens.tolist() == [150.0]
    assert view.niw_deadline_s.tolist() == [86_300.0]
