"""The examples run, at small size."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest


def test_look_ahead_finds_something_better(repository: Path) -> None:
    example = runpy.run_path(str(repository / "examples" / "look_ahead.py"))
    assert example["episode"](1, True) >= example["episode"](1, False)


@pytest.mark.slow
def test_the_notebook_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    monkeypatch.setenv("SAGESERVE_NOTEBOOK_STEPS", "960")
    notebook = json.loads((repository / "examples" / "train_an_agent.ipynb").read_text("utf-8"))
    names: dict[str, object] = {"__name__": "__notebook__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "notebook", "exec"), names)
    assert getattr(names["frame"], "shape", None) == (480, 800, 3)
