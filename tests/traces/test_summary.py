"""What `sageserve trace info` counts, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sageserve_traces import RequestTrace
from sageserve_traces.summary import summarise


def test_summary_by_hand(small: RequestTrace) -> None:
    summary = summarise(small)
    assert summary["requests"] == 6
    assert summary["requests_per_s"] == pytest.approx(6 / 120)
    assert summary["peak_minute_requests_per_s"] == pytest.approx(3 / 60)
    assert summary["shares"]["tiers"] == pytest.approx({"IW-F": 0.5, "IW-N": 1 / 6, "NIW": 1 / 3})
    assert summary["shares"]["models"]["llama-3.1-8b"] == pytest.approx(1 / 6)
    prompt = summary["tiers"]["IW-F"]["prompt_tokens"]
    assert (prompt["mean"], prompt["p50"], prompt["p99"]) == (pytest.approx(1000 / 3), 400, 500)
    gaps = np.diff(small.arrival_s)
    assert summary["arrival_cv"] == pytest.approx(gaps.std() / gaps.mean())


def test_chunks_do_not_matter(poisson_trace: RequestTrace) -> None:
    class Pieces(RequestTrace):
        def chunks(self, start_s: float = 0.0, max_requests: int = 7):  # noqa: ANN202
            return super().chunks(start_s, 7)

    fields = {name: getattr(poisson_trace, name) for name in poisson_trace.__dataclass_fields__}
    mine, its = summarise(Pieces(**fields)), summarise(poisson_trace)
    assert mine.pop("arrival_cv") == pytest.approx(its.pop("arrival_cv"))
    assert mine == its


def test_an_empty_trace(small: RequestTrace) -> None:
    empty = replace(RequestTrace.empty(small), duration_s=0.0)
    assert summarise(empty)["requests"] == 0
