"""Training of the residual agents: every script, reproducibility, resumption, transfer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sageserve_agents.learned import checkpoint
from sageserve_agents.learned.arguments import configured, make_args
from sageserve_agents.learned.train_residual_es import train
from sageserve_agents.registry import make_agent
from sageserve_env.env import SageServeEnv

SMALL = {"residual-es": {"algorithm": {"pairs": 1}}}


def small_args(agent: str, **changes: Any) -> None:
    values = {
        "scenario": "trap-base",
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


@pytest.mark.parametrize("agent", configured())
def test_training_writes_a_checkpoint_that_acts(agent: str, tmp_path: Path) -> None:
    result = train(small_args(agent), tmp_path)
    assert result.steps >= 32
    assert np.isfinite(result.best["reward"]) and result.best["reward"] >= result.first["reward"]
    card = json.loads((tmp_path / checkpoint.CARD).read_text())
    assert card["agent"] == agent and card["kept"] and f"--agent {agent}" in card["command"]
    assert (tmp_path / "curve.csv").is_file() and list(tmp_path.glob("events.out.tfevents*"))
    targets = play(make_agent(f"{agent}:checkpoint={tmp_path}"), "trap-base")
    assert (targets >= 0).all() and targets.shape[1] == 2


@pytest.mark.parametrize("agent", configured())
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


@pytest.mark.parametrize("agent", configured())
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


@pytest.mark.parametrize("agent", configured())
def test_policies_fit_other_numbers_of_endpoints(agent: str, tmp_path: Path) -> None:
    train(small_args(agent), tmp_path)
    targets = play(make_agent(f"{agent}:checkpoint={tmp_path}"), "o365-day", horizon_s=180.0)
    assert targets.shape == (3, 12, 1)


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        ("residual-e", {}, "unknown agent to train 'residual-e'; did you mean 'residual-es'"),
        ("residual-es", {"stps": 3}, "unknown training argument 'stps'; did you mean 'steps'"),
        ("residual-es", {"steps": 0}, "steps must be a whole number of at least 1"),
        ("residual-es", {"randomise_share": 2}, r"randomise_share must be in \[0, 1\]"),
    ],
)
def test_bad_arguments(agent: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_args(agent, **changes)
