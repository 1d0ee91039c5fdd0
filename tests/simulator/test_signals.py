"""What is asked of the utilisation of an endpoint, and which queues that brings up to date."""

from __future__ import annotations

import pytest

from sageserve_env.simulator.signals import seen_below, seen_utilisation
from tests.simulator.small import scenario, simulator

# 4,900 tokens at 0 in chunks of 500, 0.6 s each: 2,000 are done at 2.5, which nobody asked for yet.
# theta 1000: load = (4,900 routed + 2,900 queued) / 60,000 = 0.13, by the old queue 0.163.
NOW_S, LOAD, OLD = 2.5, 7800 / 60_000, 9800 / 60_000


@pytest.mark.parametrize(
    ("bound", "below", "queued"),
    [(OLD + 0.01, True, 4900), (LOAD + 0.01, True, 2900), (LOAD - 0.01, False, 2900)],
)
def test_queues_are_brought_up_to_date_where_they_decide(
    bound: float, below: bool, queued: int
) -> None:
    sim = simulator(scenario(kv_tokens=100_000), [(0.0, 4900, 1)])
    sim.advance(NOW_S)
    assert sim.state.endpoint[0]["queued_tokens"] == 4900
    assert seen_below(sim.state, 0, bound, NOW_S) is below
    assert sim.state.endpoint[0]["queued_tokens"] == queued
    assert (seen_utilisation(sim.state, 0, NOW_S) < bound) is below
    sim.check_invariants()


def test_memory_that_is_full_decides_alone() -> None:
    sim = simulator(scenario(kv_tokens=5000), [(0.0, 3900, 1)])
    sim.advance(NOW_S)
    assert not seen_below(sim.state, 0, 0.7, NOW_S)  # 3,901 of 5,000
    assert sim.state.endpoint[0]["queued_tokens"] == 3900
