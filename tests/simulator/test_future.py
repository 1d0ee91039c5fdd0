"""A doctored future changes nothing that is seen before it, with every promise and option on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sageserve_env.actions import ClusterAction
from sageserve_env.options import TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.view import ClusterView
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


def views(sim: Simulator, until_s: float) -> list[ClusterView]:
    rng = np.random.default_rng(1)
    found = []
    for second in range(1, int(until_s) + 1):
        limits = rng.exponential(3.0, (1, 3))
        sim.apply(ClusterAction(rng.integers(0, 4, (2, 1)), admission=limits))
        sim.advance(float(second))
        found.append(sim.view())
    return found


@pytest.mark.parametrize("seed", range(4))
def test_arrivals_to_come_and_outputs_to_come_are_not_seen(seed: int) -> None:
    of = everything()
    trace = random_trace(of, 150, np.random.default_rng(seed))
    later = trace.arrival_s > CUT_S
    longer = trace.prompt_tokens.copy()
    longer[later] = 600
    doctored = dataclasses.replace(trace, prompt_tokens=longer)
    seen = []
    for one in (trace, doctored):
        sim = Simulator(of, np.full((1, 1), 1000.0))
        sim.reset(one, seed)
        seen.append(views(sim, CUT_S))
        sim.check_invariants()
    for a, b in zip(*seen, strict=True):
        for field in dataclasses.fields(ClusterView):
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, field.name


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
    for a, b in zip(*seen, strict=True):
        for field in dataclasses.fields(ClusterView):
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, field.name
