"""The tournament of VM events and the order of a VM's sequences, against sorted lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.simulator.heaps import (
    NO_ITEM,
    ROOT,
    SLOT_BITS,
    next_event_s,
    push_sequence,
    remove_sequence,
    schedule,
    time_bits,
)
from tests.simulator.small import scenario, simulator

TIMES = st.sampled_from([0.0, 0.5, 1.0, 1.0 + 2**-52, 3.0, 1e9, np.inf])


@pytest.mark.parametrize("vms", [1, 2, 8, 9, 64, 65])
def test_the_root_is_the_earliest_event_and_of_equals_the_lower_vm(vms: int) -> None:
    s = simulator(scenario(vms=vms), []).state
    rng = np.random.default_rng(vms)
    times = s.vm["event_s"].copy()
    for v in rng.integers(0, vms, 200):
        times[v] = rng.choice([0.0, 1.0, 2.0, 2.5, np.inf])
        schedule(s, int(v), float(times[v]))
        assert next_event_s(s) == times.min()
        assert s.tree_vm[ROOT] == np.argmin(times)
    assert (s.vm["event_s"] == times).all()


@given(st.lists(TIMES, min_size=2, max_size=2))
def test_bits_are_ordered_as_the_times_are(pair: list[float]) -> None:
    one, other = pair
    assert (time_bits(one) < time_bits(other)) == (one < other)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 7)), min_size=1, max_size=60))
@settings(max_examples=50)
def test_sequences_leave_in_the_order_of_their_ends(moves: list[tuple[int, int]]) -> None:
    s = simulator(scenario(vms=1), []).state
    held: list[int] = []
    for slot, (end, place) in enumerate(moves):
        if held and place < len(held) and end % 3 == 0:
            held.remove(int(s.ends[0, place]))
            remove_sequence(s, 0, len(held) + 1, place)
        elif len(held) < 8:
            push_sequence(s, 0, len(held), end, slot)
            held.append((end << SLOT_BITS) | slot)
        assert int(s.vm[0]["first_item"]) == min(held, default=NO_ITEM)
        assert sorted(s.ends[0, : len(held)].tolist()) == sorted(held)
