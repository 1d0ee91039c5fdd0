"""`sageserve tune`: an agent's options at which equal service costs least."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sageserve_cli.options import BackendKind, RayAddress, SeedList, Seeds, Workers
from sageserve_cli.traffic import Days, Traffic, plays_trace


@plays_trace
def tune(
    agent: Annotated[
        str, typer.Option(help="Agent; options given with it, as in ilp:beta=1, are not varied.")
    ],
    *,
    traffic: Traffic,
    budget: Annotated[int, typer.Option(help="Simulated episodes, all told.")] = 80,
    split: Annotated[str, typer.Option(help="train or validation.")] = "validation",
    seeds: Seeds = 2,
    seed_list: SeedList = None,
    sampler_seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    workers: Workers = 1,
    backend: BackendKind = "process",
    ray_address: RayAddress = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file; default results/tuned/NAME.")
    ] = None,
) -> int:
    """Search an agent's options for the least cost at equal service, on validation seeds.

    The same budget of episodes for every agent makes a fair comparison. An interrupted tuning goes
    on where it stopped when the same command is given again. `compare --agents @FILE` runs what
    was found.
    """
    from rich.console import Console

    from sageserve_agents.registry import parse_spec, split_file
    from sageserve_bench.rows import write_json
    from sageserve_bench.runs.pools import Backend, session
    from sageserve_bench.runs.tasks import agent_label, check_agents
    from sageserve_cli.commands.calibrate import show_calibrations
    from sageserve_search.records import header, shown_command
    from sageserve_search.tuning import tune as tune_agent

    check_agents([agent], traffic.scenario)
    import_module("optuna")  # before the first episode, not after the first part of them
    name = Path(split_file(parse_spec(agent)[0])[0]).stem
    path = output or Path("results/tuned") / f"{name}.json"
    chosen = Backend(backend, workers, ray_address)
    days = Days(traffic, split, seeds, seed_list)
    prober = days.prober(chosen, path)
    console = Console(stderr=True)
    prober.told = lambda line: console.print(
        f"  {prober.episodes}/{budget} {line}", markup=False, highlight=False
    )
    with session(chosen):
        found = tune_agent(agent, prober, budget, sampler_seed=sampler_seed)
    shown = shown_command(
        "tune",
        {
            "agent": agent,
            **days.words(),
            "budget": budget,
            "sampler-seed": sampler_seed,
            "output": path,
        },
    )
    write_json(path, {**header(prober, shown), "agents": {agent_label(agent): found.to_dict()}})
    show_calibrations([found.default, found.best], [str(path)])
    return 0
