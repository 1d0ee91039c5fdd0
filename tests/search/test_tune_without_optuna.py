"""`sageserve tune` without Optuna says so before it simulates anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sageserve_cli import cli


def test_said_before_the_first_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    output = tmp_path / "tuned.json"
    words = ["tune", "--agent", "reactive", "--scenario", "trap-base", "--output", str(output)]
    assert cli.run(words) == 2
    assert "[tune]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
