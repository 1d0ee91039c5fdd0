"""Learning on an environment id for some minutes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sageserve_agents import make_agent, rollout
from sageserve_agents.learned.on_id import Budget, Curve, environment, recipes, train_on_id
from sageserve_cli.cli import run
from sageserve_env.env import SageServeEnv

pytest.importorskip("stable_baselines3")
EventAccumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
).EventAccumulator


def row(reward: float) -> dict[str, float]:
    return {"reward": reward, "cost_usd": 1.0, "slo_iwf": 0.95}


def test_a_flat_curve_is_called_flat_and_a_long_one_ends() -> None:
    curve = Curve(row(-5.0), [row(-8.0), row(-7.9), *[row(-8.1)] * 6])
    assert curve.verdict().startswith("flat: the return began at -8.00")
    assert curve.stuck
    risen = Curve(row(-5.0), [row(-8.0), row(-4.0)])
    assert risen.verdict() == "from -8.00 to -4.00, 20.0% above ilp's return"
    assert not risen.stuck


def test_every_recipe_has_an_algorithm() -> None:
    assert recipes() == ["maskable-ppo", "ppo", "recurrent-ppo", "sac", "tqc"]


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "maskable-ppo", "recurrent-ppo", "sac", "tqc"])
def test_it_learns_and_writes_what_it_says(agent: str, tmp_path: Path) -> None:
    lines: list[str] = []
    place = "SageServe-Hour-v1"
    curve = train_on_id(agent, place, Budget(minutes=0.02), 0, tmp_path, lines.append)
    assert (tmp_path / "model.zip").is_file()
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + len(curve.rows)
    result = json.loads((tmp_path / "evaluate.json").read_text())
    assert {"reward", "ilp_reward", "slo_iwf"} <= set(result)
    assert lines[0].startswith("ilp: return")
    assert (tmp_path / "policy.npz").is_file() == (agent != "recurrent-ppo")
    if agent != "recurrent-ppo":  # the same policy in NumPy, as an agent
        played = make_agent(f"{agent}:checkpoint={tmp_path}")
        env = SageServeEnv(**environment(place))
        rows = [rollout(env, played, seed).metrics for seed in result["seeds"]]
        for name in ("reward", "cost_usd", "slo_iwf"):
            assert np.mean([row[name] for row in rows]) == pytest.approx(result[name], rel=1e-6)


@pytest.mark.slow
def test_a_run_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    class Tracker:
        @staticmethod
        def init(**keywords: object) -> type["Tracker"]:
            told.append(keywords)
            return Tracker

        @staticmethod
        def finish() -> None:
            told.append("finished")

    monkeypatch.setitem(sys.modules, "wandb", Tracker)
    words = ["train", "--env", "SageServe-Hour-v1", "--steps", "200", "--wandb", "mine"]
    assert run([*words, "--output", str(tmp_path)]) == 0
    first, last = told
    assert isinstance(first, dict) and last == "finished"
    assert first["project"] == "mine" and first["sync_tensorboard"] is True
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = events.Tags()["scalars"]
    assert {"validation/reward", "validation/ilp_reward"} <= set(shown)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert run([*words, "--output", str(tmp_path / "other")]) != 0


@pytest.mark.slow
def test_a_number_of_steps_is_kept_and_can_be_repeated(tmp_path: Path) -> None:
    curves = [
        train_on_id("ppo", "trap-base", Budget(steps=2500), 1, tmp_path / name, lambda line: None)
        for name in "ab"
    ]
    one, two = ([{**row, "seconds": 0.0} for row in curve.rows] for curve in curves)
    assert one == two
    assert one[-1]["steps"] >= 2500 or curves[0].stuck
    command = json.loads((tmp_path / "a" / "card.json").read_text())["command"]
    assert command.startswith("sageserve train --agent ppo --scenario trap-base --steps 2500")


def test_places_to_learn_in() -> None:
    assert environment("SageServe-Tiny-v1")["targets"] == "load"
    assert environment("tiny") == environment("SageServe-Tiny-v1")
    with pytest.raises(ValueError, match="did you mean 'SageServe-Tiny-v1'"):
        environment("SageServe-Tiny-v2")


def test_the_nearest_recipe_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--agent", "pppo", "--env", "SageServe-Tiny-v1", "--minutes", "1"]
    assert run(words) != 0
    assert "did you mean 'ppo'" in capsys.readouterr().err
