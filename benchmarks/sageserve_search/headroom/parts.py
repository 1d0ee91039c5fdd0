"""Finished parts of a job in files, so that an interrupted job goes on."""

from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass
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
    """Return what was kept in a file; None if nothing was, or not a whole part of this version."""
    if file is None or not file.exists():
        return None
    try:
        found = pickle.loads(file.read_bytes())
    except _DAMAGED:
        return None
    names = [one.name for one in fields(kind)] if is_dataclass(kind) else []
    whole = isinstance(found, kind) and all(hasattr(found, name) for name in names)
    return found if whole else None


def write_part(file: Path | None, part: object) -> None:
    """Keep a part in a file, whole or not at all; without a file do nothing."""
    if file is not None:
        with replaced(file) as target:
            target.write(pickle.dumps(part))
