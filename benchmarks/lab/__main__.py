"""The command line of the lab: ``python -m lab COMMAND``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.assumptions import assumptions
from lab.calibrated_tables import calibrated_table
from lab.experiments.outcomes import read_experiment
from lab.experiments.page import tables as experiment_tables
from lab.experiments.paper import EXPERIMENTS
from lab.headline import CHART, PICTURE, chart, top
from lab.headline import picture as write_picture
from lab.headroom_tables import headroom_tables
from lab.leaderboard import leaderboard
from lab.markers import Makers, refresh
from lab.policy_tables import policy_tables
from lab.publishing import publish as take_in
from lab.zoo import zoo
from sageserve_bench.published import DEFAULT_FOLDER, read_published
from sageserve_env import knobs
from sageserve_env.catalogue.support import support_grid
from sageserve_env.observe import features

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
PACKAGE = {
    "knobs": knobs.table,
    "features": features.table,
    "policies": policy_tables,
    "support": support_grid,
}
TUNED = DEFAULT_FOLDER / "tuned"


def makers(results: Path) -> Makers:
    """Return what makes each kind of table from the published results."""
    return {
        "leaderboard": leaderboard(read_published(results)),
        "top": top(read_published(results)),
        "experiment": lambda name: experiment_tables(read_experiment(results / "paper" / name)),
        "headroom": headroom_tables(results / "headroom"),
        "calibrated": calibrated_table,
        "zoo": zoo(results),
        "assumptions": assumptions,
        "package": lambda name: PACKAGE[name](),
    }


@app.command()
def tables(
    results: Annotated[Path, typer.Option(help="Published results.")] = DEFAULT_FOLDER,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if a table is not the rows'."),
    ] = False,
) -> int:
    """Write the tables of the published results into README.md and docs/, here."""
    changed = refresh(Path(), makers(results), check=check)
    for page in changed:
        typer.echo(f"{page}: {'is not what the rows say' if check else 'written'}")
    if check and changed:
        typer.echo("run python -m lab tables")
        return 1
    typer.echo("the tables match the rows")
    return 0


@app.command("chart")
def draw(
    name: Annotated[str, typer.Argument(help="Published comparison.")],
    results: Annotated[Path, typer.Option(help="Published results.")] = DEFAULT_FOLDER,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture.")] = CHART,
) -> None:
    """Draw cost against service of a published comparison, for the README."""
    from sageserve_bench.errors import UserError

    found = {one.name: one for one in read_published(results)}
    if name not in found:
        raise UserError(f"{name!r} is not published; there are {', '.join(found) or 'none'}")
    chart(found[name], output)
    typer.echo(str(output))


@app.command()
def picture(
    scenario: Annotated[str, typer.Option(help="What is played.")] = "global-day",
    agent: Annotated[str, typer.Option(help="Who plays it.")] = "ilp",
    seed: Annotated[int, typer.Option(help="Of the episode.")] = 2000,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture.")] = PICTURE,
) -> None:
    """Draw an episode for the README: fleet, load, attainment and bill over the day."""
    write_picture(scenario, agent, seed, output)
    typer.echo(str(output))


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Output folder of a sageserve compare.")],
    name: Annotated[str, typer.Option(help="Its name below the results.")],
    command: Annotated[str, typer.Option(help="The command that made it.")],
    results: Annotated[Path, typer.Option(help="Published results.")] = DEFAULT_FOLDER,
) -> int:
    """Take the output of a comparison into the published results, then write the tables."""
    take_in(folder, results / name, command)
    return tables(results)


@app.command()
def experiment(
    name: Annotated[str | None, typer.Argument(help="Which; all are listed if left out.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; default results/paper/NAME.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Test seeds; default the experiment's own number.")
    ] = None,
    week: Annotated[bool, typer.Option("--week", help="Seven days instead of one.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, the first hour.")] = False,
    tuned: Annotated[
        Path, typer.Option(help="Folder of tuned agents; without it they run as they come.")
    ] = TUNED,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Run an experiment of the SageServe paper.

    Writes results.csv (raw rows), table.md with the paper's figures beside ours, plot.png,
    arms.json and command.txt. Finished runs in the folder are not repeated.
    """
    from rich.console import Console

    from lab.experiments.execute import read_tuned, run_experiment, write_experiment
    from sageserve_agents.parameters import nearest
    from sageserve_bench.report.progress import Bars
    from sageserve_bench.runs.pools import Backend

    if name is None:
        width = max(map(len, EXPERIMENTS))
        for one in EXPERIMENTS.values():
            typer.echo(f"{one.name:<{width}}  {one.title}")
        return
    if name not in EXPERIMENTS:
        raise nearest(name, EXPERIMENTS, "experiment")
    folder = output or Path("results/paper") / (f"{name}-week" if week else name)
    with Bars(Console(stderr=True)) as bars:
        outcomes = run_experiment(
            EXPERIMENTS[name],
            folder,
            seeds=seeds,
            quick=quick,
            week=week,
            tuned=read_tuned(tuned),
            backend=Backend(workers=workers),
            reporter=bars,
        )
    words = ["python", "-m", "lab", "experiment", name]
    words += ["--seeds", str(seeds)] if seeds is not None else []
    words += ["--week"] if week else []
    words += ["--quick"] if quick else []
    if tuned != TUNED:  # of a path elsewhere only the name, which is what may be published
        words += ["--tuned", tuned.name if tuned.is_absolute() else tuned.as_posix()]
    files = write_experiment(outcomes, folder, shlex.join(words))
    typer.echo((folder / "table.md").read_text(encoding="utf-8"))
    for path in files:
        typer.echo(str(path))


