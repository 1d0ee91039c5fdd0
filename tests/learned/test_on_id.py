"""Learning on an environment id for some minutes."""

import json
from pathlib import Path

import pytest

from sageserve_agents.learned.on_id import Curve, recipes, train_on_id
from sageserve_bench.cli import run

pytest.importorskip("stable_baselines3")


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
    curve = train_on_id(agent, "SageServe-Hour-v1", 0.02, 0, tmp_path, lines.append)
    assert (tmp_path / "model.zip").is_file()
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + len(curve.rows)
    assert {"reward", "ilp_reward", "slo_iwf"} <= set(
        json.loads((tmp_path / "evaluate.json").read_text())
    )
    assert lines[0].startswith("ilp: return")


def test_the_command_wants_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--agent", "ppo", "--env", "SageServe-Tiny-v1"]) != 0
    assert "--minutes go together" in capsys.readouterr().err
    words = ["train", "--agent", "pppo", "--env", "SageServe-Tiny-v1", "--minutes", "1"]
    assert run(words) != 0
    assert "did you mean 'ppo'" in capsys.readouterr().err
