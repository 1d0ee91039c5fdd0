"""`sageserve train`: train a learned agent."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sageserve_bench.errors import UserError


def train(
    agent: Annotated[str, typer.Option(help="Agent to train, such as ppo or residual-es.")],
    scenario: Annotated[str | None, typer.Option(help="Name or YAML file.")] = None,
    env: Annotated[
        str | None,
        typer.Option(help="Learn on this environment id by the agent's recipe; with --minutes."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Time to learn on --env for.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
    seeds: Annotated[
        int | None, typer.Option(help="Train N runs with the seeds from --seed on.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Decisions to learn from.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; an interrupted run in it goes on.")
    ] = Path("results/train"),
    config: Annotated[
        Path | None, typer.Option(help="YAML file whose values replace the shipped ones.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the simulators and of PyTorch in a run.")
    ] = None,
    backend: Annotated[str, typer.Option(help="process or ray.")] = "process",
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster to use; auto finds a running one.")
    ] = None,
) -> None:
    """Train an agent on the training seeds (0-999) and keep the best on validation seeds.

    Writes policy.npz and card.json (use as --agents NAME:checkpoint=FOLDER), curve.csv and
    TensorBoard events. The same command goes on after an interruption.

    With --env and --minutes it learns on an environment id instead, shows the planner ilp as the
    line to pass, stops when nothing gets better, and writes model.zip, curve.csv and evaluate.json.
    """
    if (env is None) != (minutes is None):
        raise UserError(
            "--env and --minutes go together, as in --env SageServe-Tiny-v1 --minutes 5"
        )
    if env is not None and minutes is not None:
        from sageserve_agents.learned.on_id import train_on_id

        if scenario is not None or steps is not None or seeds is not None or config is not None:
            raise UserError("--scenario, --steps, --seeds and --config do not go with --env")
        train_on_id(agent, env, minutes, seed, output, typer.echo)
        return
    from rich.console import Console
    from rich.table import Table

    from sageserve_agents.learned.arguments import make_args
    from sageserve_bench.pools import Backend
    from sageserve_bench.training import folders, train_seeds

    chosen = Backend(backend, workers, ray_address)
    count = 1 if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds must be at least 1, got {count}")
    args = make_args(agent, config, scenario=scenario, seed=seed, steps=steps, threads=threads)
    results = train_seeds(args, range(seed, seed + count), output, chosen, Console(stderr=True))
    table = Table(title=f"{agent} on {args.scenario}, validation seeds", header_style="bold")
    for name in ("seed", "steps", "first reward", "best reward", "$", "IW-F", "worst model"):
        table.add_column(name, justify="right")
    for number, result in zip(range(seed, seed + count), results, strict=True):
        best = result.best
        figures = [f"{result.first.get('reward', float('nan')):,.1f}"]
        figures += [f"{best.get('reward', float('nan')):,.1f}"]
        figures += [f"{best.get('cost_usd', float('nan')):,.0f}"]
        figures += [f"{best.get(k, float('nan')):.2%}" for k in ("slo_iwf", "slo_worst_model")]
        table.add_row(str(number), f"{result.steps:,}", *figures)
    Console().print(table)
    trained = folders(args, range(seed, seed + count), output).values()
    agents = ",".join(["ilp", *(f"{agent}:checkpoint={folder}" for folder in trained)])
    words = ["sageserve", "compare", "--scenario", args.scenario, "--agents", agents]
    typer.echo(f"Compare it: {shlex.join(words)}")
