"""The `[learn]` extra: asked for where it is needed, with one clear line when it is missing."""

from __future__ import annotations

import importlib

from sageserve_env.extras import install_command


def require(owner: str, *modules: str) -> None:
    """Import optional modules.

    Args:
        owner: Who needs them, for the error.
        *modules: Names of modules of the extra.

    Raises:
        ImportError: If one is missing; says which extra brings it.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            raise ImportError(
                f"{owner} needs {name}, which is not installed: {install_command('learn')}"
            ) from None
