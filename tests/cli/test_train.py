"""`sageserve train` on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sageserve_cli.cli import run

pytest.importorskip("stable_baselines3")


ES = ["--agent", "residual-es"]
PPO = ["--agent", "ppo", "--env", "SageServe-Tiny-v1"]


def train(*words: Any) -> None:
    return run(["train", *map(str, words)])


def test_trains_several_seeds_and_says_how_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("algorithm: {pairs: 1}\n")
    words = ["--agent", "residual-es", "--scenario", "trap-base", "--steps", 16, "--seeds", 2]
    assert train(*words, "--config", config, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "sageserve compare" in out
    for seed in (0, 1):
        assert (tmp_path / "out" / f"seed-{seed}" / "policy.npz").is_file()


@pytest.mark.slow
def test_ray_gives_the_weights_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    config = tmp_path / "small.yaml"
    config.write_text("algorithm: {pairs: 1}\n")
    words = ["--agent", "residual-es", "--scenario", "trap-base", "--steps", 16, "--seeds", 2]
    words += ["--config", config]
    assert train(*words, "--output", tmp_path / "here") == 0
    assert train(*words, "--output", tmp_path / "ray", "--backend", "ray", "--workers", 2) == 0
    for seed in (0, 1):
        with (
            np.load(tmp_path / "here" / f"seed-{seed}" / "policy.npz") as here,
            np.load(tmp_path / "ray" / f"seed-{seed}" / "policy.npz") as there,
        ):
            assert sorted(here) == sorted(there)
            assert all(np.array_equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agent", "nobody"], "unknown agent to train"),
        ([*ES, "--steps", "0"], "--steps"),
        ([*ES, "--seeds", "0"], "--seeds must be at least 1"),
        ([*ES, "--scenario", "o365-dya"], "o365-day"),
        ([*ES, "--config", "nowhere.yaml"], "cannot be read"),
        ([*ES, "--backend", "slurm"], "unknown backend"),
        ([*ES, "--minutes", "1"], "residual-es takes --steps"),
        ([*ES, "--env", "SageServe-Tiny-v1"], "residual-es takes --scenario"),
        (
            [*ES, "--seeds", "2", "--backend", "ray", "--ray-address", "127.0.0.1:1"],
            "no Ray cluster at",
        ),
        (["--agent", "ppo", "--minutes", "1"], "ppo needs --env or --scenario"),
        ([*PPO, "--scenario", "tiny", "--minutes", "1"], "not both"),
        (PPO, "needs --minutes or --steps"),
        ([*PPO, "--minutes", "1", "--steps", "9"], "needs --minutes or --steps"),
        ([*PPO, "--minutes", "1", "--seeds", "2"], "--seeds and --config do not go with ppo"),
        ([*PPO, "--minutes", "1", "--workers", "2"], "--workers, --backend, --ray-address and"),
        ([*PPO, "--minutes", "1", "--backend", "ray"], "do not go with ppo"),
        ([*PPO, "--minutes", "1", "--threads", "2"], "do not go with ppo"),
        (["--agent", "ppo", "--scenario", "tinny", "--steps", "9"], "tiny"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*words, "--output", tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["model.zip", "card.json"])
def test_a_trained_agent_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "seed-0").mkdir()
    for folder in (tmp_path, tmp_path / "seed-0"):
        (folder / name).write_text("mine")
    es = [*ES, "--scenario", "trap-base", "--steps", 8]
    for words in ([*PPO, "--steps", 8], es, [*es, "--seeds", 2]):
        assert train(*words, "--output", tmp_path) == 2
        error = capsys.readouterr().err
        assert f"holds {name} of another run" in error and error.count("\n") == 1
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.rglob("*"))) == 3


def test_the_same_command_of_residual_es_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("algorithm: {pairs: 1}\n")
    words = [*ES, "--scenario", "trap-base", "--config", config, "--output", tmp_path / "out"]
    assert train(*words, "--steps", 8) == 0
    assert train(*words, "--steps", 16) == 0
