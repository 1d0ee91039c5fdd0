"""Fixtures of the trace tests: the shared data files, and small traces by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import RequestTrace


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("the shared trace files (../shared/traces) are not on this machine")
    return folder


@pytest.fixture
def small() -> RequestTrace:
    """Six requests in two minutes."""
    return RequestTrace(
        arrival_s=np.array([0.0, 10.0, 20.0, 61.0, 70.0, 119.0]),
        model=np.array([0, 1, 2, 3, 0, 1]),
        region=np.array([0, 1, 2, 0, 1, 2]),
        tier=np.array([0, 1, 2, 0, 0, 2]),
        prompt_tokens=np.array([100, 200, 300, 400, 500, 600]),
        output_tokens=np.array([1, 2, 3, 4, 5, 6]),
        request_id=np.arange(6),
        duration_s=120.0,
        name="small",
    )


def poisson(n: int, rate: float, seed: int = 0) -> RequestTrace:
    """Return a Poisson trace with lognormal tokens."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1 / rate, n))
    return RequestTrace(
        arrival,
        rng.integers(0, 4, n),
        rng.integers(0, 3, n),
        rng.integers(0, 3, n),
        np.maximum(rng.lognormal(7, 1, n).astype(int), 1),
        np.maximum(rng.lognormal(4, 1, n).astype(int), 1),
        duration_s=float(arrival[-1]) + 1 if n else 1.0,
    )


@pytest.fixture
def poisson_trace() -> RequestTrace:
    return poisson(5000, 5.0)
