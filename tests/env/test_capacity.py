"""The capacity probe: saturation, and goodput where there are promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sageserve_env import Scenario, load_scenario
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
