"""`sageserve headroom`: how much there is to gain in a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sageserve_cli.options import Workers, json_option, parse_seeds

if TYPE_CHECKING:
    from sageserve_env.scenario import Scenario
    from sageserve_search.headroom.measure import Cast


def headroom(
    scenario: Annotated[str, typer.Argument(help="Name or YAML file.")],
    seed_list: Annotated[str, typer.Option(help="Seeds, as 1,2.")] = "2000",
    evaluations: Annotated[
        int, typer.Option(min=0, help="Plays of each day that the search with hindsight may use.")
    ] = 200,
    static: Annotated[str, typer.Option(help="Fleets that never change.")] = "static",
    rules: Annotated[str, typer.Option(help="Rules, separated by commas.")] = "",
    planners: Annotated[str, typer.Option(help="Planners.")] = "",
    perfect: Annotated[str, typer.Option(help="Planners with a perfect forecast.")] = "",
    learned: Annotated[str, typer.Option(help="Learned agents.")] = "",
    freeze: Annotated[
        str,
        typer.Option(help="Knobs that the search leaves alone: scaling, hardware, batch, ..."),
    ] = "",
    adapt: Annotated[
        int,
        typer.Option(min=0, help="Plays in which the best plan adapts to each knob put back."),
    ] = 0,
    adapt_without: Annotated[
        str, typer.Option(help="Knobs put back for --adapt: routing, batch, ...; default is all.")
    ] = "",
    agent_probes: Annotated[
        int,
        typer.Option(
            min=0,
            help="Values of its service knob at which the best agent plays without each knob.",
        ),
    ] = 0,
    redraw: Annotated[
        int,
        typer.Option(min=0, help="Times that the same days are played with other requests."),
    ] = 0,
    begin_with: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Plans of these days found before, to begin with: an .npz file."
        ),
    ] = None,
    workers: Workers = 1,
    json: Annotated[
        Path | None, json_option("File to write, and the plans found beside it.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of finished parts; default is beside the file.")
    ] = None,
) -> int:
    """Say what a scenario leaves to decide: from the least fleet to a search with hindsight.

    Best static fleet, rule, planner, planner with a perfect forecast and learned agent, a search
    with the simulator on that very day from their plans, and a relaxation; each with the service
    attained. An interrupted job goes on where it was, and more evaluations go on too.
    """
    from rich.console import Console

    from sageserve_bench.errors import UserError
    from sageserve_bench.rows import write_json
    from sageserve_bench.runs.pools import Backend
    from sageserve_bench.runs.workload import pick_seeds
    from sageserve_env.scenario import load_scenario
    from sageserve_search.headroom.edits import KINDS
    from sageserve_search.headroom.measure import Budget, measure
    from sageserve_search.headroom.summary import summary
    from sageserve_search.headroom.worth import knobs_of
    from sageserve_search.records import shown_command

    loaded = load_scenario(scenario)
    given = {
        "static": static,
        "rule": rules,
        "planner": planners,
        "perfect": perfect,
        "learned": learned,
    }
    cast = _cast(given, loaded)
    frozen = tuple(word.strip() for word in freeze.split(",") if word.strip())
    _check_knobs("--freeze", frozen, [knob for knob, _ in KINDS])
    adapted = tuple(word.strip() for word in adapt_without.split(",") if word.strip())
    _check_knobs("--adapt-without", adapted, knobs_of(loaded))
    if adapted and not adapt:
        raise UserError("--adapt-without needs --adapt, the plays in which plans adapt")
    _check_from(begin_with, json, frozen)
    folder = work or (None if json is None else json.with_suffix(".work"))
    console = Console(stderr=True)
    words: dict[str, Any] = {name: text or None for name, text in given.items() if name == "static"}
    words |= {"seed-list": seed_list, "evaluations": evaluations, "freeze": freeze or None}
    words |= {
        "adapt": adapt or None,
        "adapt-without": adapt_without or None,
        "agent-probes": agent_probes or None,
        "redraw": redraw or None,
    }
    words |= {"rules": rules or None, "planners": planners or None, "perfect": perfect or None}
    words |= {"learned": learned or None, "from": begin_with}
    budget = Budget(
        plays=evaluations,
        frozen=frozen,
        adapting=adapt,
        adapted=adapted,
        agent_probes=agent_probes,
        redraws=redraw,
        published=begin_with,
        backend=Backend(workers=workers),
    )
    rows, found = measure(
        loaded,
        pick_seeds(parse_seeds(1, seed_list)),
        cast,
        budget,
        folder,
        lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        None if json is None else json.with_suffix(".npz"),
    )
    report = {
        "scenario": loaded.name,
        "command": shown_command("headroom", words).replace(
            "headroom", f"headroom {loaded.name}", 1
        ),
        "evaluations": evaluations,
        "without": list(frozen),
        **summary(rows),
        **found,
        "seeds": rows,
    }
    _show(report)
    if json is not None:
        write_json(json, report)
    return 0


def _cast(given: dict[str, str], scenario: Scenario) -> Cast:
    """Return who plays; what is not given is the default."""
    from sageserve_bench.runs.tasks import check_agents, split_agents
    from sageserve_search.headroom.measure import Cast

    agents = dict(Cast().agents)
    for kind, text in given.items():
        if text.strip():
            agents[kind] = tuple(split_agents(text))
            check_agents(agents[kind], scenario)
    return Cast(agents)


def _check_knobs(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    from sageserve_bench.errors import UserError

    for word in given:
        if word not in known:
            raise UserError(f"{option} {word!r}: expected some of {', '.join(known)}")


def _check_from(file: Path | None, json: Path | None, frozen: tuple[str, ...]) -> None:
    from sageserve_bench.errors import UserError

    if file is None:
        return
    if frozen:
        raise UserError("--from with --freeze: plans found before may use the knob; leave one out")
    if json is not None and json.with_suffix(".npz").resolve() == file.resolve():
        raise UserError(f"--json {json} would write over the plans of --from; name another file")


def _show(report: dict[str, Any]) -> None:
    """Print the means over the seeds."""
    from rich.table import Column, Table

    from sageserve_cli import terminal
    from sageserve_search.headroom.ablation import shown

    agent = Column("agent", overflow="fold")
    table = Table("", agent, "$", "IW-F %", "IW-N %", "NIW %", "worst\nmodel %")
    for kind in ("static", "rule", "planner", "perfect", "learned", "hindsight"):
        service = report.get(f"{kind}_service") or {}
        shares = (service.get(f"slo_{name}") for name in ("iwf", "iwn", "niw", "worst_model"))
        usd = report.get(f"{kind}_usd")
        table.add_row(
            kind,
            str(report.get(kind) or "-").replace("[", "\\["),
            "-" if usd is None else f"{usd:,.0f}",
            *("-" if share is None else f"{100 * share:.2f}" for share in shares),
        )
    console = terminal.output()
    terminal.show(table, console)
    redrawn = report.get("redrawn") or {}
    for key in ("least_fleet_usd", "bound_usd", "headroom", "headroom_decision"):
        figure = _shown(key, report.get(key))
        if key in redrawn:
            figure += f"; with other requests {_shown(key, redrawn[key])}"
        console.print(f"{key}: {figure}", markup=False, highlight=False)
    for knob, one in (report.get("agent_frozen") or {}).items():
        console.print(f"best agent without {knob}: {shown(one)}", markup=False, highlight=False)


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if "usd" in key else f"{100 * value:.1f} %"
