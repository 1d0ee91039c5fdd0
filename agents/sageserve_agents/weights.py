"""Weights of a router as an option: what they are for all models, and for single ones.

``prefix_s:-2/running:0.1/gpt-oss-120b.prefix_s:-1`` changes two weights of the router in force for
every model and one of them for one model; later parts win.
"""

from __future__ import annotations

import numpy as np

from sageserve_agents.parameters import check_choice
from sageserve_env.entries import default_router_weights
from sageserve_env.policies import ROUTERS
from sageserve_env.policies.features import ROUTER_FEATURES
from sageserve_env.scenario import Scenario
from sageserve_env.view import Floats

Changes = tuple[tuple[str | None, str, float], ...]


def read_weights(text: str) -> Changes:
    """Return model (None: all), feature and weight of each part of a text.

    Raises:
        ValueError: If a part is not ``feature:weight`` or ``model.feature:weight``.
    """
    changes = []
    for part in filter(None, (p.strip() for p in text.split("/"))):
        name, _, value = part.rpartition(":")
        model, dot, feature = name.rpartition(".")
        try:
            weight = float(value)
        except ValueError:
            weight = np.nan
        if not name or not np.isfinite(weight):
            raise ValueError(
                f"router_weights: expected feature:weight or model.feature:weight, got {part!r}"
            )
        check_choice(feature, ROUTER_FEATURES, "router_weights: feature")
        changes.append((model if dot else None, feature, weight))
    return tuple(changes)


def changed_weights(text: str, scenario: Scenario, router: str | None) -> Floats:
    """Return the weights of a router with changes, float64 [M, F].

    Args:
        text: The changes.
        scenario: The cluster.
        router: The router; None for the scenario's.

    Raises:
        ValueError: If the router is no weighting, or a model is not in the scenario.
    """
    name = router or scenario.routing.router
    if not ROUTERS.spec(name).weights:
        raise ValueError(f"router_weights: the router {name!r} weighs nothing")
    weights = default_router_weights(scenario, name)
    for model, feature, weight in read_weights(text):
        if model is not None:
            check_choice(model, scenario.models, "router_weights: model")
        rows = slice(None) if model is None else scenario.models.index(model)
        weights[rows, list(ROUTER_FEATURES).index(feature)] = weight
    return weights
