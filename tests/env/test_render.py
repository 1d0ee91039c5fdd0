"""Rendering: the table, the panel, and a recorded episode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests.env.common import TINY, make

pytestmark = pytest.mark.filterwarnings("error")


def test_the_table_names_every_endpoint() -> None:
    env = make(render_mode="ansi")
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    text = env.render()
    assert all(e.name in text for e in env.scenario.endpoints)
    assert "attained" in text and "00:01" in text


def test_the_panel_changes_with_the_episode() -> None:
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (480, 800, 3) and first.dtype == np.uint8
    for _ in range(3):
        env.step(np.full(env.action_space.shape, 0.5, np.float32))
    second = env.render()
    assert 0.001 < (first != second).any(axis=2).mean() < 0.5
    env.close()


def test_human_mode_without_a_display_draws_and_stays_silent() -> None:
    env = make(render_mode="human")
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    assert env.render() is None
    env.close()


def test_training_does_not_import_matplotlib() -> None:
    code = (
        "import sys; from tests.env.common import make, play; play(make(), 0, 3); "
        "print('matplotlib' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.filterwarnings("default")
def test_record_video(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    env = gym.wrappers.RecordVideo(
        gym.make(TINY, render_mode="rgb_array", horizon_s=300.0), str(tmp_path / "video")
    )
    env.reset(seed=0)
    truncated = False
    while not truncated:
        _, _, _, truncated, _ = env.step(env.action_space.sample())
    env.close()
    assert next((tmp_path / "video").glob("*.mp4")).stat().st_size > 1000
