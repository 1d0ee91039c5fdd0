"""Action modes: what actions mean, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env import ClusterAction, load_scenario
from sageserve_env.entries import Context, continuous_targets, initial_fleet
from sageserve_env.forms import LOAD_RANGE
from sageserve_env.kernels.decode import target_of
from sageserve_env.knobs import KNOBS, Knob
from sageserve_env.policies import DISCIPLINES
from sageserve_env.simulator.decide import in_force, put_array
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
    kv_aware = load_scenario("trap-base").replace(routing={"router": "least_wait_kv"})
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
    scenario = load_scenario("trap-base").replace(initial_instances=4, faults=outage)
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
@given(st.integers(0, 10_000), st.sampled_from(["trap-base", "hetero-day"]))
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
    "truth values": lambda a: a > 0,
    "text": lambda a: ["0"] * len(a),
    "ragged list": lambda a: [[0.0], 0.0],
    "None": lambda a: None,
}


@pytest.mark.parametrize("kind", BAD_CONTINUOUS)
def test_bad_continuous_actions_change_nothing(kind: str) -> None:
    env = make()
    env.reset(seed=0)
    env.step(zero(env))
    before = fingerprint(env)
    with pytest.raises(ValueError, match="expected numbers of shape"):
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
        [2, 2, 0, 3],
        3,
    ],
)
def test_bad_discrete_actions_change_nothing(action: Any) -> None:
    env = make(action_mode="discrete")
    env.reset(seed=0)
    before = fingerprint(env)
    with pytest.raises(ValueError, match="expected integers of shape"):
        env.step(action)
    assert fingerprint(env) == before


@pytest.mark.parametrize(
    "change",
    [
        {"instances": np.array([[99], [1]])},
        {"instances": np.array([[-1], [1]])},
        {"instances": np.array([[1.0], [1.0]])},
        {"instances": [[1], ["1"]]},
        {"router": 99},
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


# -- combinations of what is decided and what is fixed -------------------------------------------


def test_scaling_and_routing_together_leave_the_ceilings() -> None:
    env = make(control="scaling+routing", policy={"niw_release": 0.25})
    assert [name.rsplit(".", 1)[1].split("[")[0] for name in env.action_names] == (
        ["target"] * 2 + ["penalty"] * 4
    )
    env.reset(seed=0)
    action = zero(env)
    action[1], action[3] = 1.0, 1.0  # targets of eastus, westus->eastus
    env.step(action)
    state = env.simulator.state
    assert state.target.ravel().tolist() == [2, 6]
    assert state.routing[0, 0].tolist() == [0.004, 2.0]
    assert state.endpoint["release"].tolist() == [0.25, 0.25]


def test_the_order_of_the_words_does_not_matter() -> None:
    assert make(control="batch+scaling").action_names == make(control="scaling+batch").action_names


def test_batch_alone_scales_by_rule_and_routes_as_the_scenario() -> None:
    env = make(control="batch", policy={"discipline": "triage"})
    env.reset(seed=0)
    env.step(np.array([-1.0, 0.0]))
    state = env.simulator.state
    assert state.endpoint["release"].tolist() == [0.0, 0.6]
    assert state.config[0]["discipline"] == DISCIPLINES.index("triage")
    assert (state.routing[0] == env.scenario.round_trip).all()


def test_a_policy_gives_a_learner_what_an_agent_has() -> None:
    """The zero action under a policy is the decision of an agent that says the same."""
    policy = {"router": "least_wait_kv", "discipline": "triage", "niw_release": 0.3}
    env, direct = make(policy=policy, control="scaling"), make()
    env.reset(seed=0)
    direct.reset(seed=0)
    fleet = initial_fleet(direct.scenario)
    own = ClusterAction(fleet, "least_wait_kv", None, np.full(2, 0.3), "triage")
    for _ in range(5):
        assert env.step(zero(env))[1] == direct.step_cluster(own)[1]
    # and a decision given directly has the policy where it says nothing
    assert env.step_cluster(ClusterAction(fleet))[1] == direct.step_cluster(own)[1]


def test_a_fixed_fleet_replaces_the_rule() -> None:
    env = make(control="routing", policy={"instances": [[3], [1]]})
    env.reset(seed=0)
    for _ in range(5):
        env.step(zero(env))
        assert env.simulator.state.target.ravel().tolist() == [3, 1]


def test_the_form_of_the_routing_follows_the_router() -> None:
    shares = make(policy={"router": "shares"})
    assert sum(name.endswith(".share") for name in shares.action_names) == 4
    penalties = make(control="routing", policy={"router": "least_wait"})
    assert [n.rsplit(".", 1)[1] for n in penalties.action_names] == ["penalty"] * 4
    assert not any("->" in name for name in make(policy={"router": "threshold"}).action_names)
    discrete = make(action_mode="discrete", policy={"router": "least_wait_kv"})
    assert discrete.action_space.nvec.tolist() == [5, 5, 3, 3]  # no preset takes another router
    destinations = make(action_mode="discrete", policy={"router": "shares"})
    assert destinations.action_space.nvec.tolist() == [5, 5, 4, 4, 3]
    destinations.reset(seed=0)
    destinations.step(np.array([2, 2, 1, 2, 0]))
    assert destinations.simulator.state.routing[0].tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_structured_actions_have_what_is_decided() -> None:
    env = make(action_mode="structured", control="batch+discipline", policy={"instances": 2})
    assert set(env.action_space.spaces) == {"niw_release", "discipline"}
    env.reset(seed=0)
    env.step({"niw_release": [0.1, 0.2], "discipline": 1})
    state = env.simulator.state
    assert state.endpoint["release"].tolist() == [0.1, 0.2]
    assert state.config[0]["discipline"] == 1
    assert state.target.ravel().tolist() == [2, 2]


def test_structured_actions_without_targets_scale_by_the_rule() -> None:
    kinds = {"action_mode": "structured", "control": "batch"}
    env, plain = make(**kinds), make(control="batch")
    env.reset(seed=0)
    plain.reset(seed=0)
    for _ in range(20):
        release = {"niw_release": np.full(2, 0.6)}
        assert env.step(release)[1] == plain.step(zero(plain))[1]


def test_changes_of_targets_count_from_those_in_force() -> None:
    env = make(targets="delta", control="scaling")
    env.reset(seed=0)
    assert [n.split(".")[-1].split("[")[0] for n in env.action_names] == ["change", "change"]
    env.step(np.array([1.0, 0.0]))
    assert env.simulator.state.target.ravel().tolist() == [4, 2]
    env.step(np.array([1.0, -1.0]))
    assert env.simulator.state.target.ravel().tolist() == [6, 1]
    env.step(zero(env))
    assert env.simulator.state.target.ravel().tolist() == [6, 1]


@pytest.mark.parametrize("x", [-1.0, -0.25, 0.0, 0.5])
def test_targets_that_are_multiples_of_the_load(x: float) -> None:
    env = make(targets="load", control="scaling")
    env.reset(seed=0)
    assert [n.split(".")[-1].split("[")[0] for n in env.action_names] == ["load", "load"]
    env.step(zero(env))  # nothing was measured: the fleet in force stays
    assert env.simulator.state.target.ravel().tolist() == [2, 2]
    view = env.view()
    load = view.utilisation * view.active.sum(axis=1)  # [E]
    assert (load > 0).all()
    env.step(np.full(2, x))
    factor = 1.0 + x if x < 0 else LOAD_RANGE**x
    wanted = np.clip(np.floor(load * factor + 0.5), 1, 10)
    assert env.simulator.state.target.ravel().tolist() == wanted.tolist()


def test_what_multiplies_the_load_is_shared_among_vm_types() -> None:
    scenario = load_scenario("small-day")
    made = continuous_targets(Context(scenario, "least_wait_kv", targets="load"))
    assert made.centre.tolist() == pytest.approx([1 / 3] * 12)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"control": "scaling+scaling"}, "a word occurs twice"),
        ({"control": "joint+scaling"}, "'joint' is everything and stands alone"),
        ({"control": "scaling+ruoting"}, "did you mean 'routing'"),
        ({"control": ""}, "control: unknown value"),
        ({"control": 3}, "control: unknown value '3'"),
        ({"control": "discipline"}, "has no entries in action_mode='continuous'"),
        ({"control": "routing", "policy": {"router": "threshold"}}, "no routing to decide"),
        ({"policy": {"dicipline": "edf"}}, "did you mean 'discipline'"),
        ({"policy": {"discipline": "lifo"}}, "policy: discipline: expected one of fcfs"),
        ({"policy": "triage"}, "policy: expected a dict"),
        ({"policy": {"router_weights": {"runing": 1}}}, "did you mean 'running'"),
        ({"policy": {"router_weights": {"running": "x"}}}, "running: expected a weight .* 'x'"),
        ({"policy": {"niw_release": -1.0}}, "policy: niw_release: expected utilisations"),
        ({"policy": {"niw_release": [0.1]}}, "policy: niw_release: expected shape"),
        ({"policy": {"instances": 2.5}}, "policy: instances: expected integers"),
        ({"control": "batch", "policy": {"niw_release": 0.1}}, "niw_release is decided by control"),
        ({"policy": {"router": "shares", "routing": np.ones((1, 2, 2))}}, "must sum to 1"),
        ({"targets": "relative"}, "targets: unknown value"),
        ({"targets": "delta", "action_mode": "structured"}, "hold the targets themselves"),
        ({"clip_actions": "yes"}, "clip_actions: expected True or False"),
    ],
)
def test_what_cannot_be_decided_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keywords)


# -- numbers of other types ----------------------------------------------------------------------


def test_numbers_of_any_type_inside_the_space_are_taken() -> None:
    results = []
    for kind in (np.float32, np.float64, list, np.int64):
        env = make()
        env.reset(seed=0)
        action = np.zeros(env.action_space.shape)
        results.append(env.step(action.tolist() if kind is list else action.astype(kind))[1])
    assert len(set(results)) == 1
    env = make(action_mode="discrete")
    env.reset(seed=0)
    env.step([3, 2, 0, 0])
    assert env.simulator.state.target.ravel().tolist() == [3, 2]


def test_actions_outside_are_clipped_on_request() -> None:
    env = make(clip_actions=True)
    env.reset(seed=0)
    env.step(np.full(env.action_space.shape, -1.99))
    assert env.simulator.state.target.ravel().tolist() == [1, 1]
    with pytest.raises(ValueError, match="got nan"):
        env.step(np.full(env.action_space.shape, np.nan))
    discrete = make(action_mode="discrete", clip_actions=True)
    discrete.reset(seed=0)
    discrete.step(np.array([9, -3, 0, 0]))
    assert discrete.simulator.state.target.ravel().tolist() == [4, 1]
    structured = make(action_mode="structured", clip_actions=True, control="batch+scaling")
    structured.reset(seed=0)
    structured.step({"instances": [[99], [-5]], "niw_release": [2.0, -1.0]})
    assert structured.simulator.state.endpoint["release"].tolist() == [1.0, 0.0]
    assert structured.simulator.state.target.ravel().tolist() == [6, 1]


def test_every_knob_is_a_field_and_has_its_row_in_the_table() -> None:
    fields = {field.name for field in dataclasses.fields(ClusterAction)}
    assert fields == {knob.name for knob in KNOBS}
    assert [knob.code for knob in KNOBS] == list(range(len(KNOBS)))


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if knob.axes], ids=lambda k: k.name)
def test_every_knob_is_put_where_it_is_read(knob: Knob) -> None:
    env = make()
    env.reset(seed=0)
    shape = knob.shape(env.scenario)
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape + (1,) * (3 - len(shape)))
    put_array(env.simulator.state, knob.code, values)
    for i, j, k in np.ndindex(values.shape):
        assert in_force(env.simulator.state, knob.code, i, j, k) == values[i, j, k]
