"""`sageserve calibrate`: agents at equal service, each at its lowest cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sageserve_cli.options import BackendKind, RayAddress, SeedList, Seeds, Workers
from sageserve_cli.traffic import Days, Traffic, plays_trace

if TYPE_CHECKING:
    from sageserve_search.calibration import Calibration


@plays_trace
def calibrate(
    agents: Annotated[
        str,
        typer.Option(help="Agents, separated by commas; @FILE takes those of a tuned file."),
    ],
    *,
    traffic: Traffic,
    split: Annotated[str, typer.Option(help="train or validation.")] = "validation",
    seeds: Seeds = 4,
    seed_list: SeedList = None,
    knob: Annotated[
        str | None,
        typer.Option(help="Option to turn instead of the agents' own: rho=STINGY..GENEROUS."),
    ] = None,
    probes: Annotated[int, typer.Option(min=2, help="Settings of each agent at most.")] = 10,
    workers: Workers = 1,
    backend: BackendKind = "process",
    ray_address: RayAddress = None,
    margin: Annotated[
        float,
        typer.Option(help="Logarithm of misses allowed over misses to aim at; 0 attains exactly."),
    ] = 0.0,
    settings: Annotated[
        int,
        typer.Option(min=0, help="Changes of other options that each agent may try."),
    ] = 0,
    search_seeds: Annotated[
        int, typer.Option(min=1, help="Of the seeds, so many on which changes are compared.")
    ] = 2,
    ship: Annotated[
        bool,
        typer.Option(help="Write what attains into the package's options for this scenario."),
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file to write.")] = Path(
        "results/calibrated.json"
    ),
) -> int:
    """Find the lowest cost at which each agent attains the service targets.

    The targets: those of the scenario's tiers, no model below 90 %, at most
    0.5 % unfinished, on average over the seeds. `compare --agents @FILE` runs what was found. With
    `--ship` it becomes what the agents are on this scenario by default.
    """
    from rich.console import Console

    from sageserve_bench.rows import write_json
    from sageserve_bench.runs.pools import Backend, session
    from sageserve_bench.runs.tasks import agent_label, check_agents, split_agents
    from sageserve_search.knob import parse_knob
    from sageserve_search.records import header, shown_command
    from sageserve_search.shipping import calibrate_settings, write_shipped

    turned = None if knob is None else parse_knob(knob)
    specs = split_agents(agents)
    check_agents(specs, traffic.scenario)
    chosen = Backend(backend, workers, ray_address)
    days = Days(traffic, split, seeds, seed_list)
    prober = days.prober(chosen, output)
    shown = shown_command(
        "calibrate",
        {
            "agents": agents,
            **days.words(),
            "knob": knob,
            "probes": probes,
            "margin": margin or None,
            "settings": settings or None,
            "search-seeds": search_seeds if settings else None,
            "ship": ship or None,
            "output": output,
        },
    )
    console = Console(stderr=True)
    prober.told = lambda line: console.print(f"  {line}", markup=False, highlight=False)
    records: dict[str, Any] = {}
    found: list[Calibration] = []
    files: set[str] = set()
    with session(chosen):
        for number, spec in enumerate(specs, 1):
            console.print(f"{number}/{len(specs)} {spec}", markup=False, highlight=False)
            one = calibrate_settings(
                spec,
                prober,
                settings,
                search_seeds,
                knob=turned,
                max_probes=probes,
                margin=margin,
            )
            found.append(one)
            records[agent_label(spec)] = one.to_dict()
            write_json(output, {**header(prober, shown), "agents": records})
            if ship and one.attains:
                files.add(str(write_shipped(prober.scenario.name, one, prober.seeds)))
    show_calibrations(found, [str(output), *sorted(files)])
    return 0


def show_calibrations(found: list[Calibration], files: list[str]) -> None:
    """Print the calibrated agents, cheapest first, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=160, force_terminal=False)
    table = Table("agent", "GPU-h", "$", "IW-F %", "IW-N %", "worst\nmodel %", "misses")
    for one in sorted(found, key=lambda c: (not c.attains, c.best.cost_usd)):
        means = one.best.means
        shares = (means.get(name) for name in ("slo_iwf", "slo_iwn", "slo_worst_model"))
        table.add_row(
            one.spec.replace("[", "\\["),
            f"{means['gpu_hours']:,.0f}",
            f"{means['cost_usd']:,.0f}",
            *("-" if share is None else f"{100 * share:.2f}" for share in shares),
            "; ".join(one.best.misses) or "none",
        )
    console.print(table)
    for name in files:
        console.print(name, markup=False, highlight=False, soft_wrap=True)
