"""What to say when a library of an extra is not there."""

from __future__ import annotations

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
