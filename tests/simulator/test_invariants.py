"""Whatever the cluster, the workload, the faults and the decisions: what must always hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.simulator import codes
from sageserve_env.simulator.heaps import next_event_s
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario as small_scenario
from tests.simulator.small import simulator, targets
from tests.simulator.strategies import Case, cases, fingerprint, play, random_trace

BILLED = (codes.PROVISIONING, codes.LOADING, codes.ACTIVE, codes.DRAINING)


def one_of_each(scenario: Scenario) -> ClusterAction:
    """Return targets that give every model its places to run, as far as the VMs go."""
    needed = {"unified": ("unified",), "siloed": ("interactive", "batch"), "chiron": ("mixed",)}
    left = scenario.inventory.copy()
    instances = np.zeros((len(scenario.endpoints), len(scenario.gpus)), dtype=np.int64)
    for m in range(len(scenario.models)):
        for pool in needed[scenario.pooling]:
            room = left * scenario.compatible[m]
            r, g = np.unravel_index(int(room.argmax()), room.shape)
            if room[r, g] > 0:
                left[r, g] -= 1
                e = (m * len(scenario.regions) + int(r)) * len(scenario.pools)
                e += scenario.pools.index(pool)
                instances[e, g] += 1
    return ClusterAction(instances)


def can_serve(sim: Simulator) -> bool:
    """Return whether each model has an instance for interactive and one for batch work."""
    pools = sim.scenario.pools
    per_pool = sim.state.active.sum(axis=1).reshape(len(sim.scenario.models), -1, len(pools))
    up = per_pool.sum(axis=1) > 0  # [M, pools]
    if sim.state.config[0]["residency"]:  # residents wait for an instance at home
        up = per_pool.min(axis=1) > 0
    if sim.scenario.pooling == "chiron":
        return bool((up[:, [0, 1]].any(axis=1) & up[:, [1, 2]].any(axis=1)).all())
    return bool(up.all())


@pytest.mark.compiled
@given(cases())
@settings(max_examples=500)
def test_invariants_hold_and_nothing_is_lost(case: Case) -> None:
    sim = case.simulator()
    sim.check_invariants()
    for wait, action in case.steps:
        sim.apply(action)
        sim.check_invariants()
        sim.advance(sim.time_s + wait)
        sim.check_invariants()
        view = sim.view()
        assert (view.active + view.pending <= view.target).all()
        assert (view.active + view.pending + view.unmet >= view.target).all()
    arrived = int((case.trace.arrival_s <= sim.time_s).sum())
    metrics = sim.episode_metrics()
    assert metrics["requests"] == arrived
    assert metrics["completed"] + metrics["refused"] + metrics["unfinished"] == arrived
    # quiet: with a place to run for everything, everything completes
    sim.apply(one_of_each(case.scenario))
    served = False
    for _ in range(25):
        sim.advance(sim.time_s + 400.0)
        served |= can_serve(sim)
        if sim.episode_metrics()["unfinished"] == 0:
            break
    sim.check_invariants()
    if served:
        metrics = sim.episode_metrics()
        assert metrics["completed"] + metrics["refused"] == len(case.trace)
        _check_latencies(sim, case)


def _check_latencies(sim: Simulator, case: Case) -> None:
    """TTFT is at least network + isolated prefill on the fastest VM type, E2E follows it."""
    s, rows, t = case.scenario, sim.records(), case.trace
    served = np.isfinite(rows["e2e_s"])
    assert (~served).sum() == sim.episode_metrics()["refused"]
    rows = {name: column[served] for name, column in rows.items()}
    model, region = t.model[served], t.region[served]
    prompt = np.minimum(t.prompt_tokens[served], s.max_context_tokens[model])
    alone = np.array(
        [
            min(p.prefill_s(float(tokens)) for p in s.model_specs[m].profiles.values())
            for m, tokens in zip(model, prompt, strict=True)
        ]
    )
    trip = s.round_trip[region, rows["served_region"].astype(int)]
    moved = sim.state.clock[0]["requeued"] > 0  # a crash may move a request after its first token
    trip = 0.0 * trip if moved else trip
    assert (rows["ttft_s"] >= trip + alone - 1e-9).all()
    assert (rows["e2e_s"] >= rows["ttft_s"] - 1e-9).all() or moved


@given(cases())
@settings(max_examples=120)
def test_billed_seconds_are_the_integral_of_the_states(case: Case) -> None:
    """Stop at every event: between two stops no state changes, so the integral is a sum."""
    sim = case.simulator()
    s = case.scenario
    booked = np.zeros((len(s.endpoints), len(s.gpus), 3))
    spot = np.zeros((len(s.models), len(s.regions), len(s.gpus)))
    for wait, action in case.steps:
        sim.apply(action)
        end = sim.time_s + wait
        while sim.time_s < end:
            until = min(end, _next_event_s(sim))
            span, vm = until - sim.time_s, sim.state.vm.copy()
            sim.advance(until)
            for column, states in enumerate((BILLED[:2], BILLED[2:3], BILLED[3:])):
                here = np.isin(vm["state"], states)
                at = (vm["endpoint"][here], vm["gpu"][here], column)
                np.add.at(booked, at, span)
            here = vm["state"] == codes.SPOT
            np.add.at(spot, (vm["model"][here], vm["region"][here], vm["gpu"][here]), span)
    assert sim.state.vm_seconds == pytest.approx(booked, abs=1e-6)
    assert sim.state.spot_seconds == pytest.approx(spot, abs=1e-6)
    price = s.price_usd_per_hour[sim.state.endpoint["region"]]
    assert sim.totals().vm_usd == pytest.approx((booked.sum(axis=2) * price).sum() / 3600)


def _next_event_s(sim: Simulator) -> float:
    """Return the time of the next event, as the event loop sees it."""
    state = sim.state
    clock = state.clock[0]
    times = [float(clock["next_other_s"])]
    times.append(next_event_s(state))
    if clock["cursor"] < len(state.arrival_s):
        times.append(float(state.arrival_s[clock["cursor"]]))
    elif not clock["exhausted"]:
        sim.supply(codes.NEED_CHUNK)
        return _next_event_s(sim)
    return max(sim.time_s, min(times))


@given(cases())
@settings(max_examples=60)
def test_same_seed_and_decisions_are_bit_identical(case: Case) -> None:
    one, two = case.simulator(), case.simulator()
    play(one, case)
    play(two, case)
    assert fingerprint(one) == fingerprint(two)


@given(cases())
@settings(max_examples=60)
def test_where_advance_stops_changes_nothing(case: Case) -> None:
    one, two = case.simulator(), case.simulator()
    play(one, case)
    for wait, action in case.steps:
        two.apply(action)
        start = two.time_s
        for part in (0.1, 0.35, 0.35, 0.9, 1.0):
            two.advance(start + part * wait)
    for name, values in one.records().items():
        assert values.tobytes() == two.records()[name].tobytes(), name
    assert two.state.vm_seconds == pytest.approx(one.state.vm_seconds, abs=1e-6)


_SCRIPT = """
import sys
from tests.simulator.test_invariants import digest_of_a_run
print(digest_of_a_run(int(sys.argv[1])))
"""


def digest_of_a_run(seed: int) -> str:
    """Return a hash of the whole state after a run with every fault."""
    faulty = small_scenario(
        vms=6,
        regions=("west", "east"),
        models=("a", "b"),
        round_trip_s=0.05,
        initial_instances=2,
        batching={"balancer": "power_of_two", "kv_policy": "growth"},
        lifecycle={"jitter": 0.2},
        faults={
            "crash_per_hour": 60.0,
            "provision_failure": 0.3,
            "eviction_per_hour": 60.0,
            "slow_share": 0.3,
            "outage_region": "east",
            "outage_start_s": 20.0,
            "outage_duration_s": 15.0,
        },
    )
    rng = np.random.default_rng(seed)
    sim = Simulator(faulty, np.full((2, 1), 800.0), records=True)
    sim.reset(random_trace(faulty, 300, rng), seed)
    for _ in range(20):
        sim.apply(ClusterAction(rng.integers(0, 4, (4, 1))))
        sim.advance(sim.time_s + 60.0)
    digest = hashlib.sha256()
    for name, data in sorted(fingerprint(sim).items()):
        digest.update(name.encode() + data)
    return digest.hexdigest()


def test_a_subprocess_gives_the_same_bits(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, "7"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest_of_a_run(7)
    assert done.stdout.strip() != digest_of_a_run(8)


@pytest.mark.compiled
@pytest.mark.slow
def test_a_long_run_with_faults_conserves_requests() -> None:
    """The 10M-request check of the invariants at a fiftieth of the size."""
    n = 200_000
    rng = np.random.default_rng(3)
    cluster = small_scenario(
        vms=20,
        regions=("west", "east"),
        models=("a", "b"),
        kv_tokens=60_000,
        initial_instances=8,
        round_trip_s=0.05,
        batching={"prefill_token_budget": 2048},
        faults={"crash_per_hour": 1.0, "provision_failure": 0.2, "eviction_per_hour": 1.0},
    )
    rows = list(
        zip(
            np.sort(rng.uniform(0, 20_000, n)),
            rng.integers(1, 2500, n),
            rng.integers(1, 120, n),
            rng.choice(["IW-F", "IW-N", "NIW"], n, p=[0.6, 0.2, 0.2]),
            strict=True,
        )
    )
    model, region = rng.integers(0, 2, (2, n))
    sim = simulator(cluster, rows, model=list(model), region=list(region), theta=900.0)
    for _ in range(40):
        targets(sim, *rng.integers(6, 11, 4))
        sim.advance(sim.time_s + 600.0)
        sim.check_invariants()
    sim.advance(40_000.0)
    sim.check_invariants()
    metrics = sim.episode_metrics()
    assert metrics["requests"] == metrics["completed"] == n
    assert metrics["crashes"] > 20
    assert int(sim.state.count["prompt_tokens"].sum()) == sum(int(r[1]) for r in rows)
    assert int(sim.state.count["output_tokens"].sum()) == sum(int(r[2]) for r in rows)
    billed = sim.state.vm_seconds.sum() + sim.state.spot_seconds.sum()
    assert billed <= 40 * sim.time_s


def test_the_speed_case_reports_whether_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from sageserve_validation.speed.engine import engine_run

    tiny = load_scenario("trap-base")
    assert engine_run(tiny, 0.1, 300.0).sound is None
    assert engine_run(tiny, 0.1, 300.0, check=True).sound is True

    def broken(self: Simulator) -> None:
        raise AssertionError("invariant: none")

    monkeypatch.setattr(Simulator, "check_invariants", broken)
    assert engine_run(tiny, 0.1, 300.0, check=True).sound is False
