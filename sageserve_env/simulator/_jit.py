"""The one place where the kernels meet Numba.

Kernels are compiled without the GIL and cached on disk. Numba stamps a cache entry with the file
of the function itself only; a kernel that calls one in another file would survive an edit there.
So the entries are stamped with the contents of all folders that hold kernels instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import types
from numba.core.caching import IndexDataCacheFile

from sageserve_env.simulator._handle import CHECK_BOUNDS

F = TypeVar("F", bound=Callable[..., Any])


def _package_stamp() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {CHECK_BOUNDS}".encode())
    here = Path(__file__).parent
    package = here.parent
    folders = (here, package / "kernels", package / "policies")
    constants = [package / name for name in ("view.py", "knobs.py", "forms.py")]  # in kernels too
    for path in sorted([*(p for folder in folders for p in folder.glob("*.py")), *constants]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _package_stamp()


def jit(function: F) -> F:
    """Compile a kernel in nopython mode, cached, without the GIL."""
    return _compiled(function, forceinline=False)


def hot(function: F) -> F:
    """Compile a kernel like `jit`, and copy its code into every kernel that calls it.

    For what runs at nearly every event: the compiler then sees one long function, loads each field
    once and keeps it in a register.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: F, *, forceinline: bool) -> F:
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=forceinline)(
        function
    )
    cache = getattr(compiled, "_cache", None)  # absent with NUMBA_DISABLE_JIT=1
    if cache is not None and hasattr(cache, "_cache_file"):
        cache._cache_file = IndexDataCacheFile(  # type: ignore[no-untyped-call]
            cache_path=cache._cache_path,
            filename_base=cache._impl.filename_base,
            source_stamp=_STAMP,
        )
    if cache is not None:
        _call_with_wide_numbers(compiled)
    return cast(F, compiled)


def _call_with_wide_numbers(compiled: Any) -> None:
    """Let kernels that call this one pass 64-bit numbers, so that it is compiled once.

    Numba would compile another version for each literal and each narrower integer.
    """
    resolve = compiled.get_call_template

    def widened(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return resolve(tuple(_wide(a) for a in args), kws)

    compiled.get_call_template = widened


def _wide(argument: Any) -> Any:
    plain = types.unliteral(argument)  # type: ignore[no-untyped-call]
    return types.int64 if isinstance(plain, types.Integer) else plain
