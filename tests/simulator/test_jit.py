"""How kernels are compiled: what only kernels call is linked into what Python calls."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from sageserve_env.simulator import batching, heaps
from sageserve_env.simulator._handle import CHECK_BOUNDS
from tests.simulator.small import scenario, simulator

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(
        bool(numba.config.DISABLE_JIT) or CHECK_BOUNDS, reason="nothing is linked then"
    ),
]


def test_kernels_that_only_kernels_call_have_no_machine_code_of_their_own() -> None:
    simulator(scenario(), [(0.0, 10, 5)]).advance(100.0)
    inner: Any = batching._time_run
    assert not inner.overloads and not inner.stats.cache_misses


def test_a_kernel_that_both_call_works_for_both() -> None:
    sim = simulator(scenario(), [(0.0, 10, 5)])
    heaps.schedule(sim.state, 3, 2.0)
    assert heaps.next_event_s(sim.state) == 2.0
    heaps.schedule(sim.state, 3, float("inf"))
    sim.advance(100.0)
    assert sim.episode_metrics()["completed"] == 1
