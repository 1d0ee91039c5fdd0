"""`sageserve evaluate`: one policy file in, one score out, whatever the policy does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

import sageserve_bench
from sageserve_bench.evaluation.worker import find_class
from sageserve_cli import cli
from sageserve_env.scenario import Scenario

KEEP = """
import numpy as np
from sageserve_env.actions import ClusterAction

class Policy:
    def act(self, view):
        {line}
        return ClusterAction(view.target)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the planner's J of the tests to themselves."""
    from sageserve_bench.evaluation import score
    from sageserve_bench.results.journal import Journal

    journal = Journal(tmp_path / "evaluate.jsonl")
    monkeypatch.setattr(score, "_journal", lambda: journal)


def policy(folder: Path, line: str = "pass") -> Path:
    path = folder / "policy.py"
    path.write_text(KEEP.format(line=line), encoding="utf-8")
    return path


def test_score_is_the_planner_over_the_policy_and_stays_the_same(
    tmp_path: Path, small_file: Path
) -> None:
    words = ["evaluate", str(policy(tmp_path)), "--scenario", str(small_file), "--seeds", "2"]
    answers = []
    for name in ("a.json", "b.json"):
        assert cli.run([*words, "--json", str(tmp_path / name)]) == 0
        answers.append((tmp_path / name).read_text())
    assert answers[0] == answers[1]
    found = json.loads(answers[0])
    assert found["valid"] and found["error"] == "" and found["episodes"] == 2
    assert found["score"] == pytest.approx(found["reference_j_usd"] / found["j_usd"])
    assert found["j_usd"] >= found["cost_usd"] > 0
    assert 0 <= found["slo_iwf"] <= 1
    assert "seed" not in answers[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (policy.py, line 7)"),
        ("import os; os._exit(3)", "ended with code 3"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("import time; time.sleep(60)", "timeout: the policy took more than"),
        ("return 3", "act returned int"),
        ("return ClusterAction(view.target[:1])", "instances"),
        ("import sys; raise ValueError(repr(sys.argv[1:]))", "[] (policy.py, line 7)"),
        ("import sageserve_env.env", "may not import sageserve_env.env"),
        ("import sageserve_traces; sageserve_traces.make_trace('o365')", "may not make traces"),
    ],
)
def test_a_failure_scores_nothing_and_says_why(
    tmp_path: Path, small: Scenario, line: str, reason: str
) -> None:
    limit_s = 5.0 if "sleep" in line else 60.0
    found = sageserve_bench.evaluate(policy(tmp_path, line), scenario=small, limit_s=limit_s)
    assert (found.score, found.valid) == (0.0, False)
    assert reason in found.error
    assert "\n" not in found.error


def test_a_policy_that_cannot_be_read_scores_nothing(tmp_path: Path, small: Scenario) -> None:
    path = tmp_path / "broken.py"
    path.write_text("def act(:\n", encoding="utf-8")
    assert "SyntaxError" in sageserve_bench.evaluate(path, scenario=small).error


def test_which_class_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "several.py"
    path.write_text("class A:\n    def act(self, view): ...\nclass B(A): ...\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected one class .* found A, B"):
        find_class(str(path))
    assert find_class(f"{path}:B").__name__ == "B"
    with pytest.raises(ValueError, match="no class 'C'"):
        find_class(f"{path}:C")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("missing.py", "there is no policy file"),
        ("policy.py --scenario tiny --seeds 0", "must be 1 to"),
        ("policy.py --scenario tiny --timeout 0", "above 0 s"),
        ("policy.py --scenario tny", "did you mean 'tiny'"),
        ("policy.py --scenario lost.yaml", "nope.csv"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    policy(tmp_path)
    (tmp_path / "lost.yaml").write_text("base: tiny\nworkload: {trace: nope.csv}\n")
    assert cli.run(["evaluate", *words.split()]) == 2
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


def test_random_edits_never_make_it_worse(
    tmp_path: Path, small_file: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(repository / "examples" / "improve_policy.py"))
    start = repository / "examples" / "policy.py"
    first = sageserve_bench.evaluate(start, scenario=small_file)
    assert first.valid, first.error
    source, score = example["improve"](start, str(small_file), trials=2, seeds=1, seed=0)
    assert score >= first.score and "class Policy" in source
    assert capsys.readouterr().out.startswith("start: ")
