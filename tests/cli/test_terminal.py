"""Tables in terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Column, Table

from sageserve_cli import terminal
from sageserve_cli.commands import headroom


def narrow(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 60, 200])
def test_nothing_is_cut(width: int) -> None:
    console = narrow(width)
    columns = [f"a title {i}" for i in range(9)]
    terminal.print_table("T", columns, [[f"{i}2345.6-789 %" for i in range(9)]], console)
    text = shown(console)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert all(f"{i}2345.6-789 %" in text for i in range(9))


def test_what_may_fold_gives_way() -> None:
    spec = "ilp:forecaster=seasonal-naive;router=threshold"
    for width, whole in ((30, False), (100, True)):
        console, table = narrow(width), Table(Column("agent", overflow="fold"), "$")
        table.add_row(spec, "1,234,567")
        terminal.show(table, console)
        assert (spec in shown(console)) == whole
        assert "1,234,567" in shown(console)
        assert max(map(len, shown(console).splitlines())) <= width


def test_headroom_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "output", lambda: Console(width=60, highlight=False))
    service = {f"slo_{name}": 0.98765 for name in ("iwf", "iwn", "niw", "worst_model")}
    headroom._show({"planner": "ilp", "planner_usd": 1234567.0, "planner_service": service})
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("planner"))
    assert line.split() == ["planner", "ilp", "1,234,567", *["98.77"] * 4]
