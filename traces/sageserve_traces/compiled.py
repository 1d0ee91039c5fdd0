"""Compiled code on disk: one cache for the processor at hand, and one that came with the package.

Numba keys what it compiles by the name of the processor, so code that was compiled on one machine
is never used on another. Kernels compiled for a common instruction set (x86-64-v3: AVX2 and FMA,
most processors since 2013) run on all of these, about a tenth slower than code for the processor
itself. `KernelCache` looks for native code first, then for such code in the folder ``COMMON``,
which ``python -m sageserve_env.precompile`` fills; if it finds neither, Numba compiles.

Both are bound to a stamp over the sources and to the versions of Numba and Python: other code is
never run. ``SAGESERVE_NATIVE=1`` leaves the common code aside.
"""

# Numba's caches have no types.
# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core.caching import FunctionCache, IndexDataCacheFile

COMMON = Path(__file__).parent / "_common_code"
CPU = "x86-64-v3"
FEATURES = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sse4.2")


def native_only() -> bool:
    """Return whether the user wants code for the processor at hand only."""
    return os.environ.get("SAGESERVE_NATIVE") == "1"


def filling() -> bool:
    """Return whether this process compiles for the folder ``COMMON``."""
    return os.environ.get("SAGESERVE_FILL_COMMON") == "1"


@functools.cache
def runs_common_code() -> bool:
    """Return whether this processor has the common instruction set."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    have = llvm.get_host_cpu_features()
    return all(have.get(feature, False) for feature in FEATURES)


class _CacheFile(IndexDataCacheFile):
    """Files of a cache; an index that other sources wrote and these cannot read is an empty one."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # whatever unpickling runs into, as a class that is not there any more
            return {}


class KernelCache(FunctionCache):
    """Cache of one kernel.

    Args:
        function: The kernel's Python function.
        stamp: Text over all sources that its code depends on.
    """

    def __init__(self, function: Callable[..., Any], stamp: str) -> None:
        super().__init__(function)
        base = self._impl.filename_base
        path = COMMON if filling() else Path(self._cache_path)
        self._cache_file = _CacheFile(str(path), base, stamp)
        self._common_file = _CacheFile(str(COMMON), base, stamp)

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super()._load_overload(sig, target_context)
        if found is not None or filling() or native_only() or not runs_common_code():
            return found
        data = self._common_file.load(self._common_key(sig, target_context.codegen()))
        return None if data is None else self._impl.rebuild(target_context, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        if filling():
            return self._common_key(sig, codegen)
        return super()._index_key(sig, codegen)

    def _common_key(self, sig: Any, codegen: Any) -> Any:
        """Return Numba's key with the common instruction set for the processor's name."""
        sig, (triple, _, _), hashes = super()._index_key(sig, codegen)
        return sig, (triple, CPU, FEATURES), hashes


def keep(compiled: Any, stamp: str) -> bool:
    """Let a kernel of ``numba.njit`` use `KernelCache`; False where nothing is compiled."""
    if not hasattr(compiled, "_cache"):  # NUMBA_DISABLE_JIT=1
        return False
    compiled._cache = KernelCache(compiled.py_func, stamp)
    return True
