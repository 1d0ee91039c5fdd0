"""Prefix caches where VM types differ: the weight of a prompt's time, the best instance of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env.catalogue import GpuType, LatencyProfile, Model
from sageserve_env.scenario import RegionConfig
from sageserve_env.simulator.by_prefix import best_for, prefix_score
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import SIMPLE, scenario, trace
from tests.simulator.test_prefix_engine import BLOCK, with_paths

SLOW = LatencyProfile(0.2, 0.004, 0.0, 0.05, 0.01, 0.0)


def two_types(kv_tokens: int = 10_000, **changes: Any) -> Any:
    """Return a scenario of a region with three slow and three fast VMs."""
    profiles = {"slow": SLOW, "fast": SIMPLE}
    return scenario(**changes).replace(
        regions=(RegionConfig("here", {"slow": 3, "fast": 3}),),
        gpus=("slow", "fast"),
        custom_models=(Model("m", 1e9, 1.0, 100_000, profiles, float(kv_tokens)),),
        custom_gpus=tuple(GpuType(name, 8, 80e9, 36.0, 18.0) for name in profiles),
    )


def test_the_time_of_the_prompt_decides_between_vm_types() -> None:
    # 100 tokens take 0.2 + 0.4 s on the slow instance and 0.1 + 0.1 s on the fast one. The first
    # of equals is the slow one, which pays nothing for the prompt unless its time is weighed. The
    # second prompt waits for the first on the fast one, which is less than the 0.4 s that it saves.
    def ttft_s(**weights: float) -> list[float]:
        of = two_types(routing={"router": "least_wait", "weights": weights})
        sim = Simulator(of, np.full((1, 2), 1000.0), records=True)
        sim.reset(trace([(0.0, 100, 1), (0.0, 100, 1)], of), initial=np.ones((1, 2), np.int64))
        sim.advance(100.0)
        sim.check_invariants()
        return [float(t) for t in sim.records()["ttft_s"]]

    assert sorted(ttft_s()) == pytest.approx([0.2, 0.6])
    assert ttft_s(prompt_s=1.0) == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("weights", [{}, {"prompt_s": 1.0}, {"prompt_s": 2.0, "prefix_s": 0.0}])
def test_the_best_instance_is_that_of_all(weights: dict[str, float]) -> None:
    # The short cut over holders against the score of every member, at many arrivals.
    rng = np.random.default_rng(3)
    of = two_types(
        kv_tokens=1500,
        batching={"prefix_cache": "lru", "prefix_block_tokens": BLOCK, "max_output_tokens": 100},
        routing={"router": "prefix_affinity", "weights": weights},
    )
    n = 150
    paths = [rng.integers(0, 2, rng.integers(1, 15)).tolist() for _ in range(n)]
    rows = [(0.1 * i, BLOCK * len(p) + 5, int(rng.integers(1, 40))) for i, p in enumerate(paths)]
    sim = Simulator(of, np.array([[500.0, 1000.0]]))
    sim.reset(with_paths(rows, paths, of), initial=np.full((1, 2), 3))
    for i in range(n):
        sim.advance(0.1 * i - 1e-6 if i else 0.0)
        probe = int(rng.integers(0, len(sim.state.trie)))
        slot = len(sim.state.request) - 1
        request = sim.state.request[slot]
        request["node"], request["target"], request["model"] = probe, 1000, 0
        found, least = best_for(sim.state, slot, 0, sim.time_s)
        scores = [prefix_score(sim.state, slot, 0, place) for place in range(6)]
        assert least == scores[found] == min(scores)
        assert found == int(np.argmin(scores))
