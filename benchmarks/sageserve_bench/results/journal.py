"""Results of a long job as lines of a file, so that it goes on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Objects by key, one JSON line each; a line that was cut off while written is passed over.

    Args:
        path: File; None keeps nothing beyond this process.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._found: dict[str, Any] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._found[entry["key"]] = entry["row"]
                except (ValueError, KeyError, TypeError):
                    continue

    def get(self, key: str) -> Any:
        """Return what was kept, None if nothing was."""
        return self._found.get(key)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep something."""
        self._found[key] = row
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "row": row}, allow_nan=False)
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + line + "\n")
