"""Which rows a replay has checked, so that a verification goes on after an interruption."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sageserve_bench.actionlog import ActionLog
from sageserve_bench.rows import Row
from sageserve_bench.tasks import code_hash

VERIFIED = "verified.jsonl"


def check_state(row: Row, actions: ActionLog) -> str:
    """Return what a check holds for: this row, these decisions, this code."""
    sha = hashlib.sha256(json.dumps([code_hash(), row], sort_keys=True).encode())
    for name, array in sorted(actions.arrays().items()):
        sha.update(name.encode() + array.tobytes())
    return sha.hexdigest()[:16]


class CheckLog:
    """A line for each checked row, written as soon as it is checked.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.reused = path, 0
        self._found: dict[str, list[str]] = {}
        if path is None or not path.is_file():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                self._found[entry["state"]] = [str(text) for text in entry["differences"]]
            except (ValueError, KeyError, TypeError):  # cut off while it was written
                continue

    def lines(self, state: str) -> list[str] | None:
        """Return the differences that were found in a state, None if it is not checked yet."""
        found = self._found.get(state)
        self.reused += found is not None
        return found

    def note(self, state: str, where: str, lines: list[str]) -> None:
        """Keep the outcome of a check."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entry = json.dumps({"run": where, "differences": lines, "state": state})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{entry}\n" if self._cut_off() else f"{entry}\n")

    def _cut_off(self) -> bool:
        """Return whether the last line has no end."""
        if self.path is None or not self.path.is_file():
            return False
        text = self.path.read_bytes()
        return bool(text) and not text.endswith(b"\n")
