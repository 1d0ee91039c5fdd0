"""`sageserve benchmark`: the published comparisons again, and whether they come out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def benchmark(
    names: Annotated[
        list[str] | None, typer.Argument(help="Published folders; all if left out.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the published results.")] = Path(
        "benchmarks/results"
    ),
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder of reruns and replays; interrupted ones go on."
        ),
    ] = Path("results/benchmark"),
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay the published decisions instead.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    agent: Annotated[
        str | None,
        typer.Option(help="Your agent, FILE:CLASS: its rows on NAME's traffic, to submit."),
    ] = None,
) -> int:
    """Run every published comparison again and compare each value of each row.

    With --agent your own policy is played on the traffic of one comparison or scenario instead.

    With --verify the agents are not asked: their published decisions are replayed, which takes a
    fraction of the time. Exit code 1 if a value differs.
    """
    from sageserve_bench.errors import UserError
    from sageserve_bench.published import differences, read_published
    from sageserve_bench.results.store import Store
    from sageserve_cli.cli import load_command

    if agent is not None:
        return _submit(names or [], agent, results, output, workers)
    found = read_published(results)
    known = [one.name for one in found]
    if not known:
        raise UserError(f"{results}: holds no published comparison")
    if unknown := [name for name in names or () if name not in known]:
        raise UserError(f"{unknown[0]!r} is not published; there are {', '.join(known)}")
    chosen = [one for one in found if not names or one.name in names]
    problems = 0
    compare = load_command("compare")
    for one in chosen:
        typer.echo(f"== {one.name}: {one.command_line}")
        if verify and not one.has_actions:
            typer.echo("its decisions are not published; run it again without --verify")
            problems += 1
            continue
        folder = output / one.name
        if verify:
            one.copy_to(folder := folder / "replayed")
        words = [*one.command, "--output", str(folder)]
        words += ["--verify"] if verify else ["--workers", str(workers)]
        code = compare.main(words, prog_name="sageserve compare", standalone_mode=False)
        if verify:
            problems += bool(code)
            continue
        lines = differences(one, Store(folder).read_rows())
        for line in lines[:20]:
            typer.echo(line)
        problems += bool(lines)
        typer.echo(
            f"{one.name}: {len(lines)} values differ"
            if lines
            else f"{one.name}: all {len(one.rows)} rows as published"
        )
    return 1 if problems else 0


def _submit(names: list[str], agent: str, results: Path, output: Path, workers: int) -> int:
    """Make the rows of a submission and show them beside the published ones."""
    from sageserve_bench.errors import UserError
    from sageserve_bench.published import read_published
    from sageserve_bench.report.table import show
    from sageserve_bench.submission import beside, words_of
    from sageserve_cli import terminal
    from sageserve_cli.cli import load_command

    if len(names) != 1:
        raise UserError("--agent needs one NAME: sageserve benchmark tiny --agent FILE:CLASS")
    found = read_published(results) if results.is_dir() else []
    published = next((one for one in found if one.name == names[0]), None)
    folder = output / names[0]
    words = [*words_of(names[0], agent, published), "--output", str(folder)]
    words += ["--workers", str(workers)]
    compare = load_command("compare")
    code = int(compare.main(words, prog_name="sageserve compare", standalone_mode=False) or 0)
    if published is not None and not code:
        typer.echo("beside the published rows:")
        show(terminal.output(), beside(published, folder))
    return code
