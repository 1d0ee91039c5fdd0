"""Training on the tiny scenario: every script, reproducibility, resumption, transfer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sageserve_agents.learned import checkpoint
from sageserve_agents.learned.arguments import configured, make_args
from sageserve_agents.learned.scripts import SCRIPTS, train
from sageserve_agents.registry import make_agent
from sageserve_env.env import SageServeEnv

SMALL = {
    "ppo": {"algorithm": {"n_steps": 8, "batch_size": 16, "n_epochs": 1}},
    "maskable-ppo": {"algorithm": {"n_steps": 8, "batch_size": 16, "n_epochs": 1}},
    "recurrent-ppo": {"algorithm": {"n_steps": 8, "batch_size": 16, "n_epochs": 1}},
    "sac": {"algorithm": {"learning_starts": 8, "batch_size": 8, "train_freq": 4}},
    "residual-ppo": {"algorithm": {"n_steps": 16, "batch_size": 32, "n_epochs": 1}},
    "residual-es": {"algorithm": {"pairs": 1}},
}


def small_args(agent: str, **changes: Any) -> None:
    values = {
        "scenario": "trap-base",
        "num_envs": 2,
        "evaluate_every": 16,
        **SMALL[agent],
        **changes,
    }
    return make_args(agent, **{"steps": 32, "evaluate_seeds": 1, **values})


def play(agent: Any, scenario: str, horizon_s: float = 600.0) -> None:
    env = SageServeEnv(scenario=scenario, horizon_s=horizon_s)
    env.reset(seed=1)
    agent.reset(env.scenario, 1, env.history())
    targets, over = [], False
    while not over:
        action = agent.act(env.view())
        targets.append(action.instances)
        over = env.step_cluster(action)[3]
    return np.array(targets)


def test_every_configured_agent_has_a_script() -> None:
    assert set(configured()) == set(SCRIPTS)


@pytest.mark.parametrize("agent", sorted(SCRIPTS))
def test_training_writes_a_checkpoint_that_acts(agent: str, tmp_path: Path) -> None:
    result = train(small_args(agent), tmp_path)
    assert result.steps >= 32
    assert np.isfinite(result.best["reward"]) and result.best["reward"] >= result.first["reward"]
    card = json.loads((tmp_path / checkpoint.CARD).read_text())
    assert card["agent"] == agent and card["kept"] and f"--agent {agent}" in card["command"]
    assert (tmp_path / "curve.csv").is_file() and list(tmp_path.glob("events.out.tfevents*"))
    targets = play(make_agent(f"{agent}:checkpoint={tmp_path}"), "trap-base")
    assert (targets >= 0).all() and targets.shape[1] == 2


@pytest.mark.parametrize("agent", ["ppo", "residual-es"])
def test_same_seed_same_checkpoint(agent: str, tmp_path: Path) -> None:
    results = [train(small_args(agent), tmp_path / name) for name in "ab"]
    assert results[0].best["reward"] == results[1].best["reward"]
    one, two = (checkpoint.load(str(tmp_path / name)) for name in "ab")
    for name, values in one.arrays.items():
        assert np.array_equal(values, two.arrays[name])
    other = train(small_args(agent, seed=1), tmp_path / "c")
    assert other.folder != results[0].folder
    three = checkpoint.load(str(tmp_path / "c" / "last"))
    last = checkpoint.load(str(tmp_path / "a" / "last"))
    assert any(not np.array_equal(v, three.arrays[k]) for k, v in last.arrays.items())


@pytest.mark.parametrize("agent", ["ppo", "residual-es"])
def test_resumes_and_continues(agent: str, tmp_path: Path) -> None:
    train(small_args(agent), tmp_path)
    before = (tmp_path / "curve.csv").read_text()
    again = train(small_args(agent), tmp_path)
    assert (tmp_path / "curve.csv").read_text() == before
    longer = train(small_args(agent, steps=again.steps + 16), tmp_path)
    assert longer.steps > again.steps
    assert (tmp_path / "curve.csv").read_text().startswith(before)
    with pytest.raises(ValueError, match="other arguments"):
        train(small_args(agent, seed=5), tmp_path)


def test_resumed_evolution_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    per_update = 2 * 60
    arguments = {"evaluate_every": per_update}
    train(small_args("residual-es", steps=per_update, **arguments), tmp_path / "a")
    train(small_args("residual-es", steps=2 * per_update, **arguments), tmp_path / "a")
    train(small_args("residual-es", steps=2 * per_update, **arguments), tmp_path / "b")
    one, two = (checkpoint.load(str(tmp_path / name / "last")) for name in "ab")
    for name, values in one.arrays.items():
        assert np.array_equal(values, two.arrays[name])


@pytest.mark.parametrize("agent", ["ppo", "residual-es"])
def test_policies_fit_other_numbers_of_endpoints(agent: str, tmp_path: Path) -> None:
    train(small_args(agent), tmp_path)
    targets = play(make_agent(f"{agent}:checkpoint={tmp_path}"), "o365-day", horizon_s=180.0)
    assert targets.shape == (3, 12, 1)


def test_policy_of_fixed_size_says_that_it_does_not_fit(tmp_path: Path) -> None:
    train(small_args("sac"), tmp_path)
    with pytest.raises(ValueError, match="trained on 'trap-base' and does not fit 'o365-day'"):
        play(make_agent(f"sac:checkpoint={tmp_path}"), "o365-day", horizon_s=60.0)


def test_imitation_and_lagrangian(tmp_path: Path) -> None:
    lines = []
    arguments = {"warm_start": "staffing", "warm_start_episodes": 1, "warm_start_epochs": 3}
    args = small_args("ppo", lagrangian=True, **arguments)
    train(args, tmp_path, lambda done, wanted, line: lines.append(line))
    assert sum("imitation" in line for line in lines) == 3
    assert "multiplier" in (tmp_path / "curve.csv").read_text()


@pytest.mark.parametrize("vector", ["dummy", "threads"])
def test_vector_environments(vector: str, tmp_path: Path) -> None:
    args = small_args("ppo", vector=vector, action_repeat=2, start="random", evaluate_seeds=0)
    assert train(args, tmp_path).steps >= 32


def test_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from sageserve_agents import make_agent\n"
        "try:\n    make_agent('ppo')\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[learn]'" in done.stdout


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        ("pppo", {}, "unknown agent to train 'pppo'; did you mean 'ppo'"),
        ("ppo", {"stps": 3}, "unknown training argument 'stps'; did you mean 'steps'"),
        ("ppo", {"steps": 0}, "steps must be a whole number of at least 1"),
        ("ppo", {"vector": "thread"}, "unknown vector 'thread'"),
        ("ppo", {"observation_mode": "flatt"}, "unknown observation_mode"),
    ],
)
def test_bad_arguments(agent: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_args(agent, **changes)
