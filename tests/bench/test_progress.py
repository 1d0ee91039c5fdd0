"""What long jobs show, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sageserve_bench.report.progress import Bars
from sageserve_cli.training import Watch

ROW = {"agent": "ilp", "trace": "o365", "seed": 1, "requests": 1000, "wall_s": 2.0}


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=100, color_system=None), file


@pytest.mark.parametrize("terminal", [False, True])
def test_a_comparison_has_a_line_for_each_finished_run(terminal: bool) -> None:
    shown, file = console(terminal)
    with Bars(shown) as bars:
        bars.begin(["a", "b"], [3, 3], reused=1)
        bars.stepped(0, 2)
        bars.finished(0, ROW)
        bars.finished(1, ROW | {"seed": 2})
    text = file.getvalue()
    assert "1 finished runs are there already" in text
    assert "[1/2] ilp on o365, seed 1: 1,000 requests in 2.0 s, about" in text
    assert "[2/2] ilp on o365, seed 2: 1,000 requests in 2.0 s\n" in text
    assert ("decisions" in text) == terminal


@pytest.mark.parametrize("terminal", [False, True])
def test_a_training_is_shown_before_its_steps_are_known(terminal: bool) -> None:
    shown, file = console(terminal)
    with Watch(shown) as watch:
        told = watch.follow("ppo")
        told(0, 100, "")
        told(100, 100, "best reward 3")
    text = file.getvalue()
    assert "ppo: best reward 3\n" in text
    assert ("100/100 steps" in text) == terminal
