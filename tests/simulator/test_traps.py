"""What operators report (docs/sources.md, "Traps"): a named scenario and a test each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from sageserve_agents.registry import make_agent
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario, list_scenarios, load_scenario
from sageserve_env.simulator import codes
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.view import ClusterView
from sageserve_traces.trace import DemandSeries
from tests.simulator.small import trace

THETA = 4000.0  # prompt tokens per second of an instance, as agents are told
PROMPT = 2000
Decide = Callable[[ClusterView], Any]  # targets, [E] or [E, G]


def steady(per_s: float, start_s: float, end_s: float) -> list[tuple[float, int, int]]:
    """Return evenly spaced requests; one instance's utilisation is about half the rate."""
    return [(float(t), PROMPT, 20) for t in np.arange(start_s, end_s, 1 / per_s)]


def start(name: str, rows: list[Any], **changes: Any) -> Simulator:
    """Return a simulator of the trap ``name``."""
    trap = load_scenario(f"trap-{name}").replace(**changes)
    sim = Simulator(trap, np.full((len(trap.models), len(trap.gpus)), THETA), records=True)
    sim.reset(trace(rows, trap), 0)
    return sim


def drive(sim: Simulator, decide: Decide, until_s: float) -> list[ClusterView]:
    """Decide at every interval; return what was seen."""
    seen = []
    step_s = sim.scenario.decision_interval_s
    while sim.time_s < until_s:
        view = sim.view()
        seen.append(view)
        wanted = np.asarray(decide(view))
        action = ClusterAction(wanted.reshape(len(sim.scenario.endpoints), -1), router="threshold")
        sim.apply(action)
        sim.advance(sim.time_s + step_s)
        sim.check_invariants()
    return seen


def reactive(scenario: Scenario, **options: Any) -> Decide:
    """Return the targets that the agent `reactive` decides on."""
    agent = make_agent("reactive", **options)
    none = DemandSeries.zeros(
        0,
        bin_s=60.0,
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
    )
    agent.reset(scenario, 0, none)
    return lambda view: agent.act(view).instances


def scaling(sim: Simulator) -> tuple[int, int]:
    clock = sim.state.clock[0]
    return int(clock["scale_outs"]), int(clock["scale_ins"])


def test_every_trap_has_a_test() -> None:
    base = "trap-base"  # what the traps are made of
    traps = [n for n in list_scenarios() if n.startswith("trap-") and n != base]
    assert len(traps) == 10
    assert all(load_scenario(name).description.startswith("trap, ") for name in traps)


def test_zero_traffic_scales_in_to_nothing() -> None:
    sim = start("zero-traffic", steady(2.0, 0, 600))
    drive(sim, reactive(sim.scenario), 5400.0)
    assert sim.state.active.sum() == 0
    assert sim.episode_metrics()["completed"] == 1200
    billed = sim.totals().vm_hours
    donated = sim.totals().spot_hours
    drive(sim, reactive(sim.scenario), 7200.0)
    assert sim.totals().vm_hours == billed  # nothing runs, nothing is billed
    assert sim.totals().spot_hours == pytest.approx(donated + 3 * 1800 / 3600)


def test_pending_instances_are_seen_so_nothing_cascades() -> None:
    rows = steady(4.0, 0, 3600)
    careful, naive = start("cascade", rows), start("cascade", rows)
    seen = drive(careful, reactive(careful.scenario), 700.0)
    assert max(int(view.pending.sum()) for view in seen) == 1
    assert all((v.active + v.pending + v.unmet >= v.target).all() for v in seen)

    def doubling(view: ClusterView) -> NDArray[np.int64]:
        return view.target * (2 if view.utilisation[0] > 0.7 else 1)

    drive(naive, doubling, 700.0)
    assert naive.state.target.sum() >= 16
    waste = [s.totals().pending_vm_hours for s in (careful, naive)]
    assert waste[1] > 10 * waste[0]  # the cascade is paid for from the first second


