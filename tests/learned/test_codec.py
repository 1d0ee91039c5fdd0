"""Observations and decisions made from a view equal those of the environment."""

from typing import Any

import numpy as np
import pytest

from sageserve_agents.learned.codec import Codec
from sageserve_env.env import SageServeEnv

FORMS = [
    {"scenario": "trap-base", "control": "scaling"},
    {"scenario": "tiny", "control": "scaling", "targets": "load"},
    {"scenario": "hetero-day", "control": "scaling", "targets": "delta"},
    {"scenario": "hetero-day", "control": "scaling", "action_mode": "discrete"},
    {"scenario": "trap-base"},
    {"scenario": "trap-base", "action_mode": "discrete"},
    {"scenario": "trap-base", "policy": {"router": "shares", "discipline": "edf"}},
    {"scenario": "small-day", "control": "scaling+batch+admission"},
]


@pytest.mark.parametrize("keywords", FORMS, ids=str)
def test_same_numbers_as_the_environment(keywords: dict[str, Any]) -> None:
    """Two environments with one seed: one is given actions, the other what they are decoded to."""
    env, other = (SageServeEnv(**keywords, horizon_s=1800.0) for _ in range(2))
    observation, _ = env.reset(seed=3)
    other.reset(seed=3)
    env.action_space.seed(0)
    codec = Codec(other.scenario, other.view(), keywords)
    over = False
    while not over:
        view = other.view()
        assert np.array_equal(codec.observation(view), observation)
        action = env.action_space.sample()
        if keywords.get("action_mode") == "discrete":
            assert np.array_equal(codec.mask(view), env.action_masks())
        observation, reward, _, over, _ = env.step(action)
        assert other.step_cluster(codec.action(view, action))[1] == reward
        assert np.array_equal(other.view().target, env.view().target)
    assert other.episode_metrics() == env.episode_metrics()


def test_headroom_is_a_factor_on_the_targets() -> None:
    keywords = {"scenario": "tiny", "control": "scaling", "targets": "load"}
    env = SageServeEnv(**keywords)
    env.reset(seed=0)
    codec = Codec(env.scenario, env.view(), keywords)
    still = np.zeros(2, dtype=np.float32)
    assert codec.action(env.view(), still).instances.tolist() == [[4], [4]]
    assert codec.action(env.view(), still, 1.5).instances.tolist() == [[6], [6]]


def test_the_likeliest_choice_is_one_that_leads_somewhere() -> None:
    keywords = {"scenario": "tiny", "control": "scaling", "action_mode": "discrete"}
    env = SageServeEnv(**keywords)
    env.reset(seed=0)
    env.step(np.array([0, 0]))
    env.step(np.array([0, 0]))  # now no instance is left to give back
    codec = Codec(env.scenario, env.view(), keywords)
    assert codec.likeliest(env.view(), np.array([9.0, 8.0, 1.0, 2.0, 0.0] * 2)).tolist() == [3, 3]


def test_dictionary_of_arrays() -> None:
    keywords = {"scenario": "trap-base", "control": "scaling", "observation_mode": "endpoints"}
    env = SageServeEnv(**keywords)
    observation, _ = env.reset(seed=0)
    made = Codec(env.scenario, env.view(), keywords).observation(env.view())
    assert made.keys() == observation.keys()
    for key, value in observation.items():
        assert np.array_equal(made[key], value)


def test_who_decides_no_targets_is_refused() -> None:
    env = SageServeEnv(scenario="trap-base")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="an agent sets targets"):
        Codec(env.scenario, env.view(), {"scenario": "trap-base", "control": "routing"})
