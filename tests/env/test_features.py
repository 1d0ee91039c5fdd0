"""The table of features: a row from outside, and the page made from the rows."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sageserve_agents.learned.codec import Codec
from sageserve_env import load_scenario
from sageserve_env.observe import FEATURES, Feature, log, over, register_feature, table
from sageserve_env.observe.features import unregister_feature
from sageserve_env.simulator.survey import OWN_SOURCES
from sageserve_env.view import SOURCES
from tests.env.common import TINY, make

PAGE = Path(__file__).resolve().parents[2] / "docs" / "environments.md"


@pytest.fixture
def completed() -> Iterator[None]:
    """Register one row with a source that no view has, and take it away again."""
    register_feature(
        Feature("completed", "origin", "completed", log(10_000.0), read=completed_requests)
    )
    yield
    unregister_feature("completed")


def completed_requests(state: Any) -> Any:
    return state.count["completed"].sum(axis=2)  # [M, R]


@pytest.mark.usefixtures("completed")
def test_a_row_from_outside_is_seen_everywhere() -> None:
    env = make(TINY)
    observation, _ = env.reset(seed=1)
    name = "llama-2-70b/westus.completed"
    at = env.observation_names.index(name)
    assert env.observation_space.shape == (len(env.observation_names),)
    assert observation[at] == 0.0
    for _ in range(3):
        observation, *_ = env.step(np.zeros(env.action_space.shape, np.float32))
    done = env.simulator.state.count["completed"].sum(axis=2)
    assert done[0, 0] > 0
    assert env.view().extra["completed"].tolist() == done.tolist()
    assert observation[at] == pytest.approx(np.log1p(done[0, 0]) / np.log1p(10_000))
    assert "| `demand` | origin | `completed` |" in table()
    codec = Codec(env.scenario, env.view(), {"control": "scaling"})
    assert np.array_equal(codec.observation(env.view()), observation)
    blocks = make(TINY, observation_mode="endpoints").reset(seed=1)[0]
    assert blocks["demand"].shape == (1, 2, 16)
    assert np.array_equal(pickle.loads(pickle.dumps(env)).flat_observation, observation)
    many = gym.make_vec(TINY, num_envs=2)
    assert many.reset(seed=1)[0].shape == (2, len(env.observation_names))


def test_without_the_row_there_is_no_trace_of_it() -> None:
    assert not OWN_SOURCES
    assert not any(name.endswith(".completed") for name in make(TINY).observation_names)


def test_a_row_of_a_known_source_needs_nothing_else() -> None:
    register_feature(Feature("stock", "region, VM type", "inventory", over(100.0)))
    try:
        env = make(TINY)
        observation, _ = env.reset(seed=0)
        see = dict(zip(env.observation_names, observation.tolist(), strict=True))
        stock = env.scenario.inventory[0, 0]
        gpu = env.scenario.gpus[0]
        assert see[f"westus.stock[{gpu}]"] == pytest.approx(min(1.0, stock / 100))
    finally:
        unregister_feature("stock")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("x", "nowhere", "target", over()), "axis: expected one of"),
        (("x", "endpoint", "target", over("share")), "unit 'share' differs within 'endpoint'"),
        (("x", "endpoint", "queued_s", over("shares")), "unit: expected one of"),
        (("x", "endpoint", "queued_s", over(), 0.0), "low must be below high"),
        (("x", "endpoint", "queue", over()), "no field of ClusterView"),
        (("running", "endpoint", "running", over()), "has one of that name"),
    ],
)
def test_a_row_that_cannot_be_observed_is_refused(row: Any, message: str) -> None:
    before = list(FEATURES)
    with pytest.raises(ValueError, match=message):
        register_feature(Feature(*row))
    assert before == FEATURES


def test_a_source_is_not_replaced() -> None:
    with pytest.raises(ValueError, match="source 'target' exists already"):
        Feature("x", "endpoint", "target", over(), read=lambda state: 0.0)


def test_every_row_has_a_source_and_every_source_a_meaning() -> None:
    assert all(f.source in SOURCES for f in FEATURES)
    assert all(s.meaning for s in SOURCES.values())


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text("utf-8")
    made = text.split("<!-- package features -->\n")[1].split("<!-- /package -->")[0]
    assert made.strip() == table().strip(), "python -m lab tables"


def test_agents_see_the_work_that_is_held_as_the_environment_does() -> None:
    """Where the first VM type of the scenario is not the one that objectives refer to."""
    base = load_scenario("hetero-day")
    scenario = base.replace(
        gpus=list(base.gpus)[::-1], niw={"pull_below": 0.0, "pull_two_below": 0.0}
    )
    env = make("SageServe-Paper-v1", scenario=scenario, control="scaling", horizon_s=1800.0)
    observation, _ = env.reset(seed=0)
    codec = Codec(env.scenario, env.view(), {"control": "scaling"})
    for _ in range(20):
        observation, *_ = env.step(np.zeros(env.action_space.shape, np.float32))
    held = [i for i, n in enumerate(env.observation_names) if n.endswith(".niw_work")]
    assert (observation[held] > 0).all()
    assert np.array_equal(codec.observation(env.view()), observation)


def test_a_view_of_another_scenario_is_refused() -> None:
    env, other = make(TINY), make("SageServe-Paper-v1")
    env.reset(seed=0)
    other.reset(seed=0)
    codec = Codec(env.scenario, env.view(), {"control": "scaling"})
    with pytest.raises(ValueError, match="take the view from an environment of the same scenario"):
        codec.observation(other.view())
