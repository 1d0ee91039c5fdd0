"""The kernel equals the slow reference of a whole cluster, request by request."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from sageserve_env.actions import ClusterAction
from sageserve_env.options import BATCHING_MODES
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.build import build_state
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.trace import RequestTrace
from tests.simulator.reference_cluster import Cluster, Random, TooCloseToCall
from tests.simulator.reference_gateway import Request
from tests.simulator.strategies import MAX_OUTPUT, random_limits, random_trace, scenarios

THETA = 800.0
TOLERANCE_S = 1e-6
OBJECTIVE, RESIDENT = range(2)  # streams of numbers that belong to a request
ROUTERS = {
    "growth": ("least_wait", "jsq", "shares"),
    "reservation": ("least_wait", "least_wait_kv", "jsq", "shares", "threshold"),
}
"""Under growth only those that do not weigh memory: the kernel books what decodes add to it at the
end of a run of iterations."""
TIMELY = ("least_wait", "least_wait_kv")
"""Under the others queues shorten at the end of such a run, so that prompts get one iteration."""

Step = tuple[float, ClusterAction]


@dataclasses.dataclass(frozen=True)
class Case:
    """A cluster, its requests and what is decided when."""

    scenario: Scenario
    trace: RequestTrace
    steps: tuple[Step, ...]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return clusters with ages, admission, residents, fading labels and faults."""
    scenario = draw(scenarios())
    assume(scenario.inventory.sum() > 0)
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    policy = draw(st.sampled_from(sorted(ROUTERS)))
    routers = draw(st.lists(st.sampled_from(ROUTERS[policy]), min_size=1, max_size=2))
    timely = all(router in TIMELY for router in routers)
    batching = dataclasses.replace(
        scenario.batching,
        kv_policy=policy,
        mode=draw(st.sampled_from(BATCHING_MODES)),
        discipline=draw(st.sampled_from(["fcfs", "edf", "pf"])),
        balancer="jsq",
        max_sequences=draw(st.sampled_from([1, 2, 2, 8])),
        prefill_token_budget=draw(st.sampled_from([64, 500, None] if timely else [700, None])),
    )
    life = dataclasses.replace(
        scenario.lifecycle,
        weights_in_region=draw(st.integers(0, 3)) > 0,
        label_half_life_s=draw(st.sampled_from([None, 5.0, 20.0])),
    )
    routing = dataclasses.replace(
        scenario.routing, region_age_s=draw(st.sampled_from([0.0, 0.4, 3.0, 10.0]))
    )
    scenario = scenario.replace(
        pooling="unified",
        min_per_model=0,
        slo_scale=None,
        batching=batching,
        lifecycle=life,
        routing=routing,
    )
    trace = random_trace(scenario, draw(st.integers(10, 60)), rng)
    if policy == "growth":
        trace = dataclasses.replace(trace, tier=np.minimum(trace.tier, 1).astype(np.int16))
    waits = draw(st.lists(st.sampled_from([0.0, 3.0, 7.3, 20.0]), min_size=2, max_size=8))
    steps = tuple(
        (wait, decision(scenario, rng, routers[k % len(routers)])) for k, wait in enumerate(waits)
    )
    return Case(scenario, trace, steps, seed)


def decision(scenario: Scenario, rng: np.random.Generator, router: str) -> ClusterAction:
    m, r = len(scenario.models), len(scenario.regions)
    shape = (len(scenario.endpoints), len(scenario.gpus))
    routing = rng.random((m, r, r)) * (rng.random((m, r, r)) < 0.7)
    if router == "shares":
        routing += np.eye(r) * (routing.sum(axis=2, keepdims=True) == 0)
        routing /= routing.sum(axis=2, keepdims=True)
    limits = random_limits(scenario, rng) if rng.random() < 0.5 else None
    targets = rng.integers(0, 4, shape) * (rng.random(shape) < 0.8)
    return ClusterAction(targets, router=router, routing=routing, admission=limits)


