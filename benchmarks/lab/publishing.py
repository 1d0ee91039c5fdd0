"""Taking the output of a comparison into the published results."""

from __future__ import annotations

from pathlib import Path

from sageserve_bench.errors import UserError
from sageserve_bench.published import COMMAND, copy_results
from sageserve_bench.results.store import RESULTS, Store
from sageserve_bench.rows import write_text


def publish(source: Path, target: Path, command: str) -> None:
    """Copy what is kept of a comparison: rows, summary, decisions and the command.

    Args:
        source: Output folder of ``sageserve compare``.
        target: Folder below ``benchmarks/results``.
        command: The command that made it.

    Raises:
        UserError: If the source is no finished comparison.
    """
    rows = Store(source).read_rows()
    if not rows:
        raise UserError(f"{source / RESULTS}: holds no row")
    Store(source).pack()
    write_text(target / COMMAND, command.strip() + "\n")
    copy_results(source, target)
