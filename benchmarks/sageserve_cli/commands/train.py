"""`sageserve train`: train a learned agent."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sageserve_bench.errors import UserError
from sageserve_cli.options import BackendKind, RayAddress


def train(
    agent: Annotated[
        str, typer.Option(help="ppo, maskable-ppo, recurrent-ppo, sac, tqc, or residual-es.")
    ] = "ppo",
    scenario: Annotated[str | None, typer.Option(help="Name or YAML file.")] = None,
    env: Annotated[str | None, typer.Option(help="Environment id to learn on.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Time to learn for.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
    seeds: Annotated[
        int | None, typer.Option(help="Train N runs with the seeds from --seed on.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions to learn from.")] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder; only residual-es goes on with a run that is in it."
        ),
    ] = Path("results/train"),
    config: Annotated[
        Path | None, typer.Option(help="YAML file whose values replace the shipped ones.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the simulators and of PyTorch in a run.")
    ] = None,
    wandb: Annotated[
        str | None, typer.Option(help="Project of Weights & Biases that is shown the run.")
    ] = None,
    backend: BackendKind = "process",
    ray_address: RayAddress = None,
) -> None:
    """Train an agent on the training seeds (0-999) and keep the best on validation seeds.

    With --env ID or --scenario NAME, and --minutes or --steps: shows every evaluation beside the
    planner ilp, the line to pass, stops when nothing gets better, and writes model.zip, curve.csv,
    evaluate.json, TensorBoard events, and policy.npz with card.json, to be used as
    --agents ppo:checkpoint=FOLDER.

    residual-es takes --scenario and --steps; several seeds at a time; the same command goes on
    after an interruption.
    """
    from sageserve_agents.learned.arguments import configured
    from sageserve_agents.learned.on_id import recipes
    from sageserve_agents.parameters import nearest

    if agent in recipes():
        if seeds is not None or config is not None:
            raise UserError(f"--seeds and --config do not go with {agent}; it learns by its recipe")
        if (workers, backend, ray_address, threads) != (1, "process", None, None):
            raise UserError(
                "--workers, --backend, --ray-address and --threads do not go with "
                f"{agent}; it learns in one process"
            )
        _by_recipe(agent, env, scenario, minutes, steps, seed, output, wandb)
        return
    if agent not in configured():
        raise nearest(agent, [*recipes(), *configured()], "agent to train")
    if env is not None:
        raise UserError(f"{agent} takes --scenario, not --env")
    if minutes is not None:
        raise UserError(f"{agent} takes --steps, not --minutes")
    if wandb is not None:
        raise UserError(f"--wandb goes with the recipes ({', '.join(recipes())}), not {agent}")
    from rich.console import Console
    from rich.table import Table

    from sageserve_agents.learned.arguments import make_args
    from sageserve_agents.learned.run import STATE
    from sageserve_bench.runs.pools import Backend
    from sageserve_cli.training import folders, train_seeds

    chosen = Backend(backend, workers, ray_address)
    count = 1 if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds must be at least 1, got {count}")
    args = make_args(agent, config, scenario=scenario, seed=seed, steps=steps, threads=threads)
    for folder in folders(args, range(seed, seed + count), output).values():
        if not (folder / STATE / "run.json").is_file():
            _refuse_trained(folder)
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


def _refuse_trained(folder: Path) -> None:
    """Refuse a folder with a trained agent that would be overwritten."""
    from sageserve_agents.learned.checkpoint import CARD

    for name in ("model.zip", CARD):
        if (folder / name).exists():
            raise UserError(
                f"--output {folder}: holds {name} of another run, which cannot go on; "
                "name another folder"
            )


def _by_recipe(
    agent: str,
    env: str | None,
    scenario: str | None,
    minutes: float | None,
    steps: int | None,
    seed: int,
    output: Path,
    wandb: str | None,
) -> None:
    """Learn in an environment and say how to compare what came out."""
    from sageserve_agents.learned.checkpoint import CARD
    from sageserve_agents.learned.on_id import Budget, environment, train_on_id

    where = env or scenario
    if where is None:
        raise UserError(f"{agent} needs --env or --scenario, as in --env SageServe-Tiny-v1")
    if env is not None and scenario is not None:
        raise UserError("--env and --scenario both say where to learn: give one, not both")
    if (minutes is None) == (steps is None):
        raise UserError(f"{agent} needs --minutes or --steps, as in --minutes 5")
    _refuse_trained(output)
    train_on_id(agent, where, Budget(minutes, steps), seed, output, typer.echo, wandb)
    if (output / CARD).is_file():
        place = environment(where)["scenario"]
        words = ["sageserve", "compare", "--scenario", place, "--agents"]
        typer.echo(f"Compare it: {shlex.join([*words, f'ilp,{agent}:checkpoint={output}'])}")
