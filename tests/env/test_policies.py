"""Routers and disciplines in environments: fixed by ``policy``, decided by weights, from a file."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np

import sageserve_env  # noqa: F401
from sageserve_env.control import decided
from sageserve_env.entries import default_discipline_weights, default_router_weights
from sageserve_env.policies import (
    DISCIPLINE_FEATURES,
    LARGEST_WEIGHT,
    ROUTER_FEATURES,
    ROUTERS,
)
from sageserve_env.scenario import load_scenario
from tests.env.common import TINY, make

USER_FILE = '''
"""A router and a discipline of a user."""

from sageserve_env.policies import register_discipline, register_router

register_router("greedy_of_a_test", {"queue_s": 1.0, "kv": 9.0, "penalty_s": 2.0})
register_discipline("shortest_of_a_test", {"prefill_s": 1.0})
'''


def user_file(folder: Path) -> str:
    path = folder / "my_policies.py"
    path.write_text(USER_FILE, "utf-8")
    return str(path)


def test_policies_of_a_file_by_gym_make_and_scenario(tmp_path: Path) -> None:
    file = user_file(tmp_path)
    policy = {"router": f"{file}:greedy_of_a_test", "discipline": f"{file}:shortest_of_a_test"}
    env = gym.make(TINY, policy=policy).unwrapped
    env.reset(seed=0)
    env.step(env.action_space.sample())
    state = env.simulator.state  # type: ignore[attr-defined]
    assert env.view().router == "greedy_of_a_test"  # type: ignore[attr-defined]
    assert state.weight[0].tolist() == [1.0, 0.0, 9.0, 0.0, 0.0, 2.0, 0.0, 0.0]
    assert state.order[0].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    named = load_scenario("trap-base").replace(routing={"router": policy["router"]})
    other = make(scenario=named)
    other.reset(seed=0)
    other.step(np.zeros(other.action_space.shape, np.float32))
    assert other.view().router == "greedy_of_a_test"


def test_weights_as_a_knob_of_a_learner() -> None:
    env = make(control="weights")
    names = env.action_names
    size = len(ROUTER_FEATURES) + len(DISCIPLINE_FEATURES)
    assert len(names) == size and names[0].endswith("router_weight[queue_s]")
    env.reset(seed=0)
    env.step(np.zeros(size, np.float32))  # zero: the row of the router itself
    state = env.simulator.state
    assert (state.weight[0] == state.router_row[ROUTERS.index("least_wait")]).all()
    action = np.zeros(size, np.float32)
    action[list(ROUTER_FEATURES).index("queue_s")] = 1.0
    action[list(ROUTER_FEATURES).index("kv")] = 0.5
    action[list(ROUTER_FEATURES).index("penalty_s")] = -1.0
    env.step(action)
    assert state.weight[0].tolist() == [4.0, state.weight[0, 1], 10.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    env.simulator.check_invariants()


def test_structured_weights_lie_within_what_is_taken() -> None:
    policy = {"router": "session_affinity"}
    env = make(control="weights", action_mode="structured", policy=policy)
    for name in ("router_weights", "discipline_weights"):
        box = env.action_space[name]
        assert (box.high <= LARGEST_WEIGHT).all() and (box.low >= -LARGEST_WEIGHT).all()
    saved = list(ROUTER_FEATURES).index("prefix_s")
    assert env.action_space["router_weights"].low[0, saved] == -20.0  # the router's own
    env.reset(seed=0)
    env.step({name: box.low for name, box in env.action_space.items()})
    env.step(env.action_space.sample())


def test_joint_control_is_without_weights() -> None:
    assert not [name for name in make().action_names if "weight" in name]


def test_a_policy_changes_single_weights() -> None:
    """Of the router or discipline that the policy chooses, for every model."""
    changes = {"router_weights": {"running": 0.4}, "discipline_weights": {"late": 3.0}}
    chosen = {"router": "least_wait_kv", "discipline": "edf"}
    scenario = load_scenario("trap-base")
    fixed = decided(scenario, control="scaling", policy={**changes, **chosen}).fixed
    for name, own, features in (
        ("router_weights", default_router_weights(scenario, "least_wait_kv"), ROUTER_FEATURES),
        ("discipline_weights", default_discipline_weights(scenario, "edf"), DISCIPLINE_FEATURES),
    ):
        (feature, weight), *_ = changes[name].items()
        own[:, list(features).index(feature)] = weight
        assert fixed[name].tolist() == own.tolist()
