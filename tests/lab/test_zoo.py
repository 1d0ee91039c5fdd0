"""The table and the picture of learning curves."""

from __future__ import annotations

import json
from pathlib import Path

from lab.zoo import NOTHING, picture, zoo

TEST = {"reward": -93.5, "cost_usd": 826.0, "slo_iwf": 0.978, "ilp_reward": -102.5}
TEST |= {"ilp_cost_usd": 845.0, "ilp_slo_iwf": 0.9622}


def publish(folder: Path, agent: str, returns: list[float], test: float) -> None:
    """Write a run of two evaluations."""
    place = folder / "mine" / "zoo" / agent
    place.mkdir(parents=True)
    lines = ["steps,seconds,reward,cost_usd,slo_iwf,ilp_reward"]
    lines += [f"{1000 * i},{9 * i},{value},700,0.96,-90.2" for i, value in enumerate(returns)]
    (place / "curve.csv").write_text("\n".join(lines) + "\n")
    (place / "evaluate.json").write_text(json.dumps({**TEST, "reward": test}))
    (place / "command.txt").write_text(f"sageserve train --agent {agent}\n")


def test_runs_stand_by_their_test_return_and_a_flat_curve_is_called_flat(tmp_path: Path) -> None:
    assert zoo(tmp_path)("mine") == NOTHING
    publish(tmp_path, "sac", [-112.0, -111.9], -120.0)
    publish(tmp_path, "ppo", [-112.0, -80.0], -93.5)
    assert zoo(tmp_path)("mine").splitlines()[2:] == [
        "| `ppo` | 1,000 | -112.0 | -80.0 | -93.5 | 826 | 97.8 |",
        "| `sac` | 1,000 | -112.0 | -111.9, flat | -120.0 | 826 | 97.8 |",
        "| `ilp` |  |  | -90.2 | -102.5 | 845 | 96.2 |",
        "",
        "<!-- not run: each learns for minutes -->",
        "```sh",
        "sageserve train --agent ppo",
        "sageserve train --agent sac",
        "```",
    ]
    picture(tmp_path, "mine", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
