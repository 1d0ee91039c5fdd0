"""`sageserve list`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

KINDS = ("envs", "agents", "traces", "scenarios")


def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="envs, agents, traces or scenarios; all if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List environments, agents, traces and scenarios."""
    from sageserve_bench.errors import UserError
    from sageserve_bench.listing import listing

    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}; use {', '.join(KINDS)}")
    found = {name: listing(name) for name in (KINDS if kind is None else (kind,))}
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    width = max((len(name) for rows in found.values() for name in rows), default=0)
    for position, (title, rows) in enumerate(found.items()):
        typer.echo(("\n" if position else "") + title)
        for name, description in rows.items():
            typer.echo(f"  {name:<{width}}  {description}".rstrip())
