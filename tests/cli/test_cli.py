"""The frame of the command line: lazy commands, one-line errors, exit codes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import typer

from sageserve_bench.errors import UserError
from sageserve_cli import cli

MODULE = "sageserve_cli.commands.plan"


@pytest.fixture
def plan_does(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., object]], None]:
    """Return a function that puts another function in the place of `sageserve plan`."""

    def replace(function: Callable[..., object]) -> None:
        module = ModuleType(MODULE)
        module.__spec__ = ModuleSpec(MODULE, loader=None)
        module.plan = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, MODULE, module)

    return replace


def raiser(error: BaseException) -> Callable[[], None]:
    def plan() -> None:
        raise error

    return plan


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no such agent\n'ilq'"), 2, "no such agent 'ilq'"),
        (ValueError("seed -1"), 2, "seed -1"),
        (NotImplementedError("chunks"), 1, "unexpected NotImplementedError: chunks"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), 2, "a.csv"),
        (ModuleNotFoundError("x", name="statsmodels.tsa"), 2, "[forecast]'"),
        (ImportError("pip install 'sageserve-env[marl]'"), 2, "sageserve-env[marl]"),
        (KeyError("gpu"), 1, "unexpected KeyError: 'gpu' (--debug shows where)"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.BadParameter("not a number"), 2, "Invalid value: not a number"),
        (typer.Exit(3), 3, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_one_line(
    plan_does: Callable[[Callable[..., object]], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    plan_does(raiser(error))
    assert cli.run(["plan"]) == code
    shown = capsys.readouterr().err
    if line:
        assert shown.startswith("sageserve: error: ")
        assert line in shown
        assert shown.count("\n") == 1
    else:
        assert shown == ""


@pytest.mark.parametrize("words", [["--debug", "plan"], ["plan", "--debug"]])
def test_debug_raises(plan_does: Callable[[Callable[..., object]], None], words: list[str]) -> None:
    plan_does(raiser(UserError("bad")))
    with pytest.raises(UserError, match="bad"):
        cli.run(words)


def test_debug_by_variable(
    plan_does: Callable[[Callable[..., object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_does(raiser(KeyError("gpu")))
    monkeypatch.setenv("SAGESERVE_DEBUG", "1")
    with pytest.raises(KeyError):
        cli.run(["plan"])


def test_options_reach_the_command(
    plan_does: Callable[[Callable[..., object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def plan(scenario: str = "trap-base") -> int:
        print(scenario)
        return 4

    plan_does(plan)
    assert cli.run(["plan", "--scenario", "week"]) == 4
    assert capsys.readouterr().out == "week\n"


@pytest.mark.parametrize("words", [["plam"], ["--frob"], ["plan", "--frob"]])
def test_usage_errors_are_one_line(
    plan_does: Callable[[Callable[..., object]], None],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    plan_does(raiser(AssertionError("not called")))
    assert cli.run(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("sageserve: error: No such ")
    assert shown.count("\n") == 1
    assert words != ["plam"] or "'plan'" in shown


def test_missing_modules_are_not_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "unwritten", "Not there yet.")
    assert cli.run(["--help"]) == 0
    assert "unwritten" not in capsys.readouterr().out
    assert cli.run(["unwritten"]) == 2


def test_every_listed_command_loads() -> None:
    for name in cli.COMMANDS:
        if importlib.util.find_spec(f"sageserve_cli.commands.{name}") is not None:
            assert cli.load_command(name) is not None


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom sageserve_cli import cli\ncli.run(['--help'])\n"
        "heavy = {'numba', 'pandas', 'gymnasium', 'matplotlib', 'torch', 'pulp'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_main_without_words_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main([])
    assert leaving.value.code == 0
    assert "sageserve" in capsys.readouterr().out
