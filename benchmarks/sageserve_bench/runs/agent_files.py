"""Agents in files that `sageserve calibrate` and `sageserve tune` wrote.

``--agents @FILE`` takes the agents of such a file, ``@FOLDER`` those of all its ``*.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sageserve_bench.errors import UserError


def expand(pieces: Sequence[str]) -> list[str]:
    """Return specifications with each ``@FILE`` or ``@FOLDER`` replaced by the agents in it."""
    found: list[str] = []
    for piece in pieces:
        found += read_specs(Path(piece[1:])) if piece.startswith("@") else [piece]
    return found


def read_specs(path: Path) -> list[str]:
    """Return the specifications in a file or in all ``*.json`` of a folder.

    Raises:
        UserError: If there is nothing, or it is no such file.
    """
    path = path.expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserError(f"@{path}: no *.json in this folder; make one with sageserve tune")
        return [spec for file in files for spec in read_specs(file)]
    try:
        agents = json.loads(path.read_text(encoding="utf-8"))["agents"]
        specs = [str(record["spec"]) for record in agents.values()]
    except FileNotFoundError:
        raise UserError(f"@{path}: not found; make it with sageserve calibrate or tune") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"@{path}: is no file of sageserve calibrate or tune") from None
    if not specs:
        raise UserError(f"@{path}: has no agents")
    return specs
