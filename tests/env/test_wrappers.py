"""The wrappers of the domain."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sageserve_env import load_scenario
from sageserve_env.wrappers import ActionRepeat, Forecast, Lagrangian, LinearScalarisation
from sageserve_traces import RequestTrace
from tests.env.common import TINY, make


def test_action_repeat_sums_what_the_steps_give() -> None:
    plain, repeated = make(), ActionRepeat(make(), 5)
    plain.reset(seed=0)
    repeated.reset(seed=0)
    action = np.full(plain.action_space.shape, 0.2, np.float32)
    rewards, costs = [], []
    for _ in range(5):
        observation, reward, _, _, info = plain.step(action)
        rewards.append(reward)
        costs.append(info["cost"])
    got = repeated.step(action)
    assert (got[0] == observation).all()
    assert got[1] == pytest.approx(sum(rewards))
    assert sum(got[4]["reward_terms"].values()) == pytest.approx(sum(rewards))
    assert got[4]["cost"] == sum(costs)


def test_action_repeat_makes_discrete_changes_once_and_stops_at_the_end() -> None:
    env = ActionRepeat(make(action_mode="discrete", horizon_s=240.0), 3)
    env.reset(seed=0)
    assert not env.step(np.array([3, 3, 0, 0]))[3]
    assert env.unwrapped.simulator.state.target.ravel().tolist() == [3, 3]
    assert env.step(np.array([2, 2, 0, 0]))[3]
    for steps in (0, True, 2.5, "2"):
        with pytest.raises(ValueError, match="steps"):
            ActionRepeat(make(), steps)


def test_forecast_is_in_the_space_and_near_the_truth() -> None:
    env = Forecast(make("SageServe-Paper-v1"), minutes=(60,))
    with warnings.catch_warnings():  # that it is wrapped
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=1)
    core = env.unwrapped
    pairs = len(core.scenario.models) * len(core.scenario.regions)
    assert len(env.observation_names) == len(observation)
    action = np.zeros(env.action_space.shape, np.float32)
    for _ in range(30):
        observation, *_ = env.step(action)
    forecast = observation[-pairs:].reshape(len(core.scenario.models), -1)
    true = core.workload.trace.demand(60.0).prompt_tokens[30:90, :, :, :2].sum(axis=3).mean(axis=0)
    true = true / 60.0 / core.unit_rate
    assert np.corrcoef(forecast.ravel(), true.ravel())[0, 1] > 0.9
    assert np.abs(forecast.sum() / true.sum() - 1) < 0.4


def test_forecast_uses_nothing_of_the_future() -> None:
    envs = [Forecast(make(), minutes=(15,)), Forecast(make(horizon_s=1800.0), minutes=(15,))]
    first = [env.reset(seed=0)[0][-2:] for env in envs]
    assert (first[0] == first[1]).all()
    with pytest.raises(ValueError, match="flat"):
        Forecast(make(observation_mode="endpoints"))
    for minutes in ((), "15", 15, (1.5,), (0,), (True,), (15, "60")):
        with pytest.raises(ValueError, match="minutes: expected whole numbers"):
            Forecast(make(), minutes=minutes)


def test_forecast_sees_whole_minutes_whatever_the_interval() -> None:
    """At 90 s one minute is over, where rounding would count two."""
    env = Forecast(make(trace=steady(), decision_interval_s=30.0, horizon_s=600.0), minutes=(15,))
    observation, _ = env.reset(seed=0)
    seen = [observation[-2]]
    for _ in range(12):
        observation, *_ = env.step(np.zeros(env.action_space.shape, np.float32))
        seen.append(observation[-2])
    load = 500.0 / env.unwrapped.unit_rate[0, 0]
    assert seen[:2] == [0.0, 0.0]
    np.testing.assert_allclose(seen[2:], load, rtol=1e-5)  # an incomplete minute would lower it


def steady() -> RequestTrace:
    """Return one request of 500 prompt tokens a second in the first region, with no past."""
    n = 600
    none = np.zeros(n, int)
    return RequestTrace(
        np.arange(n) + 0.5,
        none,
        none,
        none,
        np.full(n, 500),
        np.full(n, 2),
        models=("llama-2-70b",),
        regions=("westus", "eastus"),
        duration_s=600.0,
    )


@pytest.mark.parametrize(("scale", "direction"), [(3.0, 1), (0.02, -1)])
def test_lagrangian_moves_its_multiplier_towards_the_target(scale: float, direction: int) -> None:
    scenario = load_scenario("trap-base").replace(workload={"scale": scale}, horizon_s=900.0)
    env = Lagrangian(make(scenario=scenario, reward="constrained"), multiplier=1.0, rate=0.5)
    plain = make(scenario=scenario, reward="constrained")
    env.reset(seed=0)
    plain.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    truncated = False
    while not truncated:
        _, reward, _, truncated, info = env.step(action)
        _, base, _, _, _ = plain.step(action)
        assert info["multiplier"] == 1.0
        charge = (info["cost"] - info["cost_budget"]) / 500.0
        assert reward == pytest.approx(base - charge)
    assert np.sign(env.multiplier - 1.0) == direction


@pytest.mark.parametrize("bad", [{"multiplier": np.nan}, {"rate": -1.0}, {"scale": 0.0}])
def test_lagrangian_refuses_numbers_that_mean_nothing(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"Lagrangian: {next(iter(bad))}"):
        Lagrangian(make(), **bad)


def test_linear_scalarisation_weighs_the_terms() -> None:
    env = LinearScalarisation(make(reward="vector"), {"vm": 2.0})
    plain = make()
    env.reset(seed=0)
    plain.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    _, reward, _, _, info = env.step(action)
    _, base, _, _, _ = plain.step(action)
    assert reward == pytest.approx(base + info["reward_terms"]["vm"], rel=1e-5)
    with pytest.raises(ValueError, match="unknown term"):
        LinearScalarisation(make(reward="vector"), {"vms": 1.0})
    with pytest.raises(ValueError, match="vector"):
        LinearScalarisation(make(), {})


def test_gymnasiums_wrappers_apply() -> None:
    env = gym.wrappers.NormalizeReward(gym.wrappers.RescaleAction(gym.make(TINY), 0.0, 1.0))
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.FrameStackObservation(env, 2))
    env.reset(seed=0)
    env.step(env.action_space.sample())
