"""Libraries: their versions, and what to say when that of an extra is not there."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def install_command(extra: str) -> str:
    """Return the command that installs an extra: of the clone that this is, or of the package.

    Args:
        extra: Its name in the project's metadata, such as ``learn``.
    """
    clone = Path(__file__).resolve().parents[1]
    if (clone / "pyproject.toml").is_file():
        return f"pip install -e '{clone}[{extra}]'"
    return f"pip install 'sageserve-env[{extra}]'"


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
