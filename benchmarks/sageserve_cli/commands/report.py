"""`sageserve report`: the report of a finished comparison, from its rows and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that sageserve compare wrote.")],
) -> None:
    """Write report.html anew from results.csv and the runs beside it."""
    from sageserve_bench.report.page import rebuild_report
    from sageserve_bench.results.store import REPORT, Store

    rebuild_report(Store(folder))
    typer.echo(str(folder / REPORT))