def test_a_standing_target_starts_each_instance_once() -> None:
    sim = start("cascade", [])
    drive(sim, lambda view: [3], 540.0)
    assert scaling(sim) == (2, 0)
    assert sim.view().pending.tolist() == [[2]]
    drive(sim, lambda view: [3], 700.0)
    assert scaling(sim) == (2, 0)
    assert sim.view().active.tolist() == [[3]]


def test_scale_in_lets_every_request_finish_as_if_nothing_had_happened() -> None:
    rows = [(0.01 * i, 500, 1000) for i in range(40)]
    kept, cut = start("drain", rows), start("drain", rows)
    for sim in (kept, cut):
        sim.advance(10.0)
    cut.apply(ClusterAction(np.array([[1]])))
    assert cut.view().draining.tolist() == [[3]]
    for sim in (kept, cut):
        sim.advance(600.0)
    assert cut.records()["e2e_s"].tobytes() == kept.records()["e2e_s"].tobytes()
    assert cut.state.clock[0]["requeued"] == cut.state.clock[0]["preemptions"] == 0
    draining_s = cut.state.vm_seconds[0, 0, codes.BILL_DRAINING]
    assert 3 * 30 < draining_s < 3 * 120  # the drains are billed to their end
    assert cut.view().spot_vms.tolist() == [[[3]]]


def test_a_plan_beyond_the_inventory_is_unmet_and_does_not_deadlock() -> None:
    rows = [(*row, "IW-F") for row in steady(1.0, 0, 3000)]
    trap = load_scenario("trap-budget")
    sim = Simulator(trap, np.full((2, 1), THETA), records=True)
    sim.reset(trace(rows, trap, model=[i % 2 for i in range(len(rows))]), 0)
    first = drive(sim, lambda view: [10, 4], 900.0)[-1]
    assert (first.active.sum(), first.unmet.ravel().tolist()) == (6, [5, 3])
    assert first.active.ravel().tolist() == [5, 1]  # nobody loses what it has
    # the reverse plan finds no free VM either: drains make room, and it is met in full
    second = drive(sim, lambda view: [1, 5], 2000.0)[-1]
    assert second.active.ravel().tolist() == [1, 5]
    assert second.unmet.sum() == second.idle_vms.sum() == 0
    drive(sim, lambda view: [1, 5], 3300.0)
    assert sim.episode_metrics()["completed"] == len(rows)


@pytest.mark.compiled
def test_consolidation_does_not_oscillate() -> None:
    # 1.52 requests/s: utilisation 0.38 on two instances, 0.76 on one
    rows = steady(1.52, 0, 3600)
    calm, naive = start("oscillation", rows), start("oscillation", rows)

    def thresholds(view: ClusterView) -> NDArray[np.int64]:
        waiting = view.pending.sum() > 0
        used = view.utilisation[0]
        return view.target + int(used > 0.7 and not waiting) - int(used < 0.4)

    for sim in (naive, calm):
        drive(sim, lambda view: [2], 120.0)  # until the signal has its whole minute
    drive(naive, thresholds, 3600.0)
    drive(calm, reactive(calm.scenario, in_below=0.4), 3600.0)
    outs, ins = scaling(naive)
    assert outs >= 10 and ins >= 10
    assert scaling(calm) == (0, 0)
    assert naive.totals().pending_vm_hours > 0.1


@pytest.mark.compiled
def test_a_cold_start_can_outlast_its_burst() -> None:
    rows = sorted(steady(1.0, 0, 2400) + steady(5.0, 600, 720))
    scaled, fixed = start("slow-start", rows), start("slow-start", rows)
    seen = drive(scaled, reactive(scaled.scenario), 2400.0)
    drive(fixed, lambda view: [2], 2400.0)
    ordered = [view for view in seen if view.pending.sum() > 0]
    assert 600 < ordered[0].time_s < 780
    assert ordered[0].pending_ready_s[0, 0] > 500  # the view says that it will be too late
    assert not any(view.active.sum() > 2 for view in seen if view.time_s < 1140)
    burst = np.array([600 <= row[0] < 720 for row in rows])
    ttft = [s.records()["ttft_s"][burst] for s in (scaled, fixed)]
    assert ttft[0].tobytes() == ttft[1].tobytes()  # it came too late to help anyone in the burst
    assert scaled.totals().pending_vm_hours > 0  # and its start was billed


