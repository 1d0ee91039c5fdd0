"""`sageserve trace`: inspect, make, convert, download and plot request traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sageserve_cli.options import RateScale, Tile, reads_trace, remark
from sageserve_traces import (
    ReadOptions,
    TraceError,
    TraceSource,
    is_generated,
    list_traces,
    make_trace,
    parse_duration,
    read_trace,
)
from sageserve_traces import download as download_trace

if TYPE_CHECKING:
    from sageserve_traces import LoadReport

trace_app = typer.Typer(
    help="Inspect, make, convert, download or plot request traces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Trace = Annotated[str, typer.Argument(help="Name of a published trace, or path of a file.")]
Seed = Annotated[int, typer.Option(min=0, help="Fixes generated requests and assignments.")]
Length = Annotated[str | None, typer.Option(help="Length, such as 6h or 7d.")]
Bursts = Annotated[bool, typer.Option(help="First minute of each hour eight more times.")]
Cluster = Annotated[
    str | None, typer.Option("--scenario", help="Whose models, regions and tiers a file names.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help=".csv, .csv.gz or .parquet file.")]


def _open(
    trace: str,
    scenario: str | None,
    reading: ReadOptions,
    seed: int,
    length: str | None = None,
    tile: str | None = None,
    rate_scale: float = 1.0,
    bursts: bool = False,
) -> tuple[TraceSource, LoadReport | None]:
    """Return a trace, and what reading its file came to (None where it is generated)."""
    from sageserve_env.scenario import load_scenario
    from sageserve_env.workload import names_of

    cluster = load_scenario(scenario) if scenario else None
    report, names = None, {}
    if not is_generated(trace):
        names = names_of(cluster) if cluster else {}
        report = read_trace(trace, reading=reading, **names)[1]
        names = names_of(cluster, report.assumed) if cluster else {}
    source = make_trace(
        trace,
        seed=seed,
        horizon_s=parse_duration(length) if length else None,
        tile_s=parse_duration(tile) if tile else None,
        scale=rate_scale,
        bursts=bursts,
        reading=reading,
        **names,
    )
    return source, report


def _keep_input(trace: str, output: Path) -> None:
    """Refuse an output that is the trace itself or a file in the folder that is read.

    Raises:
        TraceError: If writing would replace what is read.
    """
    target, read = output.resolve(), Path(trace).resolve()
    if target == read or (read.is_dir() and target.exists() and read in target.parents):
        raise TraceError(f"--output {output}: is read as the trace; name another file")


def _write(source: TraceSource, output: Path) -> int:
    from sageserve_traces.sources import native

    if output.suffix == ".parquet":
        return native.write_parquet(source, output)
    if output.name.endswith((".csv", ".csv.gz")):
        return native.write_csv(source, output)
    raise TraceError(f"{output}: the name must end in .csv, .csv.gz or .parquet")


@trace_app.command()
@reads_trace
def info(
    trace: Trace,
    seed: Seed = 0,
    length: Length = None,
    tile: Tile = None,
    rate_scale: RateScale = 1.0,
    bursts: Bursts = False,
    scenario: Cluster = None,
    *,
    reading: ReadOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show rates, burstiness, tokens and shares of a trace, and what was assumed."""
    from sageserve_traces.summary import summarise

    source, report = _open(trace, scenario, reading, seed, length, tile, rate_scale, bursts)
    summary = summarise(source)
    summary["assumed"] = list(report.assumed) if report else []
    summary["schema"] = report.schema if report else "generated"
    summary["rows_dropped"] = dict(report.dropped) if report else {}
    summary["outputs_raised_to_1"] = report.outputs_raised if report else 0
    summary["notes"] = list(report.notes) if report else []
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print(summary)


