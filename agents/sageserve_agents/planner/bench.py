"""Instances on which the planner's speed is measured (`sageserve speed`: `ilp_small_s`, ...)."""

from __future__ import annotations

import time

import numpy as np

from sageserve_agents.planner.problem import PlanProblem
from sageserve_agents.planner.solver import SolverOptions, solve
from sageserve_env.view import Floats

LARGE_GAP = 0.01  # docs/benchmark.md, "Speed"


def instance(
    models: int, regions: int, gpus: int, seed: int = 0, neighbours: int | None = None
) -> PlanProblem:
    """Return a seeded planning problem of a given size with about 2/3 of the VMs in use.

    Args:
        models: M.
        regions: R, placed at random on a plane; the round trip grows with the distance.
        gpus: G, dearer types being faster.
        seed: Seed of demand, throughput and places.
        neighbours: Nearest regions that may serve an origin.
    """
    rng = np.random.default_rng(seed)
    speed = np.array([1.0, 2.2, 2.8])[:gpus]
    price = np.array([32.77, 98.0, 130.0])[:gpus]  # catalogue prices of 8-GPU VMs
    theta = (
        rng.uniform(2_000, 20_000, models)[:, None]
        * speed
        * rng.uniform(0.85, 1.15, (models, gpus))
    )
    demand = rng.lognormal(np.log(12_000), 1.0, (1, models, regions, 1)) * np.array(
        [0.7, 0.15, 0.15]
    )
    places = rng.uniform(0, 1, (regions, 2))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    flow_cost = np.broadcast_to(2e-8 * distance, (models, regions, regions)).copy()
    load = (demand.sum(axis=(0, 3)) / theta[:, :1]).sum(axis=0)  # VMs of the first type, [R]
    inventory = np.ceil(1.5 * load[:, None] / gpus / speed).astype(np.int64) + models
    high = np.broadcast_to(inventory.sum(axis=1), (models, regions)).astype(np.int64)
    current = np.zeros((models, regions, gpus), dtype=np.int64)
    current[:, :, 0] = np.rint(0.8 * demand.sum(axis=(0, 3)) / theta[:, :1])
    start = np.broadcast_to(price * 600.0 / 3600.0, (models, regions, gpus)).copy()
    return PlanProblem(
        models=tuple(f"m{i}" for i in range(models)),
        regions=tuple(f"r{i}" for i in range(regions)),
        gpus=tuple(f"g{i}" for i in range(gpus)),
        classes=("IW-F", "IW-N", "NIW"),
        demand=demand,
        theta=theta,
        price_usd_per_hour=price,
        inventory=inventory,
        current=current,
        low=np.ones((models, regions), dtype=np.int64),
        high=high,
        start_cost_usd=start,
        flow_cost_usd=flow_cost,
        value_usd=np.broadcast_to(np.array([4.0, 2.0, 1.0]), (models, 3)) * 1e-5,
        rho=0.85,
        local_share=0.2,
        neighbours=neighbours,
    )


def small_instance() -> PlanProblem:
    """Return a problem of the size of the paper: 3 regions, 4 models, 1 VM type."""
    return instance(4, 3, 1)


def large_instance() -> PlanProblem:
    """Return a problem with 50 regions, 100 models and 3 VM types; flows to 6 nearest regions."""
    return instance(100, 50, 3, neighbours=6)


def solve_small() -> float:
    """Return the seconds to build and solve `small_instance`, the best of 5 after a warm-up."""
    problem = small_instance()
    solve(problem)
    return min(_seconds(problem, SolverOptions()) for _ in range(5))


def solve_large() -> float:
    """Return the seconds to build and solve `large_instance` to a gap of 1 %."""
    return _seconds(large_instance(), SolverOptions(gap=LARGE_GAP, time_limit_s=120.0))


def _seconds(problem: PlanProblem, options: SolverOptions) -> float:
    began = time.perf_counter()
    solve(problem, options)
    return time.perf_counter() - began


def summary() -> dict[str, Floats | float]:
    """Return the figures of `sageserve speed` that concern the planner."""
    return {"ilp_small_s": solve_small(), "ilp_large_s": solve_large()}
