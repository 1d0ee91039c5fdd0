"""Networks of Stable-Baselines3 as agents in NumPy: they decide as the policies do."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sageserve_agents import make_agent, rollout
from sageserve_agents.learned.checkpoint import Checkpoint, load
from sageserve_agents.learned.network import KIND, MaskablePpo, Network, Ppo, Sac
from sageserve_agents.playing import AgentError
from sageserve_env.env import SageServeEnv

LOADS = {"scenario": "tiny", "control": "scaling", "targets": "load"}
STEPS = {"scenario": "tiny", "control": "scaling", "action_mode": "discrete"}
JOINT = {"scenario": "trap-base"}


def algorithm(name: str) -> Any:
    pytest.importorskip("stable_baselines3")
    contrib = pytest.importorskip("sb3_contrib")
    import stable_baselines3

    return getattr(contrib if name == "MaskablePPO" else stable_baselines3, name)


@pytest.mark.parametrize(
    ("name", "agent", "keywords"),
    [
        ("PPO", Ppo, LOADS),
        ("PPO", Ppo, JOINT),
        ("SAC", Sac, LOADS),
        ("MaskablePPO", MaskablePpo, STEPS),
    ],
)
def test_an_agent_decides_as_the_policy(
    name: str, agent: type[Network], keywords: dict[str, Any]
) -> None:
    from sageserve_agents.learned.export import actor_layers, arrays_of, network_of

    env = SageServeEnv(**keywords, horizon_s=3600.0)
    model = algorithm(name)("MlpPolicy", env, seed=1, device="cpu")
    arrays = {k: 3.0 * v for k, v in arrays_of(actor_layers(model.policy)).items()}
    for layer, i in zip(actor_layers(model.policy), range(9), strict=False):
        layer.weight.data *= 3.0
        layer.bias.data *= 3.0
        assert np.array_equal(arrays[f"weight_{i}"], layer.weight.detach().numpy().T)
    card = {
        "agent": agent.name,
        "network": {"kind": KIND, **network_of(model.policy)},
        "environment": keywords,
    }
    played = rollout(env, agent(held=Checkpoint(arrays, card)), seed=5)
    observation, _ = env.reset(seed=5)
    rewards, over = [], False
    while not over:
        masks = {"action_masks": env.action_masks()} if agent is MaskablePpo else {}
        action, _ = model.predict(observation, deterministic=True, **masks)
        observation, reward, _, over, _ = env.step(action)
        rewards.append(reward)
    assert played.rewards.tolist() == rewards


def test_the_shipped_one_needs_numpy_only() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['stable_baselines3'] = None\n"
        "from sageserve_agents import make_agent, rollout\n"
        "from sageserve_env.env import SageServeEnv\n"
        "env = SageServeEnv(scenario='tiny', horizon_s=7200.0)\n"
        "agent = make_agent('ppo', scenario='tiny')\n"
        "print(agent.options.checkpoint, rollout(env, agent, 1000).metrics['slo_iwf'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, attained = done.stdout.split()
    assert name == "ppo-tiny"
    assert float(attained) > 0.9


def test_elsewhere_it_says_that_there_is_none() -> None:
    with pytest.raises(
        ValueError, match=r"no checkpoint ships for this scenario \(only ppo-tiny\)"
    ):
        make_agent("ppo", scenario="small-day")
    with pytest.raises(ValueError, match=r"scenario \(none\); train one with 'sageserve train"):
        make_agent("sac", scenario="tiny")
    env = SageServeEnv(scenario="small-day")
    with pytest.raises(AgentError, match="trained on 'tiny' and does not fit 'small-day'"):
        rollout(env, make_agent("ppo:checkpoint=ppo-tiny"), 0)


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    held = load("residual-es")
    with pytest.raises(ValueError, match="holds no policy of an environment"):
        Ppo(held=held)


def test_policies_with_a_memory_are_no_plain_networks() -> None:
    from sageserve_agents.learned.export import actor_layers

    env = SageServeEnv(**LOADS, horizon_s=3600.0)
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, device="cpu")
    with pytest.raises(ValueError, match="no network of plain layers"):
        actor_layers(model.policy)
