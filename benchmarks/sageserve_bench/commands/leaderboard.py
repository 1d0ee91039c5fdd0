"""`sageserve leaderboard`: the tables of published results in README and docs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of the published results.")] = Path(
        "benchmarks/results"
    ),
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if a table is not that of the rows."),
    ] = False,
    publish: Annotated[
        Path | None,
        typer.Option(help="Take the output folder of a sageserve compare into the results first."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its name below the results.")] = None,
    command: Annotated[str | None, typer.Option(help="The command that made it.")] = None,
) -> int:
    """Write the tables of the published results into README.md and docs/.

    Run it in the root of the repository. A folder counts as published if it holds results.csv and
    command.txt.
    """
    from sageserve_bench import published as shelf
    from sageserve_bench.errors import UserError
    from sageserve_bench.leaderboard import refresh

    if publish is not None:
        if not name or not command:
            raise UserError("--publish needs --name NAME and --command 'sageserve compare ...'")
        shelf.publish(publish, results / name, command)
    found = shelf.read_published(results)
    changed = refresh(Path(), found, check=check)
    for page in changed:
        typer.echo(f"{page}: {'is not what the rows say' if check else 'written'}")
    if check and changed:
        typer.echo("run sageserve leaderboard")
        return 1
    rows = sum(len(one.rows) for one in found)
    typer.echo(f"{len(found)} published comparisons, {rows} rows: the tables match")
    return 0
