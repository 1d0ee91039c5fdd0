"""The tables of published experiments, generated into a page between markers.

A page holds ``<!-- experiment NAME -->`` and ``<!-- /experiment -->``; what stands between them are
the tables of the folder NAME of the published experiments.
"""

from __future__ import annotations

import re
from pathlib import Path

from sageserve_bench.errors import UserError
from sageserve_bench.experiments.execute import Outcomes, read_experiment
from sageserve_bench.experiments.tables import claims, gaps, table
from sageserve_bench.rows import write_text

DEFAULT_FOLDER = Path("benchmarks/results/paper")
_MARKED = re.compile(r"(<!-- experiment (?P<name>\S+) -->\n).*?(<!-- /experiment -->)", re.DOTALL)


def tables(outcomes: Outcomes) -> str:
    """Return the tables of an experiment, with a heading each if there are several scenarios."""
    parts = []
    for name, results in outcomes.by_scenario.items():
        if len(outcomes.by_scenario) > 1:
            parts.append(f"**{name}**")
        parts.append(table(results, outcomes.horizon_s[name]))
        if outcomes.experiment.claims:
            parts.append(claims(outcomes, results))
        if outcomes.bounds:
            parts.append(gaps(outcomes, name))
    return "\n\n".join(parts)


def filled(text: str, folder: Path) -> str:
    """Return a page with its tables made anew from the published rows."""

    def replace(match: re.Match[str]) -> str:
        return f"{match[1]}\n{tables(read_experiment(folder / match['name']))}\n\n{match[3]}"

    return _MARKED.sub(replace, text)


def refresh(page: Path, folder: Path = DEFAULT_FOLDER) -> bool:
    """Write the tables into a page; return whether anything changed.

    Raises:
        UserError: If the page cannot be read or asks for what is not published.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page}: cannot be read: {error.strerror or error}") from None
    made = filled(text, folder)
    if made != text:
        write_text(page, made)
    return made != text
