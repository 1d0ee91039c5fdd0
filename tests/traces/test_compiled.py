"""Code on disk is found where it runs, and never when the sources are others."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from sageserve_traces import compiled

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


def twice(x: int) -> int:
    return 2 * x


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a maker of kernels whose native caches are empty and whose common code is shared."""
    monkeypatch.setattr(compiled, "COMMON", tmp_path / "common")
    (tmp_path / "common").mkdir()
    folders = iter(range(100))

    def kernel(stamp: str) -> Any:
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / str(next(folders))))
        function = numba.njit(twice)
        assert compiled.keep(function, stamp)
        return function

    return kernel


def hits(function: Any) -> int:
    assert function(21) == 42
    return sum(function.stats.cache_hits.values())


def test_code_for_common_processors_is_used_until_the_sources_change(
    make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "runs_common_code", lambda: True)
    assert hits(make("one")) == 0  # nothing there
    with monkeypatch.context() as fill:
        fill.setenv("SAGESERVE_FILL_COMMON", "1")
        assert hits(make("one")) == 0
    assert len(list(compiled.COMMON.glob("*.nbc"))) == 1
    assert hits(make("one")) == 1
    assert hits(make("two")) == 0
    monkeypatch.setenv("SAGESERVE_NATIVE", "1")
    assert hits(make("one")) == 0


def test_other_processors_compile(
    make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fill:
        fill.setenv("SAGESERVE_FILL_COMMON", "1")
        hits(make("one"))
    monkeypatch.setattr(compiled, "runs_common_code", lambda: False)
    assert hits(make("one")) == 0


def test_another_machine_does_not_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.platform, "machine", lambda: "aarch64")
    assert not compiled.runs_common_code.__wrapped__()


def test_a_processor_without_one_of_the_instructions_does_not_run_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled.platform, "machine", lambda: "x86_64")
    have = dict.fromkeys(compiled.FEATURES, True)
    monkeypatch.setattr(compiled.llvm, "get_host_cpu_features", lambda: have)
    assert compiled.runs_common_code.__wrapped__()
    have["avx2"] = False
    assert not compiled.runs_common_code.__wrapped__()


def test_an_index_that_cannot_be_read_is_an_empty_one(
    make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled, "runs_common_code", lambda: False)
    assert hits(make("one")) == 0
    (index,) = tmp_path.rglob("*.nbi")
    of_a_class_that_went = pickle.dumps(numba.__version__) + b"csageserve_env.nothing\nNothing\n."
    index.write_bytes(of_a_class_that_went)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(index.parents[1]))
    function = numba.njit(twice)
    assert compiled.keep(function, "one")
    assert hits(function) == 0
    assert hits(function) == 0 and pickle.loads(index.read_bytes()) == numba.__version__
