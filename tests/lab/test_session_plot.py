"""Generated sessions beside the parameters they are drawn from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lab import session_plot
from sageserve_traces.session_law import AGENT, Lognormal


def law(one: Lognormal, unit: float = 1.0) -> dict[str, float | None]:
    most = None if math.isinf(one.most) else one.most
    return {"mu": math.log(one.median / unit), "sigma": one.sigma, "max": most}


@pytest.fixture
def parameters() -> dict[str, Any]:
    delay = {
        "agentic_fraction": AGENT.tool_share,
        "agentic_delay": law(AGENT.tool_s, 1e-3),
        "human_delay": law(AGENT.human_s, 1e-3),
    }
    return {
        "new_tokens_per_turn": law(AGENT.new_tokens),
        "generation_length": law(AGENT.output_tokens),
        "inter_turn_delay": delay,
    }


@pytest.fixture
def manifest(tmp_path: Path, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(session_plot, "LENGTH_S", 3600.0)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"generation_params": parameters}), encoding="utf-8")
    return path


def test_generated_turns_follow_the_law(manifest: Path) -> None:
    gaps = session_plot.largest_gaps(manifest)
    assert list(gaps) == [
        "new tokens of a turn",
        "tokens of an answer",
        "seconds between answer and next turn",
    ]
    assert max(gaps.values()) < 0.04


def test_another_law_shows(manifest: Path, parameters: dict[str, Any]) -> None:
    parameters["generation_length"]["mu"] += 1.0
    manifest.write_text(json.dumps({"generation_params": parameters}), encoding="utf-8")
    gaps = session_plot.largest_gaps(manifest)
    assert gaps["tokens of an answer"] > 0.3 > 0.04 > gaps["new tokens of a turn"]


def test_the_picture_is_written(manifest: Path, tmp_path: Path) -> None:
    session_plot.picture(manifest, tmp_path / "sessions.png")
    assert (tmp_path / "sessions.png").read_bytes().startswith(b"\x89PNG")
