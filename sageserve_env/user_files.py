"""Python files of users: agents, routers and disciplines that are named with their file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_user_file(file: str, what: str) -> ModuleType:
    """Import a Python file once, however often it is named.

    Args:
        file: Path of the file; a leading ``~`` is the home folder.
        what: What names the file, for errors.

    Raises:
        ValueError: If there is no such file, or its import fails.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"{what}: there is no file {file!r}")
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    key = f"_sageserve_user_{path.stem}_{digest}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{what}: cannot import {file!r}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[key]
            message = f"{what}: {type(error).__name__} while importing {file!r}: {error}"
            raise ValueError(message) from error
    return sys.modules[key]
