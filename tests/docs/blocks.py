"""The code blocks of README and docs, and how a command is made small enough for a test.

A comment right above a block says what a reader does not need to see:

- ``<!-- not run: REASON -->``: the block is not executed, and why;
- ``<!-- run first: CODE -->``: Python that stands for what the reader has already.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sageserve_env.scenario import list_scenarios

SHELL = ("sh", "bash", "console")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(
    r"<!-- (?P<kind>not run|run first):\s(?P<text>(?:(?!-->).)*)-->\s*\Z", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path relative to the repository.
        line: Of its first line of code, from 1.
        language: As written after the fence.
        text: The code.
        reason: Why it is not run; empty if it is.
        first: Python to run before it.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    first: str = ""

    @property
    def place(self) -> str:
        """Where to find it."""
        return f"{self.page}:{self.line}"


def pages(repository: Path) -> list[Path]:
    """Return README and the pages of the documentation."""
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def blocks(page: Path, repository: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        indent = found["indent"]
        code = re.sub(rf"^{indent}", "", found["text"], flags=re.MULTILINE)
        comment = _COMMENT.search(text[: found.start()])
        said = {comment["kind"]: comment["text"].strip()} if comment else {}
        name = page.relative_to(repository).as_posix()
        yield Block(
            name, line, found["language"], code, said.get("not run", ""), said.get("run first", "")
        )


def commands(block: Block) -> list[list[str]]:
    """Return the words of each command of a shell block; of a console block, of its ``$`` lines."""
    text = block.text
    if block.language == "console":
        text = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE))
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [words for words in found if words]


SMALLER = {
    "--seeds": "1",
    "--seed-list": "1000",
    "--evaluations": "4",
    "--workers": "1",
    "--trials": "2",
    "--budget": "2",
    "--episodes": "1",
    "--timesteps": "512",
    "--days": "1",
    "--hour": "0",
}
"""Values of options that decide how much there is to do."""

NO_EXTRA = ("--backend", "--ray-address")
"""Options with values that are left out; tests of their own cover them."""


def small(words: list[str], scenario: str, options: frozenset[str]) -> list[str]:
    """Return a ``sageserve`` command that does the same with less.

    Args:
        words: After ``sageserve``.
        scenario: File of a small scenario that takes the place of a named one.
        options: What the command knows.
    """
    made: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in {*SMALLER, *NO_EXTRA, "--scenario"}:
            made.append(scenario if made == ["headroom"] and word in list_scenarios() else word)
            continue
        value = value if equals else next(rest)
        if name in NO_EXTRA:
            continue
        if name == "--scenario":
            made += [name, scenario if value in list_scenarios() else value]
        else:
            made += [name, SMALLER[name]]
    if "--scenario" in options and "--scenario" not in made:
        made += ["--scenario", scenario]
    if "--quick" in options and "--quick" not in made:
        made += ["--quick"]
    return made
