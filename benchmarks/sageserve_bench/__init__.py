"""Comparison of agents on identical traces: protocol, statistics, reports, speed, command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sageserve_bench.comparison import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Import `compare` on first use, so that the command line starts fast."""
    if name == "compare":
        from sageserve_bench.comparison import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
