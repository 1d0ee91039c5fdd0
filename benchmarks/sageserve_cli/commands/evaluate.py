"""`sageserve evaluate`: the score of one policy file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sageserve_cli.options import Scenario, SeedList, Seeds, Split, json_option, parse_seeds

if TYPE_CHECKING:
    from sageserve_bench.evaluation.score import Evaluation


def evaluate(
    file: Annotated[str, typer.Argument(help="Python file with a class that has act(view).")],
    scenario: Scenario = "small-day",
    seeds: Seeds = 1,
    seed_list: SeedList = None,
    split: Split = "validation",
    timeout: Annotated[
        float, typer.Option(help="Seconds that the policy may take in all episodes together.")
    ] = 60.0,
    json_file: Annotated[Path | None, json_option("File for the score and its figures.")] = None,
) -> int:
    """Score one policy file against the calibrated planner.

    For people and programs that write policies: score 1 is as good as the planner, 2 pays half.
    A policy that crashes or takes too long scores 0, and the reason is said.
    """
    from sageserve_bench.evaluation.score import evaluate as score_of
    from sageserve_bench.rows import write_json

    found = score_of(
        file,
        scenario=scenario,
        seeds=parse_seeds(seeds, seed_list),
        split=split,
        limit_s=timeout,
    )
    _show(found)
    if json_file is not None:
        write_json(json_file, found.to_dict())
    return 0


def _show(found: Evaluation) -> None:
    if not found.valid:
        typer.echo(f"score 0: {found.error}")
        return
    typer.echo(f"score {found.score:.4f}")
    typer.echo(
        f"${found.j_usd:,.2f} with charges, ${found.cost_usd:,.2f} of it the bill; "
        f"the planner pays ${found.reference_j_usd:,.2f}"
    )
    missed = "; ".join(found.misses)
    typer.echo(f"misses {missed}" if missed else "attains every service target")
