"""Finished parts of a job in files, so that an interrupted job goes on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TypeVar

from sageserve_bench.rows import replaced

Part = TypeVar("Part")

# What unpickling a damaged file may raise.
_DAMAGED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def read_part(file: Path | None, kind: type[Part]) -> Part | None:
    """Return what was kept in a file; None if nothing was, or it cannot be read."""
    if file is None or not file.exists():
        return None
    try:
        found = pickle.loads(file.read_bytes())
    except _DAMAGED:
        return None
    return found if isinstance(found, kind) else None


def write_part(file: Path | None, part: object) -> None:
    """Keep a part in a file, whole or not at all; without a file do nothing."""
    if file is not None:
        with replaced(file) as target:
            target.write(pickle.dumps(part))
