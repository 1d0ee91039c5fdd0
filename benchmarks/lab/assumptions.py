"""The list of assumptions in docs/sources.md: every place in the packages that is marked (A)."""

from __future__ import annotations

import re
from pathlib import Path

import lab
import sageserve_agents
import sageserve_bench
import sageserve_capacity
import sageserve_cli
import sageserve_env
import sageserve_search
import sageserve_traces
import sageserve_validation

PACKAGES = (
    sageserve_env,
    sageserve_agents,
    sageserve_traces,
    sageserve_bench,
    sageserve_search,
    sageserve_validation,
    sageserve_capacity,
    sageserve_cli,
    lab,
)
_MARK = re.compile(r"(?<!\w)\(A[):;]|our assumption")
_ITEM = re.compile(r"\s*([A-Za-z_][\w.*`]*)( \(.*?\))?: ")
_OPEN = re.compile(r"(: [^=]*)? = [^=]*[(\[{]$")  # what goes on over several lines
_MOST = 200


def assumptions(_: str) -> str:
    """Return the table of all assumptions."""
    lines = ["| module | assumption |", "|---|---|"]
    for package in PACKAGES:
        root = Path(str(package.__file__)).parent
        for path in sorted(set(root.rglob("*.py")) - {Path(__file__)}):
            module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            for text in marked(path.read_text(encoding="utf-8").splitlines()):
                lines.append(f"| `{module}` | {text} |")
    return "\n".join(lines)


def marked(lines: list[str]) -> list[str]:
    """Return what is said at each mark in the lines of a module, with the code it is said of."""
    found = [_statement(lines, i) for i, line in enumerate(lines) if _MARK.search(line)]
    return list(dict.fromkeys(found))


def _statement(lines: list[str], at: int) -> str:
    code, hash_mark, comment = lines[at].partition("#")
    if hash_mark and code.strip():  # behind code
        return _cell(f"{code.strip()}: {comment}")
    first = last = at
    if hash_mark:  # a block of comments, and the code below it
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        while lines[last].lstrip().startswith("#"):
            last += 1
        said = " ".join(line.strip().lstrip("#:") for line in lines[first:last])
        return _cell(f"{_OPEN.sub('', lines[last].strip())}: {said}")
    while first and lines[first - 1].strip() and not _begins(lines[first]):
        first -= 1
    while last + 1 < len(lines) and not _ends(lines, last):
        last += 1
    said = " ".join(line.strip() for line in lines[first : last + 1])
    if lines[first].startswith('"""') and first:  # said below a constant
        said = f"{lines[first - 1].strip()}: {said}"
    return _cell(said)


def _begins(line: str) -> bool:
    return bool(_ITEM.match(line)) or line.lstrip().startswith('"""')


def _ends(lines: list[str], at: int) -> bool:
    quoted = lines[at].rstrip().endswith('"""') and lines[at].strip() != '"""'
    after = lines[at + 1]
    return quoted or not after.strip() or bool(_ITEM.match(after)) or after.strip() == '"""'


def _cell(text: str) -> str:
    """Return a text for a cell: without marks, on one line, not too long."""
    text = " ".join(text.replace('"""', "").replace("|", "/").replace("``", "`").split())
    text = re.sub(r"our assumption \(A\)", "our assumption", text)
    return text if len(text) <= _MOST else text[:_MOST].rsplit(" ", 1)[0] + " ..."
