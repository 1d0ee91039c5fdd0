"""Admission: who is refused, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sageserve_env.actions import ClusterAction
from sageserve_env.simulator.simulator import Simulator
from tests.env.common import TINY, make
from tests.simulator.small import scenario, simulator, targets


def limits(*seconds: float) -> np.ndarray[Any, Any]:
    return np.array(seconds).reshape(-1, 3)


def done(sim: Simulator) -> list[bool]:
    sim.check_invariants()
    return np.isfinite(sim.records()["e2e_s"]).tolist()


def test_a_request_that_would_wait_too_long_is_refused_and_missed_at_once() -> None:
    # theta 1000/s: the second sees 900 queued tokens, 0.9 s; the third 900 + 900, 1.8 s
    rows = [(0.0, 900, 1), (0.0, 900, 1), (0.0, 900, 1), (0.0, 900, 1, "IW-N")]
    sim = simulator(scenario(), rows)
    targets(sim, 1, admission=limits(1.0, 2.0, np.inf))
    sim.advance(0.0)
    metrics = sim.episode_metrics()
    assert (metrics["refused"], metrics["missed_iwf"], metrics["unfinished"]) == (1, 1, 3)
    assert sim.view().refused.tolist() == [[1, 0, 0]]
    assert sim.view().admission_s.tolist() == [[1.0, 2.0, np.inf]]
    sim.advance(50.0)
    assert done(sim) == [True, True, False, True]
    assert sim.episode_metrics()["slo_iwf"] == pytest.approx(2 / 3)
    assert sim.view().request_rate[0, 0, 0].sum() > 0  # refused ones are demand too


def test_the_wait_is_that_of_the_best_instance_anywhere() -> None:
    rows = [(0.0, 900, 1), (0.0, 900, 1), (0.0, 900, 1)]
    wide = scenario(regions=("west", "east"), round_trip_s=0.01)
    sim = simulator(wide, rows)
    targets(sim, 1, 1, admission=limits(0.5, 0.5, 0.5))
    sim.advance(50.0)
    assert done(sim) == [True, True, False]


def test_without_an_instance_the_wait_has_no_end() -> None:
    sim = simulator(scenario(initial_instances=0), [(1.0, 100, 1), (1.0, 100, 1, "IW-N")])
    targets(sim, 0, admission=limits(1e5, np.inf, np.inf))
    sim.advance(2.0)
    assert sim.episode_metrics()["refused"] == 1
    assert sim.view().global_queue.tolist() == [1]


def test_batch_work_is_refused_by_what_is_held() -> None:
    # 100 prompt tokens each over theta 1000: the third sees 0.2 s held, the fourth 0.3 s
    sim = simulator(scenario(), [(1.0, 100, 1, "NIW")] * 5)
    targets(sim, 1, niw_release=np.zeros(1), admission=limits(9.0, 9.0, 0.25))
    sim.advance(2.0)
    assert sim.view().niw_backlog.tolist() == [3]
    assert sim.episode_metrics()["refused"] == 2


def test_what_was_admitted_stays_so() -> None:
    sim = simulator(scenario(), [(0.0, 900, 1), (0.0, 900, 1)])
    targets(sim, 1, admission=limits(5.0, 5.0, 5.0))
    sim.advance(0.1)
    targets(sim, 1, admission=limits(0.0, 0.0, 0.0))
    sim.advance(50.0)
    assert done(sim) == [True, True]


def test_the_next_decision_admits_all_again() -> None:
    rows = [(0.0, 900, 1), (0.0, 900, 1), (1.0, 900, 1), (1.0, 900, 1)]
    sim = simulator(scenario(), rows)
    targets(sim, 1, admission=limits(0.0, 0.0, 0.0))
    sim.advance(0.5)
    targets(sim, 1)
    sim.advance(50.0)
    assert done(sim) == [True, False, True, True]


def test_a_tier_has_a_limit_where_nobody_decides_one() -> None:
    plain = scenario()
    tiers = [replace(plain.tiers[0], refuse_above_s=1.0), *plain.tiers[1:]]
    sim = simulator(plain.replace(tiers=tiers), [(0.0, 900, 1)] * 3 + [(0.0, 900, 1, "IW-N")])
    sim.advance(50.0)
    assert done(sim) == [True, True, False, True]
    sim = simulator(plain.replace(tiers=tiers), [(0.0, 900, 1)] * 3)
    targets(sim, 1, admission=limits(np.inf, np.inf, np.inf))
    sim.advance(50.0)
    assert done(sim) == [True, True, True]


def test_no_request_is_refused_by_its_own_output() -> None:
    outcomes = []
    for output in (2, 800):
        sim = simulator(scenario(), [(0.0, 500, output), (0.0, 500, 1), (0.1, 500, 1)])
        targets(sim, 1, admission=limits(0.7, 0.7, 0.7))
        sim.advance(0.2)
        outcomes.append(sim.view().refused.tolist())
    assert outcomes[0] == outcomes[1] == [[1, 0, 0]]


@pytest.mark.parametrize("bad", [np.full((1, 3), np.nan), np.full((1, 3), -1.0), np.zeros((3,))])
def test_limits_that_make_no_sense(bad: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="admission: expected"):
        ClusterAction(np.ones((1, 1), dtype=np.int64), admission=bad).validate(scenario())


def test_it_can_be_decided_and_fixed() -> None:
    names = make(TINY, control="admission").action_names
    assert names == tuple(f"llama-2-70b.admission[{t}]" for t in ("IW-F", "IW-N", "NIW"))
    env = make(TINY, control="admission")
    env.reset(seed=0)
    env.step(np.array([-1.0, -0.5, 0.0], np.float32))
    assert env.view().admission_s.tolist() == [[0.0, 60.0, np.inf]]
    preset = make(TINY, control="admission", action_mode="discrete")
    preset.reset(seed=0)
    for choice, expected in ((1, 1.0), (2, 0.25), (0, np.inf)):
        preset.step(np.array([choice]))
        assert preset.view().admission_s[0, 0] == expected
    fixed = make(TINY, policy={"admission": 30.0})
    fixed.reset(seed=0)
    fixed.step(np.zeros(fixed.action_space.shape, np.float32))
    assert fixed.view().admission_s.tolist() == [[30.0] * 3]


def test_the_zero_action_leaves_the_limits_of_the_tiers_in_force() -> None:
    plain = make(TINY).scenario
    own = (10.0, None, 0.0)
    tiers = [replace(t, refuse_above_s=s) for t, s in zip(plain.tiers, own, strict=True)]
    env = make(TINY, scenario=plain.replace(tiers=tiers), control="admission")
    env.reset(seed=0)
    second = plain.tiers[1].objective_s
    for x, first, middle in ((0.0, 10, np.inf), (-0.5, 5, second), (0.5, 20, np.inf), (-1, 0, 0)):
        env.step(np.full(3, x, np.float32))
        assert env.view().admission_s.tolist() == [[first, middle, 0.0]]
    env.step(np.ones(3, np.float32))
    assert np.isinf(env.view().admission_s).all()


def test_it_is_part_of_joint_control_and_charged_where_the_scenario_says_so() -> None:
    plain = make(TINY)
    charged = make(TINY, scenario=plain.scenario.replace(reward={"refuse_usd": 5.0}))
    more = charged.action_space.shape[0] - plain.action_space.shape[0]
    assert more == 3
    assert "refused" not in plain.reward.names
    charged.reset(seed=0)
    action = np.zeros(charged.action_space.shape, np.float32)
    action[-3:] = -1.0
    refused = 0
    for _ in range(10):
        _, _, _, _, info = charged.step(action)
        now = int(charged.view().refused.sum()) - refused
        refused += now
        assert info["reward_terms"]["refused"] == pytest.approx(-now * 5.0 / 100.0)
    assert refused > 0
