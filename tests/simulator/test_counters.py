"""What a view counts, by hand: the last five minutes of endpoints, and sums since time 0."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sageserve_env.scenario import load_scenario
from sageserve_env.simulator import counters
from sageserve_env.simulator.build import build_state
from sageserve_env.simulator.metrics import turn_window
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw, build_raw, survey
from sageserve_env.view import SOURCES, Counted, Source

Cluster = tuple[State, Raw]


@pytest.fixture
def cluster() -> Cluster:
    """Two models in two regions."""
    scenario = load_scenario("small-day")
    theta = np.ones((len(scenario.models), len(scenario.gpus)))
    return build_state(scenario, theta, 0, 60), build_raw(scenario, theta)


def test_what_was_counted_leaves_the_window_after_five_minutes(cluster: Cluster) -> None:
    s, raw = cluster
    for minute, found, asked in ((0, 10, 40), (3, 30, 40)):
        row = turn_window(s, 1, 60.0 * minute)
        s.recent[1, row, counters.FOUND_TOKENS] += found
        s.recent[1, row, counters.ASKED_TOKENS] += asked
    for now_s, share in ((180.0, 0.5), (299.0, 0.5), (300.0, 0.75), (479.0, 0.75), (480.0, 0.0)):
        s.clock[0]["now_s"] = now_s
        survey(s, raw)
        assert raw.prefix_hit_rate[1] == share, now_s
        assert raw.prefix_hit_rate[0] == 0.0


def test_counts_since_time_0_are_summed_over_the_axes_an_array_lacks(cluster: Cluster) -> None:
    s, raw = cluster
    s.count["refused"] = np.arange(s.count.size).reshape(s.count.shape)
    s.count["missed"] = 7  # beside it in the record
    for _ in range(2):  # a survey does not add to the one before
        survey(s, raw)
        np.testing.assert_array_equal(raw.refused, s.count["refused"].sum(axis=1))


def test_another_array_is_counted_by_its_row(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    s, raw = cluster
    end, (models, regions, _) = raw.flat.size, s.count.shape
    row = Counted("completed")
    monkeypatch.setitem(SOURCES, "done", Source("done", "MR", "completed", True, False, row))
    monkeypatch.setattr(counters, "_IN_ALL", {"done": row})
    monkeypatch.setattr(counters, "_BY_ENDPOINT", {})
    raw.put("flat", np.zeros(end + models * regions))
    for name, array in counters.plan({"done": (end, (models, regions))}).items():
        raw.put(name, array)
    s.count["completed"] = np.arange(s.count.size).reshape(s.count.shape)
    survey(s, raw)
    np.testing.assert_array_equal(raw.flat[end:], s.count["completed"].sum(axis=2).ravel())

    monkeypatch.setattr(counters, "_IN_ALL", {"done": Counted("ttft_s")})
    with pytest.raises(TypeError, match="done: expected a whole number"):
        counters.plan({"done": (end, (models, regions))})


def test_the_words_of_a_record_follow_its_array(cluster: Cluster) -> None:
    s, _ = cluster
    for one in (s, s.copy(), pickle.loads(pickle.dumps(s))):
        one.put("count", one.count.copy())
        one.count["refused"] = 3
        assert (one.count_words == 3).sum() == one.count.size
