"""`sageserve speed`: speed and memory of simulator, environment and planner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sageserve_cli.options import json_option


def speed(
    json_file: Annotated[Path | None, json_option("Write the figures to this file.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Only these figures, as env_steps_per_s,import_s.")
    ] = None,
    yardstick: Annotated[
        Path | None,
        typer.Option(help="Script that prints requests per CPU second; default: the one built in."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs, for a first look.")] = False,
) -> None:
    """Measure the speed and memory of simulator, environment and planner."""
    from rich.console import Console
    from rich.table import Table

    from sageserve_bench.rows import write_json
    from sageserve_cli import terminal
    from sageserve_validation.speed.engine import SpeedOptions
    from sageserve_validation.speed.figures import choose, document, measure

    figures = choose(only)
    console = Console(stderr=True)
    with console.status("measuring") as status:

        def begin(key: str) -> None:
            status.update(f"measuring {key}")
            if not console.is_terminal:
                console.print(f"measuring {key}", highlight=False)

        values, failures = measure(figures, SpeedOptions(quick, yardstick), begin=begin)
    table = Table("figure", "key", header_style="bold")
    for title in ("value", "floor", ""):
        table.add_column(title, justify="right")
    for figure in figures:
        if figure.key in values:
            value = values[figure.key]
            mark = "ok" if figure.reached(value) else "[red]missed[/red]"
            cells = [
                f"{value:,.4g}" if value < 1e5 else f"{value:,.0f}",
                f"{figure.floor:,g}",
                mark,
            ]
        else:
            cells = ["-", f"{figure.floor:,g}", failures.get(figure.key, "not measured")]
        table.add_row(figure.meaning, figure.key, *cells)
    terminal.output().print(table)
    if json_file is not None:
        write_json(json_file, document(values, failures, quick))
