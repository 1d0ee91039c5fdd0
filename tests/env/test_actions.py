"""Action modes: what actions mean, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env import ClusterAction, load_scenario
from sageserve_env.kernels.decode import target_of
from tests.env.common import TINY, make


def zero(env: Any) -> np.ndarray[Any, Any]:
    return np.zeros(env.action_space.shape, np.float32)


def fingerprint(env: Any) -> bytes:
    state = env.simulator.state
    parts = [getattr(state, name).tobytes() for name, _, _ in state.FIELDS]
    return b"".join(parts) + np.float64(env.simulator.time_s).tobytes()


def test_targets_decode_as_documented() -> None:
    assert [target_of(x, 2, 8, 80) for x in (-1.0, 0.0, 1.0)] == [2, 8, 80]
    assert target_of(-0.5, 2, 8, 80) == 5
    assert target_of(0.5, 2, 8, 80) == round(9 * (81 / 9) ** 0.5 - 1)
    assert [target_of(x, 0, 0, 10) for x in (-1.0, 0.0, 1.0)] == [0, 0, 10]


@given(st.integers(0, 5), st.integers(0, 50), st.integers(0, 500), st.floats(-1, 1))
def test_targets_stay_within_their_limits(low: int, more: int, most: int, x: float) -> None:
    centre, high = low + more, low + more + most
    assert low <= target_of(x, low, centre, high) <= high


def test_zero_is_the_scenarios_own_behaviour() -> None:
    env, direct = make(), make()
    env.reset(seed=0)
    direct.reset(seed=0)
    own = ClusterAction(direct.simulator.initial_fleet())
    for _ in range(5):
        assert env.step(zero(env))[1] == direct.step_cluster(own)[1]
    for name in ("target", "routing", "vm_seconds"):
        assert (getattr(env.simulator.state, name) == getattr(direct.simulator.state, name)).all()
    assert (env.simulator.state.routing == env.scenario.round_trip).all()


def test_every_entry_of_a_continuous_action_has_its_effect() -> None:
    env = make()
    env.reset(seed=0)
    action = zero(env)
    names = list(env.action_names)
    action[names.index("llama-2-70b/eastus.target[a100-80gb-x8]")] = 1.0
    action[names.index("llama-2-70b/westus->eastus.penalty")] = 1.0
    action[names.index("llama-2-70b/westus.niw_release")] = -1.0
    env.step(action)
    state = env.simulator.state
    assert state.target.ravel().tolist() == [2, 6]
    assert state.routing[0, 0].tolist() == [0.004, 2.0]
    assert state.endpoint["release"].tolist() == [0.0, 0.6]


def test_routing_control_sets_shares_and_scales_by_rule() -> None:
    env = make(control="routing")
    env.reset(seed=0)
    env.step(zero(env))
    state = env.simulator.state
    home = np.exp(4.0) / (np.exp(4.0) + 1.0)
    np.testing.assert_allclose(state.routing[0], [[home, 1 - home], [1 - home, home]])
    assert state.config[0]["router"] == 1
    targets = set()
    for _ in range(30):
        env.step(zero(env))
        targets.add(int(state.target.sum()))
    assert len(targets) > 1  # the rule scales


def test_discrete_changes_and_presets() -> None:
    env = make(action_mode="discrete")
    env.reset(seed=0)
    assert env.action_space.nvec.tolist() == [5, 5, 4, 3]
    env.step(np.array([4, 1, 2, 1]))
    state = env.simulator.state
    assert state.target.ravel().tolist() == [4, 1]
    assert (state.routing == 0).all()
    assert (state.endpoint["release"] == 0).all()
    env.step(np.array([2, 2, 3, 2]))
    assert state.target.ravel().tolist() == [4, 1]
    assert state.config[0]["router"] == 0
    assert (state.endpoint["release"] == 0.9).all()


@pytest.mark.parametrize("mode", ["continuous", "discrete"])
def test_a_scenario_with_least_wait_kv_keeps_it(mode: str) -> None:
    kv_aware = load_scenario("tiny").replace(routing={"router": "least_wait_kv"})
    env = make(action_mode=mode, scenario=kv_aware)
    env.reset(seed=0)
    router = env.simulator.state.config[0]
    env.step(zero(env) if mode == "continuous" else np.array([2, 2, 2, 0]))
    assert router["router"] == 3
    if mode == "discrete":
        env.step(np.array([2, 2, 3, 0]))  # the preset of the threshold router
        assert router["router"] == 0


def test_masks_forbid_what_leads_nowhere() -> None:
    env = make(action_mode="discrete")
    _, info = env.reset(seed=0)
    mask = env.action_masks()
    assert mask.dtype == np.bool_ and mask.shape == (5 + 5 + 4 + 3,)
    assert (mask == info["action_mask"]).all()
    # two instances, at least one: -2 leads nowhere; four VMs are free: +2 does
    assert mask[:5].tolist() == [False, True, True, True, True]
    _, _, _, _, info = env.step(np.array([4, 2, 0, 0]))
    _, _, _, _, info = env.step(np.array([4, 2, 0, 0]))
    assert info["action_mask"][:5].tolist() == [True, True, True, False, False]


def test_masks_never_forbid_to_lower_a_target() -> None:
    """In an outage the four VMs asked for are not to be had: less may be asked for, not more."""
    outage = {"outage_region": "eastus", "outage_start_s": 60.0, "outage_duration_s": 1200.0}
    scenario = load_scenario("tiny").replace(initial_instances=4, faults=outage)
    env = make(scenario=scenario, action_mode="discrete")
    env.reset(seed=0)
    stay = np.array([2, 2, 0, 0])
    for _ in range(2):
        _, _, _, _, info = env.step(stay)
    assert env.view().unmet.ravel().tolist() == [0, 4]
    mask = info["action_mask"]
    assert mask[:5].tolist() == [True, True, True, True, True]
    assert mask[5:10].tolist() == [True, True, True, False, False]
    _, _, _, _, info = env.step(np.array([2, 0, 0, 0]))
    assert env.view().target.ravel().tolist() == [4, 2]
    assert info["action_mask"][5:10].tolist() == [False, True, True, False, False]


@pytest.mark.compiled
@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["tiny", "hetero-day"]))
def test_allowed_choices_are_carried_out_exactly(seed: int, scenario: str) -> None:
    env = make(scenario=scenario, action_mode="discrete", horizon_s=600.0)
    _, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    ends = np.cumsum(env.action_space.nvec)
    for _ in range(4):
        mask = info["action_mask"]
        action = np.array(
            [
                rng.choice(np.flatnonzero(mask[end - n : end]))
                for end, n in zip(ends, env.action_space.nvec, strict=True)
            ]
        )
        pairs = env._buffers.pair
        before = env.simulator.state.target[pairs[:, 0], pairs[:, 1]].copy()
        before_total = env.simulator.state.target.sum(axis=1)
        changes = np.zeros_like(env.simulator.state.target)
        changes[pairs[:, 0], pairs[:, 1]] = action[: len(pairs)] - 2
        _, _, _, _, info = env.step(action)
        after = env.simulator.state.target[pairs[:, 0], pairs[:, 1]]
        fits = (before_total + changes.sum(axis=1) >= env.scenario.min_instances)[pairs[:, 0]]
        assert (after == before + action[: len(pairs)] - 2)[fits].all()


def test_structured_actions_map_to_cluster_actions_and_back() -> None:
    env, direct = make(action_mode="structured"), make(action_mode="structured")
    env.reset(seed=0)
    direct.reset(seed=0)
    decision = ClusterAction(
        np.array([[3], [1]]),
        "shares",
        np.array([[[0.7, 0.3], [0.2, 0.8]]]),
        np.array([0.1, 0.9]),
        "edf",
    )
    action = env._mode.encode(decision)
    assert env.action_space.contains(action)
    assert env.step(action)[1] == direct.step_cluster(decision)[1]
    np.testing.assert_allclose(env.simulator.state.routing, decision.routing)
    assert env.simulator.state.config[0]["discipline"] == 1


BAD_CONTINUOUS = {
    "NaN": lambda a: np.full_like(a, np.nan),
    "outside": lambda a: a + np.float32(1.5),
    "shape": lambda a: a[:-1],
    "dtype": lambda a: a.astype(np.float64),
    "integers": lambda a: a.astype(np.int64),
    "list": lambda a: a.tolist(),
    "None": lambda a: None,
}


@pytest.mark.parametrize("kind", BAD_CONTINUOUS)
def test_bad_continuous_actions_change_nothing(kind: str) -> None:
    env = make()
    env.reset(seed=0)
    env.step(zero(env))
    before = fingerprint(env)
    with pytest.raises(ValueError, match="expected a float32 array of shape"):
        env.step(BAD_CONTINUOUS[kind](zero(env)))
    assert fingerprint(env) == before
    twin = make()
    twin.reset(seed=0)
    twin.step(zero(env))
    assert (env.step(zero(env))[0] == twin.step(zero(env))[0]).all()


@pytest.mark.parametrize(
    "action",
    [
        np.array([5, 2, 0, 0]),
        np.array([-1, 2, 0, 0]),
        np.array([2, 2, 0]),
        np.array([2.0, 2.0, 0.0, 0.0]),
        [2, 2, 0, 0],
        3,
    ],
)
def test_bad_discrete_actions_change_nothing(action: Any) -> None:
    env = make(action_mode="discrete")
    env.reset(seed=0)
    before = fingerprint(env)
    with pytest.raises(ValueError, match="expected an integer array of shape"):
        env.step(action)
    assert fingerprint(env) == before


@pytest.mark.parametrize(
    "change",
    [
        {"instances": np.array([[99], [1]])},
        {"instances": np.array([[-1], [1]])},
        {"instances": np.array([[1.0], [1.0]])},
        {"instances": [[1], [1]]},
        {"router": 4},
        {"routing": np.full((1, 2, 2), np.nan)},
        {"routing": np.zeros((2, 2))},
        {"niw_release": np.array([2.0, 0.0])},
        {"surplus": 1},
    ],
)
def test_bad_structured_actions_change_nothing(change: dict[str, Any]) -> None:
    env = make(action_mode="structured")
    env.reset(seed=0)
    env.action_space.seed(0)
    before = fingerprint(env)
    with pytest.raises(ValueError, match="expected"):
        env.step({**env.action_space.sample(), **change})
    assert fingerprint(env) == before


def test_bad_cluster_actions_change_nothing() -> None:
    env = make()
    env.reset(seed=0)
    before = fingerprint(env)
    for bad in (np.zeros((3, 1), int), np.full((2, 1), -1), np.ones((2, 1))):
        with pytest.raises(ValueError, match="instances: expected"):
            env.step_cluster(ClusterAction(bad))
    good = np.ones((2, 1), int)
    for other, message in (
        ({"instances": good}, "expected a ClusterAction, got dict"),
        (None, "expected a ClusterAction, got NoneType"),
        (ClusterAction(good, niw_release=np.array([-5.0, 0.5])), "niw_release: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            env.step_cluster(other)
    assert fingerprint(env) == before


def test_limits_hold_with_several_vm_types() -> None:
    scenario = load_scenario("hetero-day").replace(max_instances=10, horizon_s=600.0)
    env = make(scenario=scenario)
    env.reset(seed=0)
    for value, total in ((1.0, 10), (-1.0, 2)):
        env.step(np.full(env.action_space.shape, value, np.float32))
        assert (env.simulator.state.target.sum(axis=1) == total).all()


def test_masks_need_discrete_actions() -> None:
    env = make(TINY)
    with pytest.raises(ValueError, match="discrete"):
        env.action_masks()
