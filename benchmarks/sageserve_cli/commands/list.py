"""`sageserve list`: what there is."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer


def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="envs, agents, traces or scenarios; all if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List environments, agents, traces and scenarios."""
    from sageserve_bench.errors import UserError

    if kind is not None and kind not in LISTED:
        raise UserError(f"unknown kind {kind!r}; use {', '.join(LISTED)}")
    found = {name: LISTED[name]() for name in (LISTED if kind is None else (kind,))}
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    width = max((len(name) for rows in found.values() for name in rows), default=0)
    for position, (title, rows) in enumerate(found.items()):
        typer.echo(("\n" if position else "") + title)
        for name, description in rows.items():
            typer.echo(f"  {name:<{width}}  {description}".rstrip())


def environments() -> dict[str, str]:
    """Return the registered environment ids."""
    import gymnasium

    import sageserve_env  # noqa: F401 - registers the ids

    return {
        name: ", ".join(f"{key}={value}" for key, value in spec.kwargs.items())
        for name, spec in gymnasium.registry.items()
        if name.startswith("SageServe-")
    }


def agents() -> dict[str, str]:
    """Return the agents, built in and installed."""
    from sageserve_agents import agent_class, list_agents

    found = {}
    for name in list_agents():
        try:
            described = agent_class(name)
        except ImportError as error:
            found[name] = f"(not available: {error})"
            continue
        line = (inspect.getdoc(described) or "").partition("\n")[0].rstrip(".")
        marks = [f"pooling {described.pooling}"] if _pooling(described) != "unified" else []
        marks += ["clairvoyant"] if getattr(described, "clairvoyant", False) is True else []
        found[name] = line + (f" ({', '.join(marks)})" if marks else "")
    return found


def _pooling(described: type) -> object:
    value = getattr(described, "pooling", "unified")
    return value if isinstance(value, str) else "unified"


def traces() -> dict[str, str]:
    """Return the named traces."""
    from sageserve_traces import list_traces

    return {t.name: f"{t.description} (split {t.split}; {t.licence})" for t in list_traces()}


def scenarios() -> dict[str, str]:
    """Return the scenarios of the package."""
    from sageserve_env.scenario import list_scenarios, load_scenario

    return {name: load_scenario(name).description for name in list_scenarios()}


LISTED = {"envs": environments, "agents": agents, "traces": traces, "scenarios": scenarios}
"""By kind what gives names, each with a line."""
