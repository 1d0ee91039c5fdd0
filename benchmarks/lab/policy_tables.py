"""The tables of routers, disciplines and balancers in docs/simulator.md."""

from __future__ import annotations

from collections.abc import Mapping

from sageserve_env._markdown import markdown_table
from sageserve_env.policies import (
    BALANCERS,
    DISCIPLINE_FEATURES,
    DISCIPLINES,
    ROUTER_FEATURES,
    ROUTERS,
)


def policy_tables() -> str:
    """Return Markdown: every policy with its weights, every feature with its meaning."""
    routers = [(f"`{r}`", ROUTERS.spec(r).summary, _row(ROUTERS.spec(r).weights)) for r in ROUTERS]
    orders = [DISCIPLINES.spec(name) for name in DISCIPLINES]
    disciplines = [(f"`{d.name}`", d.summary, _row(d.weights)) for d in orders]
    balancers = [(f"`{name}`", BALANCERS.spec(name).summary) for name in BALANCERS]
    tables = (
        markdown_table(("router", "what it does", "weights"), routers),
        markdown_table(("feature of a router", "what it is"), _named(ROUTER_FEATURES)),
        markdown_table(("discipline", "what it does", "weights"), disciplines),
        markdown_table(("feature of a discipline", "what it is"), _named(DISCIPLINE_FEATURES)),
        markdown_table(("balancer", "what it takes"), balancers),
    )
    return "\n\n".join(tables)


def _row(weights: Mapping[str, float | str]) -> str:
    shown = (
        f"`{k}` {w:g}" if isinstance(w, float | int) else f"`{k}` {w}" for k, w in weights.items()
    )
    return ", ".join(shown) or "-"


def _named(features: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [(f"`{name}`", meaning) for name, meaning in features.items()]
