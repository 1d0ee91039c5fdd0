"""The one place where the kernels meet Numba.

Kernels are compiled without the GIL and kept on disk (`sageserve_traces.compiled`). Numba stamps
what it keeps with the file of the function itself only; a kernel that calls one in another file
would survive an edit there. So the stamp here is over all folders that hold kernels. What is
optimised, turned into machine code and kept is a kernel that Python calls with all it contains;
kernels that only kernels call are typed and lowered once, and linked into those.
"""

# Numba's compiler has no types.
# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from sageserve_env.simulator._handle import CHECK_BOUNDS
from sageserve_traces.compiled import keep

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
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "forceinline": forceinline,
        "no_cfunc_wrapper": True,
    }
    njit: Any = numba.njit
    compiled = njit(**options)(function)
    if not keep(compiled, _STAMP):
        return cast(F, compiled)
    inner = compiled
    if not CHECK_BOUNDS:  # an error's message is part of what an inner kernel leaves out
        inner = njit(no_cpython_wrapper=True, pipeline_class=_InnerCompiler, **options)(function)
        compiled.get_overload = inner.get_overload
    _call_with_wide_numbers(compiled, inner.get_call_template)
    return cast(F, compiled)


class _InnerLibrary(JITCodeLibrary):
    """Code of a kernel that other kernels call: it is linked into theirs and never run itself.

    So it is not optimised, turned into machine code or kept on disk: all of that is done once, for
    the kernel that Python calls, with everything it contains. A kernel that is called by both is
    compiled twice, once in each way.
    """

    def _optimize_final_module(self) -> None:
        """Leave that to the library this one is linked into."""

    def _finalize_final_module(self) -> None:
        """Complete the library without machine code."""
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """The code generator, as the caller of the compiler sees it."""
        return _NoMachineCode(self._codegen)

    def get_pointer_to_function(self, name: str) -> int:
        """Return no address: there is no machine code."""
        self._ensure_finalized()
        return 0


class _NoMachineCode:
    """A code generator that has no machine code to tell of a kernel's environment."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing: inner kernels raise nothing, which is what an environment is for."""


class _InnerCompiler(Compiler):
    """Numba's compiler, into an `_InnerLibrary`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.state.library is None:
            self.state.library = _InnerLibrary(self.state.targetctx.codegen(), "inner")


def _call_with_wide_numbers(compiled: Any, resolve: Callable[..., Any]) -> None:
    """Let kernels that call this one pass 64-bit numbers, so that it is compiled once.

    Numba would compile another version for each literal and each narrower integer.
    """

    def widened(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return resolve(tuple(_wide(a) for a in args), kws)

    compiled.get_call_template = widened


def _wide(argument: Any) -> Any:
    plain = types.unliteral(argument)
    return types.int64 if isinstance(plain, types.Integer) else plain
