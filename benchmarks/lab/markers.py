"""Tables that are generated into pages between markers.

A page holds ``<!-- KIND NAME -->`` and ``<!-- /KIND -->``; what stands between them is made anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sageserve_bench.rows import write_text

Makers = Mapping[str, Callable[[str], str]]
"""For each kind of marker what makes the text of a name."""


def filled(text: str, makers: Makers) -> str:
    """Return a page with what stands between its markers made anew."""
    for kind, make in makers.items():
        marked = re.compile(rf"(<!-- {kind} (?P<name>\S+) -->\n).*?(<!-- /{kind} -->)", re.DOTALL)
        text = marked.sub(partial(_made, make), text)
    return text


def _made(make: Callable[[str], str], match: re.Match[str]) -> str:
    return f"{match[1]}\n{make(match['name'])}\n\n{match[3]}"


def pages(root: Path) -> list[Path]:
    """Return the pages of a repository that may hold markers."""
    found = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in found if page.is_file()]


def refresh(root: Path, makers: Makers, *, check: bool) -> list[Path]:
    """Fill the pages of a repository.

    Args:
        root: Of the repository.
        makers: What makes the tables.
        check: Only look.

    Returns:
        Pages whose tables were not those that are made.
    """
    changed = []
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        made = filled(text, makers)
        if made != text:
            changed.append(page)
            if not check:
                write_text(page, made)
    return changed
