"""`rollout`: any agent in any environment, and what an agent is told."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sageserve_agents
from sageserve_agents import make_agent, rollout
from sageserve_agents.playing import Decision, own_seed
from sageserve_env.actions import ClusterAction
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.view import ClusterView
from sageserve_env.wrappers import ActionRepeat, Lagrangian
from sageserve_traces import DemandSeries

SHORT = {"horizon_s": 600.0}


class Dice:
    """Sets targets by chance, and keeps what it was told."""

    name, pooling, clairvoyant = "dice", "unified", False

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        self.seed, self.history, self.rng = seed, history, np.random.default_rng(seed)

    def act(self, view: ClusterView) -> ClusterAction:
        return ClusterAction(self.rng.integers(2, 5, view.target.shape))


def envs() -> dict[str, gym.Env[Any, Any]]:
    made = {
        "bare": SageServeEnv(scenario="trap-base", **SHORT),
        "discrete": gym.make("SageServe-Hour-v1", action_mode="discrete", **SHORT),
        "routing": gym.make("SageServe-Hour-v1", control="routing", **SHORT),
        "repeated": ActionRepeat(gym.make("SageServe-Hour-v1", **SHORT), 3),
        "vector": gym.make("SageServe-Hour-v1", vector_reward=True, **SHORT),
    }
    made["charged"] = Lagrangian(
        gym.wrappers.TimeLimit(gym.make("SageServe-Hour-v1", **SHORT), 4), 2.0
    )
    return made


def test_the_same_episode_in_every_environment() -> None:
    figures = []
    for env in envs().values():
        played = rollout(env, make_agent("reactive"), 5)
        assert played.steps == 10
        assert played.reward == pytest.approx(played.metrics["reward"])
        figures.append({k: v for k, v in played.metrics.items() if k != "reward" and v == v})
    assert all(found == figures[0] for found in figures)


def test_the_watch_sees_every_decision() -> None:
    seen: list[Decision] = []
    played = rollout(envs()["bare"], make_agent("reactive"), 5, watch=seen.append)
    assert [d.step for d in seen] == list(range(1, 11))
    assert [d.view.time_s for d in seen] == [60.0 * i for i in range(10)]
    assert [d.reward for d in seen] == played.rewards.tolist()


def test_an_agent_s_seed_says_nothing_of_the_trace() -> None:
    told = []
    for seed in (1, 2):
        agent = Dice()
        rollout(envs()["bare"], agent, seed)
        told.append(agent)
    assert told[0].seed == told[1].seed == own_seed("dice")
    assert not np.array_equal(told[0].history.requests, told[1].history.requests)
    other = Dice()
    rollout(envs()["bare"], other, 1, label="dice:sides=6")
    assert other.seed == own_seed("dice:sides=6") != own_seed("dice")


def test_an_agent_is_told_the_history_of_the_environment() -> None:
    env, agent = envs()["charged"], Dice()
    rollout(env, agent, 3)
    core = env.unwrapped
    assert isinstance(core, SageServeEnv)
    assert np.array_equal(agent.history.requests, core.history().requests)
    assert agent.history.end_s == 0.0


def test_a_clairvoyant_agent_gets_the_future() -> None:
    class Seer(Dice):
        clairvoyant = True

    agent = Seer()
    rollout(envs()["bare"], agent, 3)
    assert agent.history.end_s == 600.0


def test_pools_must_fit() -> None:
    with pytest.raises(ValueError, match=r"needs pooling 'siloed'.*replace\(pooling='siloed'\)"):
        rollout(envs()["bare"], make_agent("siloed"), 0)
    scenario = load_scenario("trap-base").replace(pooling="siloed", **SHORT)
    assert rollout(SageServeEnv(scenario=scenario), make_agent("siloed"), 0).steps == 10


def test_other_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a SageServeEnv"):
        rollout(gym.make("CartPole-v1"), make_agent("reactive"), 0)
    assert sageserve_agents.rollout is rollout
