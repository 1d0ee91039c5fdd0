"""Snapshots of the environment: going back, branching, moving to another environment."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from tests.env.common import TINY, make


def run(env: Any, actions: list[Any]) -> list[Any]:
    return [env.step(action)[:4] for action in actions]


@pytest.mark.parametrize("keywords", [{}, {"action_mode": "discrete"}, {"control": "routing"}])
def test_a_restored_episode_goes_on_bit_for_bit(keywords: dict[str, Any]) -> None:
    env = make(TINY, **keywords)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(40)]
    run(env, actions[:10])
    snapshot = env.snapshot()
    first = run(env, actions[10:])
    env.restore(snapshot)
    assert data_equivalence(run(env, actions[10:]), first, exact=True)
    env.reset(seed=9)  # another trace in between
    env.step(actions[0])
    env.restore(pickle.loads(pickle.dumps(snapshot)))
    assert data_equivalence(run(env, actions[10:]), first, exact=True)
    other = make(TINY, **keywords)
    other.restore(snapshot)
    assert data_equivalence(run(other, actions[10:]), first, exact=True)
    assert data_equivalence(other.reset(), env.reset(), exact=True)


def test_restoring_gives_the_observation_and_the_metrics() -> None:
    env = make(TINY)
    env.reset(seed=0)
    action = np.full(env.action_space.shape, 0.4, np.float32)
    for _ in range(5):
        observation, *_ = env.step(action)
    snapshot, metrics = env.snapshot(), env.episode_metrics()
    for _ in range(5):
        env.step(action)
    assert (env.restore(snapshot) == observation).all()
    assert repr(env.episode_metrics()) == repr(metrics)


def test_a_snapshot_of_another_cluster_is_refused_and_changes_nothing() -> None:
    small, large, twin = make(TINY), make("SageServe-Paper-v1"), make("SageServe-Paper-v1")
    small.reset(seed=0)
    snapshot = small.snapshot()
    with pytest.raises(ValueError, match="restore: the snapshot was made with another scenario"):
        large.restore(snapshot)  # before a reset
    large.reset(seed=3)
    twin.reset(seed=3)
    for bad, message in (
        (snapshot, "another scenario"),
        (snapshot.simulator, "expected a snapshot, got Snapshot"),
        (None, "expected a snapshot, got NoneType"),
    ):
        with pytest.raises(ValueError, match=message):
            large.restore(bad)
    actions = [np.full(large.action_space.shape, x, np.float32) for x in (0.1, -0.2, 0.3)]
    assert data_equivalence(run(large, actions), run(twin, actions), exact=True)
    assert data_equivalence(large.reset(), twin.reset(), exact=True)
    large.simulator.check_invariants()


def test_one_step_look_ahead_does_no_worse_than_its_first_choice() -> None:
    env = make(TINY, horizon_s=900.0)
    choices = [np.full(env.action_space.shape, x, np.float32) for x in (0.0, -0.5, 0.5)]

    def episode(look_ahead: bool) -> float:
        env.reset(seed=0)
        total, truncated = 0.0, False
        while not truncated:
            best = choices[0]
            if look_ahead:
                here = env.snapshot()
                values = []
                for choice in choices:
                    values.append(env.step(choice)[1])
                    env.restore(here)
                best = choices[int(np.argmax(values))]
            _, reward, _, truncated, _ = env.step(best)
            total += float(reward)
        return total

    assert episode(look_ahead=False) == episode(look_ahead=False)
    assert np.isfinite(episode(look_ahead=True))
