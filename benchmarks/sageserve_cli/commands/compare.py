"""`sageserve compare`: agents on identical traces and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sageserve_cli.options import (
    BackendKind,
    RateScale,
    RayAddress,
    Scenario,
    SeedList,
    Seeds,
    Split,
    Tile,
    Workers,
    parse_seeds,
    reads_trace,
)
from sageserve_env.registration import DEFAULT_SCENARIO
from sageserve_traces import ReadOptions


@reads_trace
def compare(
    agents: Annotated[
        str,
        typer.Option(
            help="Agents, separated by commas; options ride on the name: "
            "static,ilp:forecaster=seasonal;router=threshold"
        ),
    ] = "static,reactive,ilp",
    scenario: Scenario = DEFAULT_SCENARIO,
    trace: Annotated[
        list[str] | None,
        typer.Option(help="Name or file; may be repeated. Default: the scenario's workload."),
    ] = None,
    tile: Tile = None,
    rate_scale: RateScale = 1.0,
    *,
    reading: ReadOptions,
    seeds: Seeds = 1,
    seed_list: SeedList = None,
    split: Split = "test",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; finished runs in it are not repeated.")
    ] = Path("results/compare"),
    workers: Workers = 1,
    backend: BackendKind = "process",
    ray_address: RayAddress = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay the stored decisions and compare every row.")
    ] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Every column of the table.")] = False,
) -> int:
    """Compare agents on identical traces and seeds.

    Writes results.csv, summary.json and report.html to the output folder and prints which policy is
    cheapest at the service targets.
    """
    from rich.console import Console

    from sageserve_bench.analysis.assumptions import assumptions
    from sageserve_bench.comparison import run_grid
    from sageserve_bench.replay import VERIFIED, verify_grid
    from sageserve_bench.report.progress import Bars
    from sageserve_bench.report.table import show
    from sageserve_bench.results.store import REPORT, RESULTS, SUMMARY, Store
    from sageserve_bench.runs.grid import make_grid
    from sageserve_bench.runs.pools import Backend
    from sageserve_bench.summary import write_outcome
    from sageserve_cli import terminal

    chosen = Backend(backend, workers, ray_address)
    grid = make_grid(
        agents,
        scenario=scenario,
        trace=list(trace) if trace else None,
        seeds=parse_seeds(seeds, seed_list),
        split=split,
        tile=tile,
        rate_scale=rate_scale,
        reading=reading,
    )
    store = Store(output)
    console = Console(stderr=True)
    if verify:
        with Bars(console) as bars:
            found = verify_grid(grid, store, bars, store.folder / VERIFIED)
        return report_check(*found)
    with Bars(console) as bars:
        rows = run_grid(grid, store, chosen, bars)
    outcome = write_outcome(store, rows, grid)
    files = [str(output / name) for name in (RESULTS, SUMMARY, REPORT)]
    show(terminal.output(), outcome, assumptions(grid, rows), files, wide=wide)
    return 0


def report_check(checked: int, reused: int, problems: list[str]) -> int:
    """Say how a replay came out; return the exit code."""
    for line in problems[:20]:
        typer.echo(line)
    if reused:
        typer.echo(f"{reused} of {checked} rows were checked before, with the same code")
    if problems:
        typer.echo(f"{len(problems)} values differ from the stored rows")
        return 1
    typer.echo(f"{checked} rows reproduced exactly from their action logs")
    return 0
