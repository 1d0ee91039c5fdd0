"""A doctored future changes nothing that is seen before it, with every promise and option on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from sageserve_env.actions import ClusterAction
from sageserve_env.options import FaultConfig, TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.view import ClusterView
from sageserve_traces.prefixes import Blocks, build_trie
from sageserve_traces.trace import RequestTrace
from tests.simulator.small import TIERS, scenario
from tests.simulator.strategies import random_trace

CUT_S = 30.0


def everything() -> Scenario:
    """Return a cluster with promises, fading labels, residents and memory that grows."""
    tiers = (
        dataclasses.replace(TIERS[0], tpot_s=0.07),
        TIERS[1],
        TierConfig("NIW", (40.0, 90.0), "completion", False, 0.999, 2),  # type: ignore[arg-type]
    )
    regions = tuple(RegionConfig(r, {"gpu": 4}, f, 0.3) for r, f in (("west", 1.0), ("east", 1.2)))
    made = scenario(
        regions=("west", "east"),
        tiers=tiers,
        slo_scale=None,
        kv_tokens=2000,
        round_trip_s=0.02,
        initial_instances=2,
        batching={"kv_policy": "growth"},
        lifecycle={
            "jitter": 0.2,
            "boot_s": 3.0,
            "load_gb_per_s": 1.0,
            "spot_same_model_s": 1.0,
            "label_half_life_s": 10.0,
        },
        routing={"region_age_s": 2.0},
    )
    return made.replace(regions=regions)


FAULTS = {
    "crash_per_hour": 100.0,
    "eviction_per_hour": 100.0,
    "provision_failure": 0.2,
    "slow_share": 0.3,
    "stale_metrics_s": 3.0,
    "outage_region": "east",
    "outage_start_s": 12.0,
    "outage_duration_s": 8.0,
}
BLOCK = 100


def in_sessions(trace: RequestTrace, rng: np.random.Generator) -> RequestTrace:
    """Return the trace as closed sessions whose turns begin with the blocks of the turns before."""
    n = len(trace.arrival_s)
    session = np.sort(rng.integers(0, n // 4, n))
    first = np.searchsorted(session, session)
    turn = np.arange(n) - first
    prompt = np.minimum(trace.prompt_tokens[first] + 150 * turn, 900).astype(np.int32)
    paths = [
        [1000 * int(k) + b for b in range(p // BLOCK)] for k, p in zip(session, prompt, strict=True)
    ]
    blocks = np.array([b for path in paths for b in path], dtype=np.int64)
    offsets = np.append(0, np.cumsum([len(path) for path in paths]))
    prefixes, node = build_trie(Blocks(blocks, offsets), BLOCK)
    start_s = np.sort(rng.uniform(0.0, 40.0, n))[first]
    order = np.argsort(start_s + 0.1 * turn, kind="stable")
    return dataclasses.replace(
        trace,
        arrival_s=(start_s + 0.1 * turn)[order],
        region=trace.region[first][order],
        tier=trace.tier[first][order],
        prompt_tokens=prompt[order],
        session=session[order].tolist(),
        think_s=np.where(turn > 0, rng.exponential(8.0, n), 0.0)[order],
        prefix_node=node[order],
        prefixes=prefixes,
    )


def earliest_s(trace: RequestTrace) -> np.ndarray[Any, Any]:
    """Return the time before which a request cannot arrive, however fast answers are."""
    if trace.session is None or trace.think_s is None:
        return trace.arrival_s
    found = trace.arrival_s.copy()
    last: dict[int, float] = {}
    for i, k in enumerate(trace.session):
        found[i] = last[k] + trace.think_s[i] if k in last else found[i]
        last[k] = found[i]
    return found


def views(sim: Simulator, until_s: float) -> list[ClusterView]:
    rng = np.random.default_rng(1)
    found = []
    for second in range(1, int(until_s) + 1):
        limits = rng.exponential(3.0, (1, 3))
        sim.apply(ClusterAction(rng.integers(0, 4, (2, 1)), admission=limits))
        sim.advance(float(second))
        found.append(sim.view())
    return found


def assert_same(seen: list[list[ClusterView]]) -> None:
    for a, b in zip(*seen, strict=True):
        for field in dataclasses.fields(ClusterView):
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, field.name


@pytest.mark.parametrize("faults", [{}, FAULTS])
@pytest.mark.parametrize("sessions", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_arrivals_to_come_are_not_seen(seed: int, sessions: bool, faults: dict[str, Any]) -> None:
    of = everything().replace(faults=FaultConfig(**faults))
    rng = np.random.default_rng(seed)
    trace = random_trace(of, 150, rng)
    if sessions:
        cached = {"prefix_cache": "lru", "prefix_block_tokens": BLOCK}
        of = of.replace(
            workload=dataclasses.replace(of.workload, sessions="closed"),
            batching=dataclasses.replace(of.batching, **cached),
        )
        trace = in_sessions(trace, rng)
    later = earliest_s(trace) > CUT_S
    assert 10 < later.sum() < len(later) - 10
    longer, more = trace.prompt_tokens.copy(), trace.output_tokens.copy()
    longer[later] += 500
    more[later] = 200
    doctored = dataclasses.replace(trace, prompt_tokens=longer, output_tokens=more)
    seen = []
    for one in (trace, doctored):
        sim = Simulator(of, np.full((1, 1), 1000.0))
        sim.reset(one, seed)
        seen.append(views(sim, CUT_S))
        sim.check_invariants()
    assert_same(seen)


def test_an_output_that_is_not_finished_is_not_seen() -> None:
    of = everything()
    trace = random_trace(of, 150, np.random.default_rng(0))
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(trace, 0)
    views(sim, CUT_S)
    finished = np.isfinite(sim.records()["e2e_s"])
    output = trace.output_tokens.copy()
    output[: len(finished)][~finished] += 300
    output[len(finished) :] += 300
    seen = []
    for one in (trace, dataclasses.replace(trace, output_tokens=output)):
        sim = Simulator(of, np.full((1, 1), 1000.0))
        sim.reset(one, 0)
        seen.append(views(sim, CUT_S - 1.0))
    assert_same(seen)
