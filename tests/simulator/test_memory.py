"""Where arrays lie never shows in what they hold; numbers that do not fit are refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sageserve_env._config import ScenarioError
from sageserve_env.simulator.build import check_ranges
from sageserve_env.simulator.memory import HUGE_PAGE_BYTES, LINE_BYTES, PAIR_BYTES, together, zeros
from sageserve_env.simulator.state import REQUEST, VM, State
from tests.simulator.small import scenario, simulator


@pytest.mark.parametrize("length", [0, 1, 1000, HUGE_PAGE_BYTES // 8 + 3])
def test_arrays_start_at_a_pair_of_lines_and_are_zero(length: int) -> None:
    array = zeros(length, np.dtype(np.int64))
    assert array.shape == (length,) and not array.any()
    assert array.ctypes.data % PAIR_BYTES == 0
    array[:] = 1  # all of it can be written


def test_copies_lie_in_one_block_without_overlap() -> None:
    arrays = {
        "a": np.arange(5, dtype=np.int32),
        "b": np.zeros((0, 4)),
        "c": np.arange(300_000.0).reshape(3, -1),
    }
    placed = together(arrays)
    for name, array in arrays.items():
        assert placed[name].dtype == array.dtype
        assert (placed[name] == array).all() and placed[name].shape == array.shape
        assert placed[name].ctypes.data % PAIR_BYTES == 0
        assert placed[name].flags.c_contiguous and placed[name].flags.writeable
    placed["a"][:] = 7
    assert (placed["c"] == arrays["c"]).all() and arrays["a"][1] == 1


def test_records_fill_whole_lines() -> None:
    assert VM.itemsize % LINE_BYTES == 0 and REQUEST.itemsize == 2 * LINE_BYTES
    assert REQUEST.fields is not None and VM.fields is not None
    assert REQUEST.fields["state"][1] < LINE_BYTES <= REQUEST.fields["objective_s"][1]
    assert VM.fields["state"][1] < 2 * LINE_BYTES <= VM.fields["since_s"][1]


def test_a_copied_and_a_pickled_state_share_nothing_with_the_original() -> None:
    state = simulator(scenario(), [(0.0, 10, 5)]).state
    for other in (state.copy(), pickle.loads(pickle.dumps(state))):
        assert isinstance(other, State) and other.address != state.address
        for name, _, _ in State.FIELDS:
            assert getattr(other, name).tobytes() == getattr(state, name).tobytes(), name
        other.vm["kv_used"] = 3
        assert not (state.vm["kv_used"] == 3).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batching": {"max_sequences": 40_000}}, "batching.max_sequences: at most 32767"),
        ({"vms": 33_000}, "VMs of a region: at most 32767"),
        ({"kv_tokens": 2_000_000_000}, "KV tokens of an instance: at most 1073741824"),
    ],
)
def test_what_does_not_fit_the_records_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        check_ranges(scenario(**change))  # type: ignore[arg-type]
