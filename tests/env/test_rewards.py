"""Rewards: what they charge, and that neglect never pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sageserve_env import ClusterAction, load_scenario
from sageserve_env.rewards import Change, Constrained, Dollars, Paper, Reward, Vector
from tests.env.common import TINY, make

Policy = Callable[[Any, int], ClusterAction]

CHANGE = Change(
    vm_usd=50.0,
    transfer_usd=1.0,
    spot_hours=0.5,
    unfinished_usd=3.0,
    arrived=[10.0, 5.0, 2.0],
    completed=[9.0, 4.0, 1.0],
    attained=[8.0, 4.0, 1.0],
    missed=[1.0, 0.0, 2.0],
    refused=[1.0, 0.0, 0.0],
)


def bound(reward: Reward) -> Reward:
    reward.bind(load_scenario("trap-base"))
    return reward


def test_dollars_by_hand() -> None:
    terms = bound(Dollars()).terms(CHANGE)
    assert terms == pytest.approx(
        {
            "vm": -0.5,
            "transfer": -0.01,
            "slo:IW-F": -0.002,
            "slo:IW-N": 0.0,
            "slo:NIW": -0.004,
            "unfinished": -0.06,
        }
    )
    assert tuple(terms) == bound(Dollars()).names


def test_paper_by_hand() -> None:
    terms = bound(Paper()).terms(CHANGE)
    assert terms == pytest.approx(
        {
            "served:IW-F": 3 * (8 - 1) / 1000,
            "served:IW-N": 3 * 4 / 1000,
            "served:NIW": (1 - 2) / 1000,
            "spot": 1.5 * 2 / 1000,
            "unfinished": -0.003,
        }
    )


def test_constrained_by_hand() -> None:
    reward = bound(Constrained())
    assert sum(reward.terms(CHANGE).values()) == pytest.approx(-0.57)
    assert reward.cost(CHANGE) == 3.0


def test_terms_add_up_to_the_reward_and_the_bill() -> None:
    env = make(TINY)
    env.reset(seed=0)
    env.action_space.seed(0)
    sums: dict[str, float] = {}
    total, cost, truncated = 0.0, 0.0, False
    while not truncated:
        _, reward, _, truncated, info = env.step(env.action_space.sample())
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        for key, value in info["reward_terms"].items():
            sums[key] = sums.get(key, 0.0) + value
        total += reward
        cost += info["cost"]
    metrics = info["episode_metrics"]
    scale = env.scenario.reward.scale_usd
    assert -(sums["vm"] + sums["transfer"]) * scale == pytest.approx(metrics["cost_usd"])
    assert metrics["reward"] == pytest.approx(total)
    missed = [metrics[f"missed_{key}"] for key in ("iwf", "iwn", "niw")]
    assert cost == sum(missed)
    assert -sums["slo:IW-F"] * scale / 0.2 == pytest.approx(missed[0])
    left = env.simulator.unfinished()
    assert -sums["unfinished"] * scale == pytest.approx(2.0 * left.work_usd)


def test_an_own_reward_object_is_used_and_copied() -> None:
    class Instances(Reward):
        names = ("spot",)
        bound_to: Any = None

        def bind(self, scenario: Any) -> None:
            self.bound_to = scenario

        def terms(self, change: Change) -> dict[str, float]:
            return {"spot": change.spot_hours}

    mine = Instances()
    env = make(TINY, reward=mine)
    env.reset(seed=0)
    assert env.reward.bound_to is env.scenario and mine.bound_to is None
    down = ClusterAction(np.array([[1], [1]]))
    env.step_cluster(down)
    _, reward, _, _, info = env.step_cluster(down)
    assert reward == pytest.approx(2 / 60)
    assert dict(info["reward_terms"]) == {"spot": reward}


@pytest.mark.parametrize(
    "keywords", [{"reward": "vector"}, {"reward": "paper", "vector_reward": True}]
)
def test_vector_rewards_fit_mo_gymnasium(keywords: dict[str, Any]) -> None:
    mo = pytest.importorskip("mo_gymnasium")
    env = mo.make(TINY, **keywords)
    plain = make(TINY, reward="dollars" if keywords["reward"] == "vector" else "paper")
    core = env.unwrapped
    assert core.reward_space.shape == (core.reward_dim,) == (len(core.reward.names),)
    env.reset(seed=0)
    plain.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        action = env.action_space.sample()
        _, vector, _, _, info = env.step(action)
        assert core.reward_space.contains(vector)
        assert vector.tolist() == pytest.approx(list(info["reward_terms"].values()))
        assert vector.sum() == pytest.approx(plain.step(action)[1], rel=1e-5)
    weighed = mo.wrappers.LinearReward(mo.make(TINY, **keywords))
    weighed.reset(seed=0)
    assert np.isscalar(weighed.step(action)[1])


def test_a_vector_of_a_vector_is_refused_nowhere_and_flat() -> None:
    assert make(TINY, reward=Vector("paper"), vector_reward=True).reward.names[-1] == "unfinished"


# -- neglect never pays --------------------------------------------------------------------------


def sensible(env: Any, step: int) -> ClusterAction:
    """A fleet for the load seen, with room to spare; batch work when there is room."""
    view = env.view()
    demand = view.prompt_rate[2].sum(axis=2) / view.theta[:, 0][:, None]  # [M, R] instances
    wanted = np.ceil(1.5 * demand.sum(axis=1) / demand.shape[1]).astype(int) + 1
    if step < 15:
        wanted = np.maximum(wanted, env.scenario.initial_instances)
    return ClusterAction(np.repeat(wanted, demand.shape[1])[:, None])


def do_nothing(env: Any, step: int) -> ClusterAction:
    """Leave the fleet at the minimum and wait for the end."""
    return ClusterAction(np.full(env.simulator.state.target.shape, env.scenario.min_instances))


def drop(env: Any, step: int) -> ClusterAction:
    """Give every instance back, so that requests wait for ever."""
    return ClusterAction(np.zeros_like(env.simulator.state.target))


def starve_batch(env: Any, step: int) -> ClusterAction:
    """Serve as is sensible, but never release batch work."""
    action = sensible(env, step)
    return ClusterAction(action.instances, niw_release=np.zeros(len(action.instances)))


def thrash(env: Any, step: int) -> ClusterAction:
    """Everything up, everything down."""
    high = 6 if step % 2 else 1
    return ClusterAction(np.full(env.simulator.state.target.shape, high))


def score(policy: Policy, reward: str, scenario: Any) -> tuple[float, float, float]:
    """Return summed reward, cost and budget of an episode."""
    env = gym.make(TINY, scenario=scenario, reward=reward).unwrapped
    env.reset(seed=1)
    total, cost, budget, truncated, step = 0.0, 0.0, 0.0, False, 0
    while not truncated:
        _, value, _, truncated, info = env.step_cluster(policy(env, step))
        total, cost, budget, step = (
            total + float(value),
            cost + info["cost"],
            budget + info["cost_budget"],
            step + 1,
        )
    return total, cost, budget


@pytest.fixture(scope="module")
def busy() -> Any:
    """Return two hours of work for about five instances; zero instances are allowed."""
    return load_scenario("trap-base").replace(
        min_instances=0,
        initial_instances=8,
        horizon_s=7200.0,
        workload={"scale": 3.0},
        regions=[
            {"name": "westus", "vms": {"a100-80gb-x8": 12}},
            {"name": "eastus", "vms": {"a100-80gb-x8": 12}},
        ],
    )


@pytest.mark.parametrize("reward", ["dollars", "paper"])
def test_neglect_never_scores_above_sense(reward: str, busy: Any) -> None:
    good, cost, budget = score(sensible, reward, busy)
    assert cost <= 2 * budget, "the sensible policy should serve well"
    for policy in (do_nothing, drop, starve_batch, thrash):
        bad, *_ = score(policy, reward, busy)
        assert bad < good, f"{policy.__name__} scores {bad:.3f}, sensible {good:.3f}"


def test_neglect_violates_the_constraint_or_scores_below_sense(busy: Any) -> None:
    good, good_cost, _ = score(sensible, "constrained", busy)
    for policy in (do_nothing, drop, starve_batch, thrash):
        bad, cost, budget = score(policy, "constrained", busy)
        assert bad < good or cost > max(2 * budget, good_cost), policy.__name__
