"""Whether an agent acts on the future: two worlds that are the same until a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Protocol

import numpy as np

from sageserve_agents.base import Agent
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_traces.trace import DemandSeries


class World(Protocol):
    """What an agent is run on: the toy cluster, or an adapter of the environment."""

    def view(self) -> ClusterView: ...

    def step(self, action: ClusterAction) -> None: ...


def actions_in(
    agent: Agent, scenario: Scenario, history: DemandSeries, world: World, steps: int
) -> list[ClusterAction]:
    agent.reset(scenario, 0, history)
    actions = []
    for _ in range(steps):
        action = agent.act(world.view())
        actions.append(action)
        world.step(action)
    return actions


def first_difference(a: Iterable[ClusterAction], b: Iterable[ClusterAction]) -> int | None:
    """Return the first step at which two runs decide differently, or None."""
    for step, (x, y) in enumerate(zip(a, b, strict=True)):
        same = x.router == y.router and x.discipline == y.discipline
        for name in (field.name for field in fields(ClusterAction)):
            same = same and np.array_equal(
                np.asarray(getattr(x, name), dtype=object),
                np.asarray(getattr(y, name), dtype=object),
            )
        if not same:
            return step
    return None


def assert_no_leak(
    make: Callable[[], Agent],
    scenario: Scenario,
    history: DemandSeries,
    worlds: tuple[World, World],
    same_until_step: int,
    steps: int,
) -> None:
    """Assert that an agent decides alike until two worlds begin to differ."""
    runs = [actions_in(make(), scenario, history, world, steps) for world in worlds]
    step = first_difference(*runs)
    assert step is None or step >= same_until_step, (
        f"{make().name} decides differently at step {step}, but the worlds are the same until "
        f"step {same_until_step}"
    )
