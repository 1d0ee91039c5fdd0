"""`sageserve run`: one agent on one trace, with live progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sageserve_cli.options import json_option
from sageserve_cli.traffic import Traffic, plays_trace

if TYPE_CHECKING:
    from rich.table import Table


@plays_trace
def run(
    agent: Annotated[str, typer.Argument(help="Agent, as in ilp:forecaster=seasonal-naive.")],
    *,
    traffic: Traffic,
    seed: Annotated[int, typer.Option(min=0, help="Seed; 2000 is the first of the tests.")] = 2000,
    json_file: Annotated[Path | None, json_option("Write the metrics to this file.")] = None,
    records: Annotated[
        Path | None, typer.Option(help="Write a row per request to this .parquet file.")
    ] = None,
) -> None:
    """Run one agent on one trace and print what came out."""
    from rich.console import Console
    from rich.live import Live

    from sageserve_bench.rows import clean, write_json
    from sageserve_bench.runs.episode import run_episode, steps_of
    from sageserve_bench.runs.request_records import check_target
    from sageserve_cli import terminal
    from sageserve_cli.live import LivePanel

    if records is not None:
        check_target(records)
    task = traffic.grid([agent], [seed]).tasks()[0]
    workload = task.workload()
    console = Console(stderr=True)
    panel = LivePanel(task.agent_label, workload.scenario, steps_of(workload.scenario))
    if console.is_terminal:
        with Live(panel, console=console, refresh_per_second=4, transient=True):
            episode = run_episode(task, workload=workload, on_step=panel.note, records=records)
    else:
        episode = run_episode(task, workload=workload, on_step=panel.note, records=records)
    out = terminal.output()
    out.print(metrics_table(episode.row))
    if json_file is not None:
        write_json(json_file, {name: clean(value) for name, value in episode.row.items()})
    if records is not None:
        typer.echo(str(records))


def metrics_table(row: dict[str, str | int | float | None]) -> Table:
    """Return the metrics of one run as a table."""
    from rich.table import Table

    table = Table("metric", header_style="bold")
    table.add_column("value", justify="right")
    for name, value in row.items():
        if value is None or name == "score":
            continue
        shown = f"{value:,.6g}" if isinstance(value, float) else str(value)
        if isinstance(value, int) and name not in {"seed"}:
            shown = f"{value:,}"
        table.add_row(name, shown)
    return table
