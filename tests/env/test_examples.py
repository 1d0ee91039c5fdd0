"""The examples run, at small size."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest


def test_look_ahead_finds_something_better(repository: Path) -> None:
    example = runpy.run_path(str(repository / "examples" / "look_ahead.py"))
    assert example["episode"](1, True) >= example["episode"](1, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["improve_policy.py", "missing.py"], "No such file or directory: 'missing.py'"),
        (["improve_policy.py", "empty.py"], "empty.py: no line such as NAME = 1.5"),
        (["improve_policy.py", "one.py", "--scenario", "tyny"], "did you mean 'tiny'"),
        (["improve_policy.py", "empty.py", "--output", "."], "--output: . is a folder"),
        (["ppo_sb3.py", "--env", "SageServe-Tny-v1"], "did you mean 'SageServe-Tiny-v1'"),
        (["ppo_sb3.py", "--test-seeds", "x"], "argument --test-seeds: invalid seeds value: 'x'"),
        (["ppo_sb3.py", "--output", "empty.py"], "File exists: 'empty.py'"),
        (["imitate.py", "--env", "SageServe-Tny-v1"], "Did you mean: `SageServe-Tiny`?"),
        (["imitate.py", "--teachers", "ilq"], "unknown agent 'ilq'"),
    ],
)
def test_bad_words_give_one_clear_error(
    words: list[str],
    message: str,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("", encoding="utf-8")
    (tmp_path / "one.py").write_text("BUSY = 0.5\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(repository / "examples" / words[0]), run_name="__main__")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_environments_of_sb3_are_made_by_id() -> None:
    pytest.importorskip("stable_baselines3")
    from sageserve_env.sb3 import make_sb3

    envs = make_sb3("sageserve_env:SageServe-Tiny-v1", 1, 0)
    assert envs.env.envs[0].scenario.name == "tiny"
    with pytest.raises(ValueError, match="unknown value 'SageServe-Tny-v1'; did you mean"):
        make_sb3("SageServe-Tny-v1", 1, 0)
    with pytest.raises(ValueError, match=r"unknown value 'Nope-v1' \(valid: SageServe-Burst-v1,"):
        make_sb3("Nope-v1", 1, 0)


@pytest.mark.slow
def test_the_notebook_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    matplotlib.use("agg")
    monkeypatch.setenv("SAGESERVE_NOTEBOOK_STEPS", "2000")
    notebook = json.loads((repository / "examples" / "train_an_agent.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {"__name__": "__notebook__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "notebook", "exec"), names)
    assert len(names["curve"]) == 3 and np.isfinite(names["curve"]).all()
    assert len(names["plt"].gca().lines) == 2  # the curve, and the line of the planner


@pytest.mark.slow
def test_ppo_from_scratch_writes_a_model_and_its_figures(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stable_baselines3")
    words = ["ppo_sb3.py", "--env", "SageServe-Tiny-v1", "--minutes", "0.05", "--seed", "0"]
    words += ["--test-seeds", "2000", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.syspath_prepend(str(repository / "examples"))
    example = importlib.import_module("ppo_sb3")
    for days in ("VALIDATION", "CALIBRATION"):
        monkeypatch.setattr(example, days, range(1000, 1001))
    example.main()
    assert (tmp_path / "model.zip").is_file()
    figures = json.loads((tmp_path / "evaluate.json").read_text())
    assert set(figures) >= {"reward", "ilp_reward", "cost_usd", "ilp_cost_usd", "slo_iwf"}


@pytest.mark.slow
def test_teachers_are_imitated(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    words = ["imitate.py", "--days", "2", "--epochs", "8", "--test-days", "1"]
    words += ["--teachers", "kpa,hpa", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    runpy.run_path(str(repository / "examples" / "imitate.py"), run_name="__main__")
    rows = json.loads((tmp_path / "evaluate.json").read_text())
    assert set(rows) == {"clone", "kpa", "hpa"}
    with np.load(tmp_path / "decisions.npz") as kept:
        assert kept["done"].shape[1:] == (2, 1) and len(kept["seen"]) == len(kept["done"]) == 1440
        assert set(kept["teachers"]) <= {"kpa", "hpa"}