def requests(case: Case, random: Random) -> list[Request]:
    """Return the requests as the cluster takes them: cut, with what is drawn for each."""
    s, t = case.scenario, case.trace
    found = []
    for i in range(len(t.arrival_s)):
        m, r, k = int(t.model[i]), int(t.region[i]), int(t.tier[i])
        tier, choice = s.tiers[k], 0
        objective_s = tier.objective_s
        if tier.objectives_s:
            choice = int(random.of_request(i, OBJECTIVE) * len(tier.objectives_s))
            objective_s = tier.objectives_s[choice]
        share = s.regions[r].resident
        resident = share > 0 and random.of_request(i, RESIDENT) < share
        job = Request(
            index=i,
            arrival_s=float(t.arrival_s[i]),
            prompt_tokens=min(int(t.prompt_tokens[i]), int(s.max_context_tokens[m])),
            output_tokens=min(int(t.output_tokens[i]), MAX_OUTPUT),
            deadline_s=float(t.arrival_s[i]) + objective_s,
            model=m,
            origin=r,
            tier=k,
            choice=choice,
            resident=resident,
        )
        found.append(job)
    return found


def check(case: Case) -> None:
    s = case.scenario
    theta = np.full((len(s.models), len(s.gpus)), THETA)
    sim = Simulator(s, theta, records=True)
    sim.reset(case.trace, case.seed)
    fresh = build_state(s, theta, case.seed, 1)
    clock = fresh.clock[0]
    random = Random(int(clock["rng1"]), int(clock["rng2"]), int(fresh.config[0]["draws"]))
    jobs = requests(case, random)
    cluster = Cluster(s, THETA, random, jobs)
    cluster.start(sim.initial_fleet())
    try:
        for wait, action in case.steps:
            sim.apply(action)
            decide(cluster, sim, action)
            sim.advance(sim.time_s + wait)
            cluster.advance(sim.time_s)
            compare(sim, cluster, jobs)
        sim.advance(sim.time_s + 60.0)
        cluster.advance(sim.time_s)
    except TooCloseToCall:
        event("too close to call")
        assume(False)
    compare(sim, cluster, jobs)
    for what, much in cluster.counts.items():
        event(f"{what}: {'some' if much else 'none'}")
    event(f"refused: {any(j.refused for j in jobs)}, preempted: {any(j.preemptions for j in jobs)}")


def decide(cluster: Cluster, sim: Simulator, action: ClusterAction) -> None:
    s = sim.scenario
    assert action.router is not None and action.routing is not None
    cluster.router = action.router
    cluster.routing = np.asarray(action.routing)
    shape = (len(s.models), len(s.tiers))
    limits = np.full(shape, np.inf) if action.admission is None else action.admission
    cluster.limits_s = np.asarray(limits).tolist()
    cluster.target = sim.clip_targets(action.instances)
    cluster.reconcile(sim.time_s)


def compare(sim: Simulator, cluster: Cluster, jobs: list[Request]) -> None:
    s, records = sim.scenario, sim.records()
    seen = len(records["ttft_s"])
    expected: dict[str, list[float]] = {"ttft_s": [], "e2e_s": [], "served_region": []}
    for job in jobs[:seen]:
        first_s, last_s = (s.round_trip[job.origin, r] for r in (job.first_served, job.served))
        done = not np.isnan(job.completed_s)
        expected["ttft_s"].append(job.first_token_s - job.arrival_s + first_s)
        expected["e2e_s"].append(job.completed_s - job.arrival_s + last_s)
        expected["served_region"].append(job.served if done else np.nan)
    for name, values in expected.items():
        np.testing.assert_allclose(records[name], values, rtol=0, atol=TOLERANCE_S, err_msg=name)
    refused = np.zeros((len(s.models), len(s.regions), len(s.tiers)), dtype=np.int64)
    for job in jobs:
        refused[job.model, job.origin, job.tier] += job.refused
    assert sim.state.count["refused"].tolist() == refused.tolist()
    totals: dict[str, Any] = {name: int(sim.state.clock[0][name]) for name in cluster.counts}
    assert totals == cluster.counts
    state = [(int(v["state"]), int(v["model"]), int(v["endpoint"])) for v in sim.state.vm]
    names = ("cold", "provisioning", "loading", "active", "draining", "spot", "lost")
    assert state == [(names.index(v.state), v.model, v.endpoint) for v in cluster.vms]


@pytest.mark.compiled
@settings(max_examples=60)
@given(case=cases())
def test_kernel_equals_reference(case: Case) -> None:
    check(case)


@pytest.mark.compiled
@pytest.mark.slow
@settings(max_examples=500)
@given(case=cases())
def test_kernel_equals_reference_in_many_cases(case: Case) -> None:
    check(case)