def test_waking_from_zero() -> None:
    sim = start("wake", [(100.0, PROMPT, 5), (15_000.0, PROMPT, 5)])
    seen = drive(sim, reactive(sim.scenario), 18_000.0)
    asleep = next(view for view in seen if view.time_s == 120.0)
    assert asleep.global_queue.tolist() == [1]
    assert asleep.utilisation.tolist() == [0.0, 0.0]
    first, second = sim.records()["ttft_s"]
    # two hours for the weights (jitter 10 %) from the decision at 120 s; then a spot VM in a minute
    assert 20 + 0.9 * 7200 < first < 20 + 1.1 * 7200 + 2
    assert 54 < second < 60 + 66 + 2
    assert sim.state.active.sum() == 0  # asleep again


@pytest.mark.compiled
def test_two_variants_do_not_scale_for_the_same_demand() -> None:
    sim = start("variants", steady(4.0, 0, 1800))
    seen = drive(sim, reactive(sim.scenario), 1800.0)
    totals = np.array([view.target.sum(axis=1) for view in seen])  # [steps, E]
    assert set(np.diff(totals[:, 0]).tolist()) == {0, 1}  # one instance, whatever its type
    assert totals[-1, 0] > totals[0, 0]
    assert (np.diff(totals[:, 1]) <= 0).all()  # the other model has no demand
    busy = seen[10]
    assert busy.request_rate[0, 1].sum() == busy.utilisation[1] == 0.0
    assert busy.request_rate[0, 0].sum() == pytest.approx(4.0, rel=0.02)


@pytest.mark.compiled
def test_stale_metrics_delay_every_reaction() -> None:
    rows = steady(0.5, 0, 125) + steady(8.0, 125, 900)
    old = start("stale", rows)
    fresh = start("stale", rows, faults={"stale_metrics_s": 0.0})
    reaction, changes = [], []
    for sim in (fresh, old):
        seen = drive(sim, reactive(sim.scenario), 900.0)
        reaction.append(next(v.time_s for v in seen if v.target.sum() > 4))
        used = np.array([view.utilisation[0] for view in seen])
        changes.append(np.flatnonzero(np.diff(used)) + 1)
    assert reaction[0] < 240.0 < reaction[1]  # metrics are published at 120 s and 240 s
    # 15 s decisions and 120 s metrics: the utilisation seen changes at most every eighth time
    assert (changes[1] % 8 == 0).all()
    assert len(changes[0]) > 3 * len(changes[1])
    # the threshold router keeps filling a home region that was idle two minutes ago
    remote = [float((s.records()["served_region"][:700] == 1).mean()) for s in (fresh, old)]
    assert remote[1] < remote[0]


@pytest.mark.compiled
def test_starving_work_never_pays() -> None:
    env = gym.make("SageServe-Hour-v1", scenario="trap-starve", action_mode="structured")
    returns = {}
    for name, count in (("serve", 3), ("starve", 0), ("stop", -1)):
        env.reset(seed=0)
        simulator = env.unwrapped.simulator
        total, over, steps = 0.0, False, 0
        while not over:
            target = 3 * (steps < 30) if count < 0 else count
            action = ClusterAction(np.full((2, 1), target))
            _, reward, _, over, info = env.unwrapped.step_cluster(action)
            total, steps = total + float(reward), steps + 1
        returns[name] = total
        metrics = info["episode_metrics"]
        assert metrics["requests"] == metrics["completed"] + metrics["unfinished"]
        if name == "starve":
            assert metrics["slo_iwf"] < 0.01
            assert metrics["unfinished"] > 0.99 * metrics["requests"]
            assert simulator.unfinished().work_usd > 0
    assert returns["serve"] > returns["stop"] > returns["starve"]
    env.close()
