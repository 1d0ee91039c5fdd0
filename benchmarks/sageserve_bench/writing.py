"""Whether a file that is named on the command line can be written, before any work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sageserve_bench.errors import UserError


def check_file(option: str, path: Path) -> None:
    """Find out whether a file can be written.

    Args:
        option: Where it was named, such as ``--json``.
        path: The file.

    Raises:
        UserError: If it is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{option} {path}: is a folder; name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{option} {path}: cannot be written to {folder}: {why}") from None
