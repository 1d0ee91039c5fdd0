"""The capacity probe: saturation, and goodput where there are promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sageserve_env import Scenario, capacity, load_scenario
from sageserve_env.capacity import measure_theta, promises


def alone(**tier: float) -> Scenario:
    """Return one model with flat objectives, changed by ``tier``."""
    scenario = load_scenario("trap-base")
    tiers = tuple(replace(t, **tier) if t.interactive else t for t in scenario.tiers)  # type: ignore[arg-type]
    return scenario.replace(models=scenario.models[:1], tiers=tiers, slo_scale=None)


def mix(_: int) -> tuple[np.ndarray, np.ndarray]:
    """Prompts of 1,000 tokens and answers of 100."""
    return np.full(2, 1000, dtype=np.int32), np.full(2, 100, dtype=np.int32)


def test_a_promise_that_always_holds_takes_nothing() -> None:
    lax = alone(objective_s=1e6, tpot_s=1e3)
    paper = lax.replace(slo_scale=3.0, tiers=load_scenario("trap-base").tiers)
    assert promises(lax) and not promises(paper)
    assert measure_theta(lax, mix)[0, 0] == pytest.approx(measure_theta(paper, mix)[0, 0], rel=0.02)


def test_a_stricter_promise_leaves_less() -> None:
    loads = [measure_theta(alone(objective_s=s), mix)[0, 0] for s in (30.0, 2.0, 0.6)]
    assert loads[0] > loads[1] > loads[2] > 1.0
    paced = measure_theta(alone(objective_s=30.0, tpot_s=0.05), mix)[0, 0]
    assert paced < loads[0]


def test_what_an_idle_instance_cannot_promise_is_asked_for_in_part() -> None:
    """No request attains at any load: every load does as well as an idle instance."""
    assert measure_theta(alone(objective_s=0.001), mix)[0, 0] > 1.0


def test_theta_is_kept_by_the_weights_of_a_discipline_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(capacity, "kept", lambda what, measured: asked.append(what) or [[1.0]])
    register = "from sageserve_env.policies import register_discipline\n"
    for weight in (1.0, 2.0):
        file = tmp_path / f"{weight:.0f}" / "mine.py"
        file.parent.mkdir()
        file.write_text(
            f"{register}register_discipline('mine{weight:.0f}', {{'queued_s': {weight}}})"
        )
        named = f"{file}:mine{weight:.0f}"
        capacity.measure_theta(alone().replace(batching={"discipline": named}), mix)
    capacity.measure_theta(alone(), mix)
    first, second, built_in = asked
    assert first[-1] == {"queued_s": 1.0} and second[-1] == {"queued_s": 2.0}
    assert len(built_in) == len(first) - 1