def _print(summary: dict[str, Any]) -> None:
    from rich.table import Table

    from sageserve_bench.wording import duration
    from sageserve_cli import terminal

    console = terminal.output()
    length_s = summary["duration_s"]
    busiest = f"{summary['peak_minute_requests_per_s']:.2f}/s" if length_s >= 60 else "-"
    gaps = f"{summary['arrival_cv']:.2f} (1: Poisson)" if summary["arrival_cv"] else "-"
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[summary["start_weekday"]]
    facts = Table(title=f"trace {summary['name']}", show_header=False)
    rows = [
        ("requests", f"{summary['requests']:,}"),
        ("length", f"{duration(length_s)} from {day} {_clock(summary)} UTC"),
        ("rate", f"{summary['requests_per_s']:.2f}/s"),
        ("busiest minute", busiest),
        ("CV of gaps", gaps),
        ("split", summary["split"]),
        ("schema", summary["schema"]),
    ]
    for key, shares in summary["shares"].items():
        seen = (f"{name} {share:.1%}" for name, share in shares.items() if share > 0)
        rows.append((key, ", ".join(seen)))
    if summary["assumed"]:
        rows.append(("assigned by seed", ", ".join(summary["assumed"])))
    rows += [(f"dropped: {why}", f"{n:,}") for why, n in summary["rows_dropped"].items()]
    if summary["outputs_raised_to_1"]:
        rows.append(("output 0 read as 1", f"{summary['outputs_raised_to_1']:,}"))
    rows += [("note", note) for note in summary["notes"]]
    for name, value in rows:
        facts.add_row(name, value)
    console.print(facts)
    table = Table("tier", "requests/s", title="tokens: mean | p50 p90 p99")
    table.add_column("prompt", justify="right")
    table.add_column("output", justify="right")
    for name, tier in summary["tiers"].items():
        cells = [_tokens(tier[key]) for key in ("prompt_tokens", "output_tokens")]
        table.add_row(name, f"{tier['requests_per_s']:.2f}", *cells)
    terminal.show(table, console)


def _clock(summary: dict[str, Any]) -> str:
    minutes = int(summary["start_hour_utc"] * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _tokens(values: dict[str, float]) -> str:
    if not values:
        return "-"
    return f"{values['mean']:,.0f} | {values['p50']:,.0f} {values['p90']:,.0f} {values['p99']:,.0f}"


@trace_app.command()
@reads_trace
def make(
    output: Output,
    trace: Trace = "o365",
    seed: Seed = 0,
    length: Length = None,
    tile: Tile = None,
    rate_scale: RateScale = 1.0,
    bursts: Bursts = False,
    scenario: Cluster = None,
    *,
    reading: ReadOptions,
) -> None:
    """Write a synthetic or transformed trace, chunk by chunk."""
    _keep_input(trace, output)
    source, report = _open(trace, scenario, reading, seed, length, tile, rate_scale, bursts)
    remark(report)
    n = _write(source, output)
    typer.echo(f"{output}: {n:,} requests, {source.duration_s / 3600:.2f} h")


@trace_app.command()
@reads_trace
def convert(
    file: Annotated[Path, typer.Argument(help="A trace file of any known schema.")],
    output: Output,
    seed: Seed = 0,
    scenario: Cluster = None,
    *,
    reading: ReadOptions,
) -> None:
    """Convert a trace file to the native schema; what it does not say is assigned by the seed."""
    from sageserve_bench.runs.workload import remarks

    _keep_input(str(file), output)
    source, report = _open(str(file), scenario, reading, seed)
    n = _write(source, output)
    schema = f" from schema {report.schema}" if report else ""
    typer.echo(f"{output}: {n:,} requests{schema}")
    if report and report.assumed:
        typer.echo(f"assigned by seed {seed}: {', '.join(report.assumed)}")
    for line in remarks(report) if report else ():
        typer.echo(line)


@trace_app.command()
def download(
    name: Annotated[str, typer.Argument(help="Name of a published trace.")],
    file: Annotated[Path | None, typer.Option(help="A copy on this machine, no network.")] = None,
    target: Annotated[Path | None, typer.Option(help="Folder, default the user's cache.")] = None,
) -> None:
    """Bring the files of a named trace to the cache, verified by SHA-256."""
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        task = progress.add_task(name, total=None)

        def shown(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        paths = download_trace(name, file=file, target=target, progress=shown)
    for path in paths:
        typer.echo(str(path))
    if not paths:
        typer.echo(f"{name} is generated and needs no file")
    licences = {entry.name: (entry.licence, entry.citation) for entry in list_traces()}
    typer.echo("licence {}; cite {}".format(*licences[name]))


@trace_app.command()
@reads_trace
def plot(
    trace: Trace,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file.")],
    seed: Seed = 0,
    length: Length = None,
    tile: Tile = None,
    rate_scale: RateScale = 1.0,
    bursts: Bursts = False,
    scenario: Cluster = None,
    *,
    reading: ReadOptions,
    bin_s: Annotated[float, typer.Option("--bin", help="Seconds per point.")] = 300.0,
) -> None:
    """Plot request and token rates over time."""
    from sageserve_traces.plotting import plot_demand

    _keep_input(trace, output)
    source, report = _open(trace, scenario, reading, seed, length, tile, rate_scale, bursts)
    remark(report)
    plot_demand(source, output, bin_s=bin_s)
    typer.echo(str(output))
