"""No agent but the clairvoyant ones acts on the future: whole episodes on the simulator.

Two worlds have the same requests until a moment and quite different ones after it. Whatever an
agent is told at `reset` and at each decision comes the way a comparison tells it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lab.experiments.execute import read_tuned
from sageserve_agents import agent_class, list_agents
from sageserve_agents.playing import own_seed
from sageserve_bench.runs.actionlog import ActionLog
from sageserve_bench.runs.episode import run_episode
from sageserve_bench.runs.tasks import Task
from sageserve_bench.runs.workload import resolve
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.view import ClusterView
from sageserve_env.workload import Workload
from sageserve_traces import DemandSeries, RequestTrace, SyntheticTrace
from sageserve_traces.transforms import concatenate, scale_rate
from tests.agents.leak import first_difference
from tests.agents.shipped import make_or_skip

STEPS = 150
SPLIT = 112  # after the plan for the third hour is made, ten minutes before that hour
SPLIT_S = SPLIT * 60.0
AS_THEY_COME = [n for n in list_agents() if not agent_class(n).clairvoyant]
TUNED = read_tuned(Path(__file__).parents[2] / "benchmarks" / "results" / "tuned")
OPTIONS = [
    "ilp:forecaster=ridge",
    "ilp:forecaster=arima",
    "mpc:forecaster=ridge",
    "lt-ua:forecaster=arima;beyond=2",
    "staffing:forecaster=ridge",
    *(spec for name, spec in TUNED.items() if name in AS_THEY_COME),
]


@cache
def cluster() -> Scenario:
    return load_scenario("o365-day").replace(horizon_s=STEPS * 60.0)


@cache
def trace(future: int) -> RequestTrace:
    """Two in five requests of a day's first hours; after the split three times another day's."""
    source = SyntheticTrace(3, STEPS / 1440, 0.4, start_weekday=1)
    same = concatenate(source)
    if future == 0:
        return same.with_past(source.history(60.0))
    other = concatenate(SyntheticTrace(future, STEPS / 1440, 0.4, start_weekday=1))
    other = scale_rate(other, 3.0, 5)
    before, after = same.arrival_s < SPLIT_S, other.arrival_s >= SPLIT_S
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(same, name)[before], getattr(other, name)[after]])
        for name in ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")
    }
    columns["model"][before.sum() :] = (columns["model"][before.sum() :] + 1) % 4
    return replace(same, **columns, request_id=None, past=source.history(60.0))


def world(future: int) -> Workload:
    return resolve(cluster(), trace(future), 3)


def decisions(spec: str, future: int) -> list[ClusterAction]:
    log: ActionLog = run_episode(Task(spec, cluster(), trace(future), 3)).actions
    return [log.action(step) for step in range(len(log))]


@pytest.mark.parametrize("spec", [*AS_THEY_COME, *OPTIONS])
def test_the_future_changes_no_action_before_it(spec: str) -> None:
    make_or_skip(spec)
    step = first_difference(decisions(spec, 0), decisions(spec, 8))
    assert step is None or step > SPLIT, f"{spec} knew at step {step} what began after {SPLIT}"


def test_the_worlds_differ_after_the_split_and_a_leak_is_found() -> None:
    after = first_difference(decisions("reactive-lw", 0), decisions("reactive-lw", 8))
    assert after is not None and after > SPLIT
    leak = first_difference(decisions("oracle", 0), decisions("oracle", 8))
    assert leak is not None and leak <= SPLIT


def test_reset_is_told_the_same_past_and_nothing_else() -> None:
    told = [world(future).history(clairvoyant=False) for future in (0, 8)]
    for series in told:
        assert series.end_s <= 0.0
    for name in ("requests", "prompt_tokens", "output_tokens"):
        assert np.array_equal(getattr(told[0], name), getattr(told[1], name))
    future = world(8).history(clairvoyant=True)
    assert future.end_s == pytest.approx(STEPS * 60.0)


class Spy:
    """Compares each view with the requests that have arrived."""

    name, pooling, clairvoyant = "spy", "unified", False

    def __init__(self) -> None:
        self.history_ends_s = np.inf

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        self.history_ends_s = history.end_s
        self.counts = cluster().initial_instances

    def act(self, view: ClusterView) -> ClusterAction:
        assert self.history_ends_s <= 0.0
        arrived = trace(8).arrival_s < view.time_s
        assert view.demand_requests.sum() == arrived.sum()
        assert view.demand_prompt_tokens.sum() <= trace(8).prompt_tokens[arrived].sum()
        assert view.demand_output_tokens.sum() <= trace(8).output_tokens[arrived].sum()
        return ClusterAction(np.full_like(view.target, self.counts))


def test_a_view_shows_what_has_arrived_and_no_output_before_its_end() -> None:
    run_episode(Task(Spy(), cluster(), trace(8), 3))


def test_no_agent_is_told_the_seed_of_the_trace() -> None:
    class Told(Spy):
        seeds: ClassVar[list[int]] = []

        def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
            super().reset(scenario, seed, history)
            self.seeds.append(seed)

        def act(self, view: ClusterView) -> ClusterAction:
            return ClusterAction(np.full_like(view.target, self.counts))

    for seed in (3, 4):
        run_episode(Task(Told(), cluster(), trace(8), seed))
    assert Told.seeds == [own_seed("spy")] * 2


@pytest.mark.parametrize("seed", [3, 2000])
def test_the_generator_s_past_does_not_depend_on_what_is_played(seed: int) -> None:
    short, long = (SyntheticTrace(seed, days, start_weekday=2) for days in (0.1, 7.0))
    a, b = short.history(60.0), long.history(60.0)
    assert a.end_s == b.end_s == 0.0
    assert np.array_equal(a.prompt_tokens, b.prompt_tokens)
    assert len(short.history(60.0, 1800.0)) == len(a) + 30
