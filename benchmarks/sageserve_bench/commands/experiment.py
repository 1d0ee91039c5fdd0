"""`sageserve experiment`: the paper's experiments by name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

TUNED = Path("benchmarks/results/tuned")


def experiment(
    name: Annotated[str | None, typer.Argument(help="Which; --list shows all.")] = None,
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
    page: Annotated[
        Path | None, typer.Option(help="Write the published tables into this page; run nothing.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the experiments.")] = False,
) -> None:
    """Run an experiment of the SageServe paper.

    Writes results.csv (raw rows), table.md with the paper's figures beside ours, plot.png,
    arms.json and command.txt. Finished runs in the folder are not repeated.
    """
    from rich.console import Console

    from sageserve_agents.parameters import nearest
    from sageserve_bench import terminal
    from sageserve_bench.backends import Backend
    from sageserve_bench.errors import UserError
    from sageserve_bench.experiments.catalogue import EXPERIMENTS
    from sageserve_bench.experiments.execute import read_tuned, run_experiment, write_experiment
    from sageserve_bench.progress import Bars

    if listed:
        width = max(map(len, EXPERIMENTS))
        for one in EXPERIMENTS.values():
            typer.echo(f"{one.name:<{width}}  {one.title}")
        return
    if page is not None:
        from sageserve_bench.experiments.pages import refresh

        typer.echo(f"{page}: {'tables written' if refresh(page) else 'as published'}")
        return
    if name is None:
        raise UserError(f"name an experiment: {', '.join(EXPERIMENTS)}")
    if name not in EXPERIMENTS:
        raise nearest(name, EXPERIMENTS, "experiment")
    chosen = EXPERIMENTS[name]
    folder = output or Path("results/paper") / (f"{name}-week" if week else name)
    specs = read_tuned(tuned)
    with Bars(Console(stderr=True)) as bars:
        outcomes = run_experiment(
            chosen,
            folder,
            seeds=seeds,
            quick=quick,
            week=week,
            tuned=specs,
            backend=Backend(workers=workers),
            reporter=bars,
        )
    words = ["sageserve", "experiment", name]
    words += ["--seeds", str(seeds)] if seeds is not None else []
    words += ["--week"] if week else []
    words += ["--quick"] if quick else []
    if tuned != TUNED:  # of a path elsewhere only the name, which is what may be published
        words += ["--tuned", tuned.name if tuned.is_absolute() else tuned.as_posix()]
    files = write_experiment(outcomes, folder, shlex.join(words))
    console = terminal.output()
    text = (folder / "table.md").read_text(encoding="utf-8")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    for path in files:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
