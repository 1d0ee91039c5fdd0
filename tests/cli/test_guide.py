"""Every command says when to use it and shows an example that it takes."""

from __future__ import annotations

import shlex

import pytest

from sageserve_cli import cli
from sageserve_cli.guide import GUIDE
from sageserve_env import extras


def every_command() -> list[str]:
    found = []
    for name in cli.COMMANDS:
        found.append(name)
        found += [f"{name} {under}" for under in getattr(cli.load_command(name), "commands", {})]
    return found


def test_every_command_is_in_the_guide() -> None:
    assert sorted(every_command()) == sorted(GUIDE)


@pytest.mark.parametrize("words", GUIDE)
def test_the_example_is_one_that_the_command_takes(words: str) -> None:
    command = cli.load_command(words.split()[0])
    given = shlex.split(GUIDE[words][1])
    assert given[0] == "sageserve" and given[1] == words.split()[0]
    rest = given[2:]
    if getattr(command, "commands", None):
        command, rest = command.commands[rest[0]], rest[1:]
    context = command.make_context(words, rest, resilient_parsing=False)
    assert context.params is not None


def test_the_help_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plan-capacity", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Use it when you have a request log" in shown
    assert "Example: sageserve plan-capacity my.csv" in " ".join(shown.split())


def test_what_installs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pip install -e '" in extras.install_command("learn")
    monkeypatch.setattr(extras, "__file__", "/nowhere/sageserve_env/extras.py")
    assert extras.install_command("learn") == "pip install 'sageserve-env[learn]'"
