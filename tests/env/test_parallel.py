"""The PettingZoo form: one agent per region."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sageserve_env
from sageserve_env import load_scenario
from tests.env.common import make

pettingzoo_test = pytest.importorskip("pettingzoo.test")

FORMS: list[dict[str, Any]] = [{}, {"action_mode": "discrete"}, {"control": "routing"}]


def build(**keywords: Any) -> Any:
    return sageserve_env.parallel_env(scenario="trap-base", **{"horizon_s": 600.0, **keywords})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keywords", FORMS)
def test_pettingzoo_api(keywords: dict[str, Any]) -> None:
    pettingzoo_test.parallel_api_test(build(**keywords), num_cycles=50)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keywords", FORMS)
def test_pettingzoo_seeds(keywords: dict[str, Any]) -> None:
    pettingzoo_test.parallel_seed_test(lambda: build(**keywords))


@pytest.mark.parametrize("env_id", sorted(sageserve_env.IDS))
def test_every_id_can_be_divided(env_id: str) -> None:
    short = {"decision_interval_s": 60.0, "horizon_s": 180.0}
    env = sageserve_env.parallel_env(**{**sageserve_env.IDS[env_id], **short})
    pettingzoo_test.parallel_api_test(env, num_cycles=5)


@pytest.mark.parametrize("keywords", FORMS)
def test_agents_together_are_the_cluster(keywords: dict[str, Any]) -> None:
    env, whole = build(**keywords), make(horizon_s=600.0, **keywords)
    observations, _ = env.reset(seed=0)
    whole.reset(seed=0)
    assert env.agents == ["westus", "eastus"]
    names = {agent: env.action_names(agent) for agent in env.agents}
    joint = sorted(set(names["westus"]) | set(names["eastus"]))
    assert joint == sorted(whole.action_names)
    rng = np.random.default_rng(0)
    for agent in env.possible_agents:
        env.action_space(agent).seed(int(rng.integers(100)))
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        shared = set(names["westus"]) & set(names["eastus"])
        for name in shared:
            actions["eastus"][names["eastus"].index(name)] = actions["westus"][
                names["westus"].index(name)
            ]
        value = {n: x for a in actions for n, x in zip(names[a], actions[a], strict=True)}
        action = np.array([value[n] for n in whole.action_names], whole.action_space.dtype)
        observations, rewards, _, truncated, infos = env.step(actions)
        observation, reward, _, over, _ = whole.step(action)
        assert set(rewards.values()) == {reward}
        assert set(truncated.values()) == {over}
        see = dict(zip(whole.observation_names, observation, strict=True))
        for agent, own in observations.items():
            assert own.tolist() == [see[name] for name in env.observation_names(agent)]
            assert not any(
                name.startswith("llama-2-70b/") and agent not in name
                for name in env.observation_names(agent)
                if "->" not in name
            )
        assert (env.state() == observation).all()
    assert infos["westus"]["episode_metrics"]["requests"] > 0


def test_what_cannot_be_divided_is_refused() -> None:
    for keywords in (
        {"action_mode": "structured"},
        {"observation_mode": "endpoints"},
        {"reward": "vector"},
    ):
        with pytest.raises(ValueError, match="parallel_env"):
            build(**keywords)
    env = build()
    env.reset(seed=0)
    action = env.action_space("westus").sample()
    with pytest.raises(ValueError, match="one for each of westus, eastus"):
        env.step({"westus": action})
    with pytest.raises(ValueError, match="eastus: expected an element"):
        env.step({"westus": action, "eastus": action * np.float32(np.nan)})
    for actions in (None, [1, 2], "westus", {"westus": action, 3: action}):
        with pytest.raises(ValueError, match="actions: expected one for each of westus, eastus"):
            env.step(actions)
    for wrong in ({"seed": True}, {"options": [1]}):
        with pytest.raises(ValueError, match="reset: "):
            env.reset(**wrong)
    assert env.env.simulator.time_s == 0.0


@pytest.mark.parametrize("keywords", FORMS)
def test_a_step_needs_a_reset(keywords: dict[str, Any]) -> None:
    with pytest.raises(gym.error.ResetNeeded):
        build(**keywords).step({})


def test_owners_do_not_depend_on_the_names_of_vm_types() -> None:
    """A name with a dot in it: every region decides its own targets, and they are carried out."""
    tiny = load_scenario("trap-base")
    gpu, model = tiny.gpu_specs[0], tiny.model_specs[0]
    dotted = replace(gpu, name="l40s-4.0")
    scenario = tiny.replace(
        gpus=("l40s-4.0",),
        regions=tuple({"name": r.name, "vms": {"l40s-4.0": 4}} for r in tiny.regions),
        custom_gpus=(dotted,),
        custom_models=(replace(model, profiles={"l40s-4.0": model.profiles[gpu.name]}),),
        horizon_s=600.0,
    )
    env = sageserve_env.parallel_env(scenario=scenario)
    env.reset(seed=0)
    for agent, other in (("westus", "eastus"), ("eastus", "westus")):
        names = env.action_names(agent)
        assert sum(".target[l40s-4.0]" in name for name in names) == 1
        assert not any(name.startswith(f"{model.name}/{other}") for name in names)
    actions = {agent: np.zeros(env.action_space(agent).shape, np.float32) for agent in env.agents}
    actions["westus"][0] = 1.0
    env.step(actions)
    assert env.env.simulator.state.target.ravel().tolist() == [4, 2]


def test_words_of_control_together() -> None:
    env = build(control="scaling+batch", policy={"router": "least_wait_kv"})
    env.reset(seed=0)
    for agent in env.agents:
        kinds = [name.rsplit(".", 1)[1].split("[")[0] for name in env.action_names(agent)]
        assert kinds == ["target", "niw_release"]