@app.command()
def routers(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = DEFAULT_FOLDER
    / "routers",
    days: Annotated[int, typer.Option(min=0, help="Simulated days of each search.")] = 80,
    fleet: Annotated[list[str] | None, typer.Option(help="Which; all if left out.")] = None,
    hours: Annotated[float, typer.Option(help="Length of a day.")] = 24.0,
    again: Annotated[bool, typer.Option("--again", help="Found weights on other days.")] = False,
) -> None:
    """Compare routers on sessions-day with a fixed fleet: presets, tuned and learned weights."""
    from lab.routers import FLEETS, compare_routers, play_again

    if again:
        play_again(output, typer.echo, hours=hours)
        return
    compare_routers(output, days, typer.echo, fleets=fleet or list(FLEETS), hours=hours)


@app.command()
def sessions(
    manifest: Annotated[Path, typer.Argument(help="Published parameters of agent sessions.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Picture.")] = None,
) -> None:
    """Draw generated agent sessions against the published parameters."""
    from lab.session_plot import PICTURE as SESSIONS
    from lab.session_plot import largest_gaps
    from lab.session_plot import picture as draw_sessions

    draw_sessions(manifest, output or SESSIONS)
    for name, gap in largest_gaps(manifest).items():
        typer.echo(f"{name}: at most {100 * gap:.1f} points apart")


@app.command()
def curves(
    name: Annotated[str, typer.Argument(help="Published folder with a zoo.")] = "learning-tiny",
    results: Annotated[Path, typer.Option(help="Published results.")] = DEFAULT_FOLDER,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Picture.")] = None,
) -> None:
    """Draw the learning curves of the recipes against the line of the planner."""
    from lab.zoo import PICTURE as CURVES
    from lab.zoo import picture as draw_curves

    draw_curves(results, name, output or CURVES)


@app.command()
def fits(
    folder: Annotated[
        Path | None, typer.Argument(help="Measured latency tables; default as sageserve fidelity.")
    ] = None,
) -> None:
    """Compare ways to fit the measured prefill times (15 s)."""
    from lab.fits import fits_report
    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.tables import default_tables, load_tables

    columns = [f"prefill_{f}_error{w}" for w in ("", "_by_size") for f in ("median", "p90")]
    print_table(
        "Fits of the prefill",
        ["model", "VM type", "fit", "median", "p90", "median by size", "p90 by size"],
        [
            [r["model"], r["gpu"], r["fit"], *(percent(float(r[name])) for name in columns)]
            for r in fits_report(load_tables(folder or default_tables()))
        ],
    )


@app.command("held-out")
def unseen(
    file: Annotated[Path, typer.Argument(help="Measurements in the columns of aiconfigurator.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV of the rows.")] = Path(
        "results/held-out.csv"
    ),
) -> None:
    """Predict each measured row with profiles fitted without its cell.

    Folds that are done are kept beside the output until all are: the same command goes on.
    """
    from lab.held_out import held_out, line, table, write_rows
    from sageserve_bench.results.journal import Journal
    from sageserve_cli.terminal import print_table

    kept = output.with_suffix(".jsonl")
    found = list(held_out(file, Journal(kept), typer.echo))
    write_rows(output, found)
    kept.unlink()
    print_table(
        "Errors on held-out rows",
        ["rows of", "rows", "TPOT median", "TPOT p90", "TTFT median"],
        table(found),
    )
    typer.echo(f"all: {line(found)}")


def run(words: list[str]) -> int:
    """Run a command and return its exit code; bad input is one line on standard error."""
    try:
        return app(words, prog_name="python -m lab", standalone_mode=False) or 0
    except typer.TyperException as error:
        message = error.format_message()
    except ValueError as error:
        message = str(error)
    print(f"lab: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
