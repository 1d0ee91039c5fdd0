"""Small planning problems."""

from __future__ import annotations

from typing import Any

import numpy as np

from sageserve_agents.planner.problem import PlanProblem


def problem(**changes: Any) -> PlanProblem:
    """Return 1 model, 2 regions, 1 VM type at $10, theta 100; 150 and 90 tokens/s of demand."""
    values: dict[str, Any] = {
        "models": ("m",),
        "regions": ("a", "b"),
        "gpus": ("g-x8",),
        "classes": ("IW-F", "NIW"),
        "demand": np.array([[[[150.0, 0.0], [90.0, 0.0]]]]),
        "theta": np.array([[100.0]]),
        "price_usd_per_hour": np.array([10.0]),
        "inventory": np.array([[5], [5]]),
        "current": np.array([[[0], [0]]]),
        "low": np.array([[0, 0]]),
        "high": np.array([[5, 5]]),
        "start_cost_usd": np.array([[[1.0], [1.0]]]),
        "flow_cost_usd": np.array([[[0.0, 1e-6], [1e-6, 0.0]]]),
        "value_usd": np.array([[2.0, 1.0]]),
    }
    return PlanProblem(**{**values, **changes})


def random_problem(rng: np.random.Generator) -> PlanProblem:
    """Return a random problem that is small enough to enumerate."""
    m, r = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    g = int(rng.integers(1, 3)) if m * r <= 2 else 1
    theta = rng.uniform(50, 200, (m, g))
    if g > 1 and rng.random() < 0.3:
        theta[0, 1] = 0.0
    inventory = rng.integers(1, 4, (r, g))
    high = np.broadcast_to(inventory.sum(axis=1), (m, r)).copy()
    low = np.minimum(rng.integers(0, 2, (m, r)), high)
    return PlanProblem(
        models=tuple(f"m{i}" for i in range(m)),
        regions=tuple(f"r{i}" for i in range(r)),
        gpus=tuple(f"g{i}-x8" for i in range(g)),
        classes=("IW-F", "NIW"),
        demand=rng.uniform(0, 160, (1, m, r, 2)) * rng.integers(0, 2, (1, m, r, 2)),
        theta=theta,
        price_usd_per_hour=rng.uniform(5, 20, g),
        inventory=inventory,
        current=rng.integers(0, 2, (m, r, g)),
        low=low,
        high=high,
        start_cost_usd=rng.uniform(0, 3, (m, r, g)),
        flow_cost_usd=rng.uniform(0, 1e-4, (m, r, r)) * (1 - np.eye(r)),
        value_usd=rng.uniform(1, 3, (m, 2)),
        rho=float(rng.uniform(0.6, 1.0)),
        local_share=float(rng.choice([0.0, 0.4, 1.0])),
    )
