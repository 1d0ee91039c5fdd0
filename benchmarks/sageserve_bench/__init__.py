"""Comparison of agents on identical traces: protocol, statistics, reports, published results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sageserve_bench.comparison import compare
    from sageserve_bench.evaluation.score import evaluate

_HOME = {
    "compare": "sageserve_bench.comparison",
    "evaluate": "sageserve_bench.evaluation.score",
}

__all__ = ["compare", "evaluate"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts fast."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
