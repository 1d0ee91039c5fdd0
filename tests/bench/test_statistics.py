"""Statistics against values that rliable's own tests publish, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_bench.analysis import statistics
from sageserve_bench.analysis.statistics import Floats

# tests/rliable/metrics_test.py of github.com/google-research/rliable: runs x tasks.
X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]], dtype=np.float64)
Y = np.array([[1, 1], [2, 2], [3, 3]], dtype=np.float64)


def strata(scores: Floats) -> list[Floats]:
    return list(scores.T)


def test_published_values_of_rliable() -> None:
    assert statistics.iqm(X.ravel()) == 1.5
    assert statistics.iqm(Y.ravel()) == 2.0
    assert statistics.mean(X.ravel()) == 1.5
    improvement = statistics.probability_of_improvement(strata(X), strata(Y))
    assert improvement == pytest.approx(1 / 3)


def test_improvement_over_itself_is_a_half() -> None:
    assert statistics.probability_of_improvement(strata(X), strata(X)) == 0.5


def test_iqm_cuts_a_quarter_rounded_down() -> None:
    assert statistics.iqm(np.array([0.0, 1.0, 2.0, 100.0])) == 1.5
    assert statistics.iqm(np.array([0.0, 1.0, 5.0])) == 2.0  # nothing to cut


def test_intervals_contain_the_estimate() -> None:
    scores = np.arange(80, dtype=np.float64).reshape(5, 16)  # rliable's library_test.py
    found = statistics.estimate(strata(scores), np.random.default_rng(0))
    assert found.runs == 80
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    again = statistics.estimate(strata(scores), np.random.default_rng(0))
    assert again == found


def test_strata_are_resampled_by_themselves() -> None:
    # No run varies within its stratum, so no resample differs.
    found = statistics.estimate([np.full(4, 1.0), np.full(4, 9.0)], np.random.default_rng(0))
    assert (found.value, found.low, found.high) == (5.0, 5.0, 5.0)


def test_one_run_has_no_interval() -> None:
    found = statistics.estimate([np.array([3.0])], np.random.default_rng(0))
    assert found == (3.0, None, None, 1)


def test_paired_differences_remove_what_seeds_share() -> None:
    easy_and_hard = np.array([10.0, 100.0, 1000.0])
    rng = np.random.default_rng(0)
    found = statistics.paired([easy_and_hard + 2.0], [easy_and_hard], rng)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="same runs"):
        statistics.paired([easy_and_hard], [easy_and_hard[:2]], rng)


def test_interval_of_improvement() -> None:
    found = statistics.improvement(
        [np.array([2.0, 3.0, 4.0])], [np.array([1.0, 2.0, 3.0])], np.random.default_rng(1)
    )
    assert found.value == pytest.approx((6 + 0.5 * 2) / 9)
    assert found.low is not None and found.low < found.value
    assert found.high is not None and found.high <= 1.0


def test_pareto_front() -> None:
    cost = [3.0, 1.0, 2.0, 2.5]
    service = [0.99, 0.90, 0.95, 0.94]
    assert statistics.pareto_front(cost, service) == [1, 2, 0]
