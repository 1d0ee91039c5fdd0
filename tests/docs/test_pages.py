"""Every command and every Python block of README and docs runs, at a small size."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sageserve_cli import cli
from sageserve_env.observe import FEATURES
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.scenario import load_scenario

from .blocks import SHELL, Block, blocks, commands, pages, small

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages(ROOT)
SKIPPED = [block for page in PAGES for block in blocks(page, ROOT) if block.reason]
EXECUTABLE = (*SHELL, "python")

TRACE = "arrival_s,prompt_tokens,output_tokens\n" + "".join(
    f"{i * 0.9:.1f},{200 + 37 * i % 900},{20 + i % 50}\n" for i in range(1200)
)
OWN_COLUMNS = TRACE.replace("arrival_s,prompt_tokens,output_tokens", "when,tokens_in,tokens_out")


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a page registers: it would change the codes that later tests see."""
    for registry in (ROUTERS, DISCIPLINES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    rows = list(FEATURES)
    yield
    FEATURES[:] = rows


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the files that a reader is supposed to have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text("base: trap-base\nhorizon_s: 900.0\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("base: trap-base\nhorizon_s: 900.0\n", encoding="utf-8")
    (tmp_path / "my.csv").write_text(TRACE, encoding="utf-8")
    (tmp_path / "mine.csv").write_text(OWN_COLUMNS, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def options_of(words: list[str]) -> frozenset[str]:
    """Return the options that a ``sageserve`` command knows."""
    command, rest = cli.load_command(words[0]), words[1:]
    while getattr(command, "commands", None) and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    return frozenset(name for one in command.params for name in (*one.opts, *one.secondary_opts))


def run_command(words: list[str], place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run one command of a page and assert that it succeeds."""
    if words[0] == "make":
        target = f"^{re.escape(words[1])}:"  # `make test` runs `make compare` itself
        assert re.search(target, (ROOT / "Makefile").read_text(), re.MULTILINE), f"{place}: {words}"
        return
    assert words[0] == "sageserve", f"{place}: {shlex.join(words)}: mark it as 'not run: REASON'"
    made = small(words[1:], "small.yaml", options_of(words[1:]))
    code = cli.run(made)
    shown = capsys.readouterr()
    assert code == 0, f"{place}: sageserve {shlex.join(made)}: {shown.err}"


def check_scenario(block: Block, desk: Path) -> None:
    """Save a YAML block that names its file, and assert that it is a scenario."""
    named = re.match(r"# (\w+\.yaml)\n", block.text)
    assert named, f"{block.place}: begin with '# NAME.yaml'"
    (desk / named[1]).write_text(block.text, encoding="utf-8")
    assert load_scenario(desk / named[1]).name == Path(named[1]).stem


def run_python(block: Block, names: dict[str, Any], desk: Path) -> None:
    """Run a block in the namespace of its page; a block that names a file is saved under it."""
    if named := re.match(r'(?:# |""")(\w+\.py)\b', block.text):
        (desk / named[1]).write_text(block.text, encoding="utf-8")
    exec(compile(block.first, f"{block.place} (first)", "exec"), names)
    padding = "\n" * (block.line - 1)
    exec(compile(padding + block.text, block.page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page_runs(
    page: Path, desk: Path, registries: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": page.stem}
    todo = [block for block in blocks(page, ROOT) if not block.reason]
    # Files first: a command may use one that stands below it.
    for block in sorted(todo, key=lambda block: block.language not in ("python", "yaml")):
        if block.language == "yaml":
            check_scenario(block, desk)
        elif block.language == "python":
            run_python(block, names, desk)
        elif block.language in SHELL:
            for words in commands(block):
                run_command(words, block.place, capsys)


@pytest.mark.parametrize("block", SKIPPED, ids=[block.place for block in SKIPPED])
def test_block_that_is_not_run(block: Block) -> None:
    assert len(block.reason) > 10, f"{block.place}: say why it is not run"
    pytest.skip(f"{block.place}: {block.reason}")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_no_command_hides_in_another_language(page: Path) -> None:
    hidden = [
        block.place
        for block in blocks(page, ROOT)
        if block.language not in EXECUTABLE
        and re.search(r"^\$? ?(?:sageserve|make|python) ", block.text, re.MULTILINE)
    ]
    assert hidden == []


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_commands_in_the_text_exist(page: Path) -> None:
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", prose):
        words = code.split()
        if words[:1] != ["sageserve"] or len(words) < 2 or not words[1].islower():
            continue
        known = options_of(words[1:])
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known, f"{page.name}: `{code}`: no option {used - known}"
