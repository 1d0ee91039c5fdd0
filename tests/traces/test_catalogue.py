"""`make_trace`, named traces and downloads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import (
    RequestTrace,
    SyntheticTrace,
    TraceError,
    catalogue,
    download,
    list_traces,
    make_trace,
    parse_duration,
)
from sageserve_traces.named import NamedTrace, TraceFile

CSV = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2024-05-10 00:00:{i:02d},{100 + i},{i}\n" for i in range(50)
)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one small trace at a file address; an empty cache."""
    origin = tmp_path / "origin" / "tiny.csv"
    origin.parent.mkdir()
    origin.write_text(CSV)
    file = TraceFile("tiny.csv", origin.as_uri(), hashlib.sha256(CSV.encode()).hexdigest())
    entry = NamedTrace("tiny", "fifty requests", "test", "MIT", (file,))
    monkeypatch.setitem(catalogue.TRACES, "tiny", entry)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SAGESERVE_TRACE_DIR", raising=False)
    return origin


def test_names_and_facts() -> None:
    names = [entry.name for entry in list_traces()]
    assert names == [
        "o365",
        "global",
        "global-scheduled",
        "global-flash",
        "pair",
        "solo",
        "sessions",
        "azure-2023-conv",
        "azure-2023-code",
        "mooncake-conversation",
        "burstgpt",
        "azure-2024-code-week",
    ]
    for entry in list_traces():
        assert entry.licence
        assert all(len(file.sha256) == 64 for file in entry.files)


def test_a_missing_file_says_how_to_get_it(named: Path) -> None:
    with pytest.raises(TraceError, match=r"sageserve trace download tiny.*SAGESERVE_TRACE_DIR"):
        make_trace("tiny")


def test_download_from_an_address_then_use(named: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    (path,) = download("tiny", progress=lambda done, total: seen.append(done))
    assert path.is_relative_to(tmp_path / "cache")
    assert seen[-1] == len(CSV)
    trace = make_trace("tiny", seed=1)
    assert (len(next(iter(trace.chunks()))), trace.name, trace.split) == (50, "tiny", "test")
    named.unlink()
    assert download("tiny") == [path]


def test_a_file_on_disk_is_used(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download("tiny", file=named, target=tmp_path / "mine" / "deep")
    monkeypatch.setenv("SAGESERVE_TRACE_DIR", str(tmp_path / "mine"))
    assert make_trace("tiny").duration_s == 50.0


def test_wrong_content_is_refused_and_nothing_is_left(named: Path, tmp_path: Path) -> None:
    named.write_text(CSV + "x")
    with pytest.raises(TraceError, match="SHA-256 differs"):
        download("tiny")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    with pytest.raises(TraceError, match="cannot be read"):
        download("tiny", file=tmp_path / "none")
    named.unlink()
    with pytest.raises(TraceError, match="cannot be downloaded"):
        download("tiny")


def test_another_file_of_that_name_is_not_the_trace(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.csv").write_text(CSV + "2024-05-10 00:01:00,1,1\n")
    monkeypatch.setenv("SAGESERVE_TRACE_DIR", str(tmp_path / "other"))
    with pytest.raises(TraceError, match=r"is not the published tiny\.csv"):
        make_trace("tiny")


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="did you mean 'azure-2023-conv'"):
        make_trace("azure-2023-cov")
    with pytest.raises(TraceError, match="unknown trace"):
        download("nothing")


def test_order_tile_scale_assign_cut(named: Path) -> None:
    download("tiny")
    trace = make_trace("tiny", seed=3, tile_s=150.0, horizon_s=120.0)
    assert isinstance(trace, RequestTrace)
    assert trace.duration_s == 120.0
    assert np.array_equal(trace.arrival_s[50:100] - 50, trace.arrival_s[:50])
    assert not np.array_equal(trace.model[50:100], trace.model[:50])
    other = make_trace("tiny", seed=4, tile_s=150.0, horizon_s=120.0)
    assert np.array_equal(other.arrival_s, trace.arrival_s)
    assert not np.array_equal(other.model, trace.model)
    assert len(make_trace("tiny", scale=3.0, seed=1)) == 150  # type: ignore[arg-type]


def test_mix_is_that_of_the_file_whatever_follows(named: Path) -> None:
    download("tiny")
    plain, changed = make_trace("tiny"), make_trace("tiny", seed=9, scale=0.2, tile_s=500.0)
    for model in range(4):
        assert np.array_equal(plain.token_mix(model)[0], changed.token_mix(model)[0])


def test_o365_by_name() -> None:
    trace = make_trace("o365", seed=1500, horizon_s=3600.0, scale=2.0, start_hour_utc=12.0)
    assert trace == SyntheticTrace(1500, 3600 / 86400, 2.0, start_hour_utc=12.0)
    assert trace.split == "validation"
    assert make_trace("o365").duration_s == 86400.0
    burst = make_trace("o365", days=0.02, bursts=True)
    assert burst.name == "o365+burst"


def test_objects_pass_through(small: RequestTrace) -> None:
    assert make_trace(small) is small
    assert make_trace(small, tile_s=600.0).duration_s == 600.0
    longer = make_trace(SyntheticTrace(3), horizon_s=7200.0)
    assert isinstance(longer, SyntheticTrace)
    assert longer.duration_s == 7200.0


@pytest.mark.parametrize(
    "options", [{"days": -1}, {"scale": 0}, {"tile_s": float("nan")}, {"days": 1, "horizon_s": 5}]
)
def test_bad_options(options: dict) -> None:
    with pytest.raises(TraceError):
        make_trace("o365", **options)


def test_azure_2024_week(shared_traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESERVE_TRACE_DIR", str(shared_traces))
    week = make_trace("azure-2024-code-week", seed=1)
    assert week.duration_s == pytest.approx(7 * 86400, rel=0.01)
    assert week.rates_per_s.sum() * 600 == pytest.approx(16_803_695, rel=0.01)  # type: ignore[attr-defined]
    hour = make_trace("azure-2024-code-week", seed=1, horizon_s=3600.0)
    demand = hour.demand(600.0)
    expected = week.rates_per_s[:6] * 600  # type: ignore[attr-defined]
    assert demand.requests.sum(axis=(1, 2, 3)) == pytest.approx(expected, rel=0.05)
    part = np.concatenate([c.arrival_s for c in hour.chunks(1000.0)])
    assert part[0] >= 1000.0
    assert len(part) == demand.requests.sum() - sum(
        (c.arrival_s < 1000.0).sum() for c in hour.chunks()
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5min", 300), ("6h", 21600), ("1.5d", 129600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "0", "nan", "6 hours", "1e999d"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(TraceError, match="not a length of time"):
        parse_duration(text)
