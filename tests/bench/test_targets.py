"""Service targets and margins."""

from __future__ import annotations

import pytest

from sageserve_bench.analysis.targets import Targets


def test_targets_as_good_as_a_service() -> None:
    targets = Targets({"slo_iwf": 0.95, "slo_worst_model": 0.90})
    # Three fifths of what is allowed are missed of either.
    easy = {"slo_iwf": 0.97, "slo_worst_model": 0.94, "unfinished_share": 0.0}
    asked = targets.as_good_as(easy)
    assert asked.floors["slo_iwf"] == pytest.approx(0.97)
    assert asked.floors["slo_worst_model"] == pytest.approx(0.94)
    # The worst model misses 1.2 times what is allowed; of IW-F no less is asked than was attained.
    hard = {"slo_iwf": 0.948, "slo_worst_model": 0.88, "unfinished_share": 0.0}
    asked = targets.as_good_as(hard)
    assert asked.floors["slo_iwf"] == pytest.approx(0.948)
    assert asked.floors["slo_worst_model"] == pytest.approx(0.88)
    for service in (easy, hard):
        assert not targets.as_good_as(service).misses(service)
