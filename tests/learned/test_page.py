"""The page on learned agents shows the tables of the published rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_tables_are_those_of_the_rows(repository: Path) -> None:
    script = repository / "benchmarks" / "results" / "learned" / "analyse.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<!-- learned " in (repository / "docs" / "learning.md").read_text()
