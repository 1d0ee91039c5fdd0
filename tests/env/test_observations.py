"""Observations: names, bounds, scaling, and agreement with the view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env import load_scenario
from sageserve_env.simulator.codes import NONE
from tests.env.common import IDS, TINY, make


def named(env: Any, observation: np.ndarray[Any, Any]) -> dict[str, float]:
    return dict(zip(env.observation_names, observation.tolist(), strict=True))


@pytest.mark.parametrize("env_id", IDS)
def test_every_entry_has_a_name_of_its_own(env_id: str) -> None:
    env = make(env_id)
    assert env.observation_space.shape == (len(env.observation_names),)
    assert len(set(env.observation_names)) == len(env.observation_names)
    if env.action_space.shape:
        assert len(set(env.action_names)) == len(env.action_names) == env.action_space.shape[0]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    scenario=st.sampled_from(
        ["trap-base", "o365-day", "hetero-day", "global-day", "o365-burst-day"]
    ),
    control=st.sampled_from(["joint", "scaling", "routing"]),
    mode=st.sampled_from(["continuous", "discrete"]),
    pooling=st.sampled_from(["unified", "siloed", "chiron"]),
    least=st.integers(0, 2),
    extreme=st.booleans(),
)
def test_observations_stay_in_the_space(
    seed: int, scenario: str, control: str, mode: str, pooling: str, least: int, extreme: bool
) -> None:
    changed = load_scenario(scenario).replace(
        pooling=pooling,
        min_instances=least,
        horizon_s=1200.0,
        decision_interval_s=60.0,
        faults={"crash_per_hour": 2.0, "provision_failure": 0.2, "eviction_per_hour": 1.0},
    )
    env = make(scenario=changed, control=control, action_mode=mode)
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    assert env.observation_space.contains(observation)
    for i in range(6):
        action = env.action_space.sample()
        if extreme and mode == "continuous":
            action = np.sign(action) if i % 2 else np.full_like(action, -1.0)
        observation, reward, _, _, _ = env.step(action)
        assert np.isfinite(reward)
        assert env.observation_space.contains(observation), [
            (name, value)
            for name, value, low, high in zip(
                env.observation_names,
                observation,
                env.observation_space.low,
                env.observation_space.high,
                strict=True,
            )
            if not low <= value <= high
        ]


def test_the_flat_observation_says_what_the_view_says() -> None:
    env = make("SageServe-Paper-v1")
    env.reset(seed=4)
    action = np.full(env.action_space.shape, 0.3, np.float32)
    for _ in range(17):
        observation, *_ = env.step(action)
    view, see = env.view(), named(env, observation)
    for e, endpoint in enumerate(env.scenario.endpoints):
        n, g = endpoint.name, "[a100-80gb-x8]"
        for key, values in (("target", view.target), ("active", view.active)):
            assert see[f"{n}.{key}{g}"] == pytest.approx(min(4, values[e, 0] / 20))
        assert see[f"{n}.pending{g}"] == pytest.approx(min(4, view.pending[e, 0] / 20))
        ready = view.pending_ready_s[e, 0] / 600.0
        assert see[f"{n}.ready_in{g}"] == pytest.approx(ready / (1 + ready), rel=1e-5)
        load = view.utilisation[e]
        assert see[f"{n}.utilisation"] == pytest.approx(load / (1 + load), rel=1e-5)
        assert see[f"{n}.kv_utilisation"] == pytest.approx(view.kv_utilisation[e], rel=1e-5)
        assert see[f"{n}.attainment"] == pytest.approx(view.slo_attainment[e], rel=1e-5)
        queued = np.log1p(view.queued_requests[e]) / np.log1p(10_000)
        assert see[f"{n}.queued_requests"] == pytest.approx(queued, rel=1e-5)
    for m, model in enumerate(env.scenario.models):
        backlog = np.log1p(view.niw_backlog[m]) / np.log1p(100_000)
        assert see[f"{model}.niw_backlog"] == pytest.approx(backlog, rel=1e-5)
        for r, region in enumerate(env.scenario.region_names):
            for w, window in enumerate(("1min", "5min", "15min")):
                load = view.prompt_rate[w, m, r, :2].sum() / env.unit_rate[m, r]
                assert see[f"{model}/{region}.load_{window}"] == pytest.approx(load, rel=1e-5)
                out = view.output_rate[w, m, r].sum()
                out = np.log1p(out) / np.log1p(100_000)
                assert see[f"{model}/{region}.output_{window}"] == pytest.approx(out, rel=1e-5)
    for r, region in enumerate(env.scenario.region_names):
        assert see[f"{region}.idle[a100-80gb-x8]"] == pytest.approx(view.idle_vms[r, 0] / 80)
    assert see["elapsed"] == pytest.approx(17 / 1440)


def test_endpoints_mode_has_the_same_numbers() -> None:
    flat, blocks = make(TINY), make(TINY, observation_mode="endpoints")
    a, _ = flat.reset(seed=0)
    b, _ = blocks.reset(seed=0)
    shapes = {key: value.shape for key, value in b.items()}
    assert shapes == {
        "endpoints": (2, 14),
        "demand": (1, 2, 15),
        "models": (1, 4),
        "regions": (2, 2),
        "routing": (1, 2, 2),
        "globals": (5,),
    }
    for _ in range(3):
        assert (np.concatenate([value.ravel() for value in b.values()]) == a).all()
        action = np.full(flat.action_space.shape, 0.5, np.float32)
        a, b = flat.step(action)[0], blocks.step(action)[0]


def test_observations_are_copies() -> None:
    env = make(TINY)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(np.full(env.action_space.shape, 0.5, np.float32))
    assert (first == kept).all()


def test_output_lengths_of_unfinished_requests_are_not_seen() -> None:
    env = make(TINY)
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    snapshot = env.snapshot()
    before = env.restore(snapshot)
    request = snapshot.simulator.state.request
    running = (request["state"] != 0) & (request["endpoint"] != NONE)
    assert running.any()
    request["output"][running] += 100
    after = env.restore(snapshot)
    assert (before == after).all()
