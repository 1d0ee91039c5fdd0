"""Observations and actions made from a view equal those of the environment."""

import numpy as np
import pytest

from sageserve_agents.learned.codec import Codec
from sageserve_env.env import SageServeEnv


@pytest.mark.parametrize(
    ("scenario", "mode"),
    [("trap-base", "continuous"), ("hetero-day", "discrete"), ("o365-day", "continuous")],
)
def test_same_numbers_as_the_environment(scenario: str, mode: str) -> None:
    env = SageServeEnv(scenario=scenario, control="scaling", action_mode=mode, horizon_s=900.0)
    observation, _ = env.reset(seed=3)
    env.action_space.seed(0)
    codec = Codec(env.scenario, env.view(), "flat")
    over = False
    while not over:
        view = env.view()
        assert np.array_equal(codec.observation(view), observation)
        action = env.action_space.sample()
        if mode == "discrete":
            assert np.array_equal(codec.mask(view), env.action_masks())
        else:
            expected = codec.targets(action)
        observation, _, _, over, _ = env.step(action)
        if mode == "continuous" and not over:
            assert np.array_equal(env.view().target, expected)


def test_actions_of_targets_is_the_inverse() -> None:
    env = SageServeEnv(scenario="o365-day", control="scaling", horizon_s=120.0)
    env.reset(seed=0)
    codec = Codec(env.scenario, env.view(), "flat")
    targets = np.random.default_rng(0).integers(2, 81, codec.targets(np.zeros(12)).shape)
    assert np.array_equal(codec.targets(codec.actions_of(targets)), targets)


def test_dictionary_of_arrays() -> None:
    env = SageServeEnv(scenario="trap-base", control="scaling", observation_mode="endpoints")
    observation, _ = env.reset(seed=0)
    made = Codec(env.scenario, env.view(), "endpoints").observation(env.view())
    assert made.keys() == observation.keys()
    for key, value in observation.items():
        assert np.array_equal(made[key], value)
