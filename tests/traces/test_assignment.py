"""The rule that assigns models, regions and tiers."""

from __future__ import annotations

import numpy as np
import pytest

from sageserve_traces import RequestTrace, TraceError, assign
from sageserve_traces.o365 import O365


@pytest.fixture
def plain() -> RequestTrace:
    n = 60_000
    zeros = [np.zeros(n, int)] * 3
    return RequestTrace(np.arange(n, dtype=float), *zeros, *([np.ones(n, int)] * 2))


def shares(codes: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(codes, minlength=n) / len(codes)


def test_default_shares(plain: RequestTrace) -> None:
    trace = assign(plain, 5)
    assert shares(trace.tier, 3) == pytest.approx([0.64, 0.16, 0.20], abs=0.01)
    for c, rows in ((0, trace.tier < 2), (1, trace.tier == 2)):
        base = O365.base_rps[c] / O365.base_rps[c].sum()
        assert shares(trace.model[rows], 4) == pytest.approx(base, abs=0.02)
        assert shares(trace.region[rows], 3) == pytest.approx(O365.region_shares[c], abs=0.02)


def test_own_shares_by_name_or_order(plain: RequestTrace) -> None:
    trace = assign(plain, 5, model_shares={"bloom-176b": 1}, region_shares=[0, 1, 3])
    assert set(trace.model) == {1}
    assert shares(trace.region, 3) == pytest.approx([0, 0.25, 0.75], abs=0.01)


def test_columns_do_not_disturb_each_other(plain: RequestTrace) -> None:
    everything, only = assign(plain, 5), assign(plain, 5, columns=["model", "tier"])
    assert np.array_equal(everything.model, only.model)
    assert not only.region.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_shares": {"gpt": 1}}, "unknown model 'gpt'"),
        ({"region_shares": [1, 2]}, "2 region shares for 3 names"),
        ({"tier_shares": [0, 0, 0]}, "not all 0"),
        ({"tier_shares": [1, -1, 1]}, "must be >= 0"),
        ({"columns": ["colour"]}, "unknown column 'colour'"),
    ],
)
def test_bad_shares(plain: RequestTrace, options: dict, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        assign(plain, 0, **options)
