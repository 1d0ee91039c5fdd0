"""Promises: time per output token, flat objectives, deadlines drawn by the seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env._config import ScenarioError
from sageserve_env.options import TierConfig
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import TIERS, scenario, simulator, targets

# prefill(T) = 0.1 + 0.001 T, decode = 0.05 + 0.01 n: alone a token takes 0.06 s, of two 0.07 s


def paced(tpot_s: float, objective_s: float = 1.0, **changes: Any) -> Any:
    tiers = (TierConfig("IW-F", objective_s, tpot_s=tpot_s), *TIERS[1:])
    return scenario(tiers=tiers, **changes)


def outcome(sim: Simulator) -> tuple[int, int, int]:
    """Return (attained, missed, attained flat) of the first tier."""
    count = sim.state.count[0, 0, 0]
    return int(count["attained"]), int(count["missed"]), int(count["attained_flat"])


@pytest.mark.parametrize(("tpot_s", "expected"), [(0.0601, (1, 0, 1)), (0.0599, (0, 1, 0))])
def test_a_request_attains_when_ttft_and_tpot_hold(
    tpot_s: float, expected: tuple[int, int, int]
) -> None:
    sim = simulator(paced(tpot_s), [(0.0, 100, 11)])
    sim.advance(0.5)  # the first token came at 0.2, the last comes at 0.2 + 10 x 0.06
    assert outcome(sim) == (0, 0, 0)
    sim.advance(0.9)
    assert outcome(sim) == expected
    metrics = sim.episode_metrics()
    assert metrics["tpot_p95_iwf"] == pytest.approx(0.06, rel=0.02)
    assert metrics["slo_iwf"] == float(expected[0])
    assert metrics["goodput_rps"] == pytest.approx(expected[0] / 0.9)


def test_a_late_first_token_is_missed_at_once_and_once() -> None:
    sim = simulator(paced(0.1), [(0.0, 1500, 1), (0.0, 100, 11)])
    sim.advance(1.75)  # 1500 tokens in chunks of 500: 3 x 0.6 s; the second waits behind them
    assert outcome(sim) == (0, 0, 0)
    sim.advance(10.0)
    # the first attains max(1, 3 x 1.6) s but not 1 s flat, and one token has no pace to keep
    assert outcome(sim) == (1, 1, 0)
    assert sim.episode_metrics()["missed_iwf"] == 1


def test_one_token_has_no_pace() -> None:
    sim = simulator(paced(1e-6), [(0.0, 100, 1)])
    sim.advance(1.0)
    assert outcome(sim) == (1, 0, 1)
    assert np.isnan(sim.episode_metrics()["tpot_p95_iwf"])


def test_flat_objectives_are_those_of_the_tier() -> None:
    # alone 0.3 + ... = 0.1 + 0.9 + 0.1 (two chunks) = 1.1 s: within 3 x 1.0 s, not within 1 s
    for scale, good in ((3.0, 1), (None, 0), (0, 0)):
        sim = simulator(scenario(slo_scale=scale), [(0.0, 900, 1)])
        sim.advance(10.0)
        assert sim.episode_metrics()["slo_iwf"] == float(good), scale
        assert sim.episode_metrics()["slo_flat_iwf"] == 0.0


def test_views_show_the_pace_of_completed_requests_only() -> None:
    sim = simulator(paced(0.05), [(0.0, 100, 101), (0.0, 100, 3)])
    sim.advance(0.31)
    assert sim.view().tpot_attainment.tolist() == [1.0]
    sim.advance(0.6)  # the short one is complete, at 0.07 s a token
    view = sim.view()
    assert view.tpot_attainment.tolist() == [0.0]
    assert view.tpot_p95_ratio[0] == pytest.approx(0.07 / 0.05, rel=0.1)
    other = simulator(paced(0.05), [(0.0, 100, 91), (0.0, 100, 3)])
    other.advance(0.6)
    assert other.view().tpot_p95_ratio.tolist() == view.tpot_p95_ratio.tolist()


def drawn(**changes: Any) -> Any:
    tiers = (*TIERS[:2], TierConfig("NIW", (100.0, 400.0), "completion", False, 0.999, 2))  # type: ignore[arg-type]
    return scenario(tiers=tiers, **changes)


def objectives(sim: Simulator) -> list[float]:
    held = sim.state.request[sim.state.request["state"] != 0]
    return held[np.argsort(held["id"])]["objective_s"].tolist()


ROWS = [(0.1 * i, 100, 1, "NIW") for i in range(400)]


def test_deadlines_are_drawn_by_the_seed_and_by_nothing_else() -> None:
    first = simulator(drawn(), ROWS, seed=3)
    targets(first, 1, niw_release=np.zeros(1))
    first.advance(50.0)
    values = objectives(first)
    assert set(values) == {100.0, 400.0}
    assert 0.4 < np.mean(np.array(values) == 100.0) < 0.6
    again = simulator(drawn(lifecycle={"jitter": 0.3}, vms=9), ROWS, seed=3)
    targets(again, 9, niw_release=np.zeros(1))  # which draws delays
    again.advance(50.0)
    assert objectives(again) == values
    other = simulator(drawn(), ROWS, seed=4)
    targets(other, 1, niw_release=np.zeros(1))
    other.advance(50.0)
    assert objectives(other) != values


def test_what_is_due_first_is_pulled_first_and_falls_due_within_the_episode() -> None:
    sim = simulator(drawn(), ROWS, seed=3)
    targets(sim, 1, niw_release=np.zeros(1))
    sim.advance(41.0)
    sim.check_invariants()
    view = sim.view()
    held = sim.state.request[sim.state.request["state"] != 0]
    due = held["arrival_s"] + held["objective_s"]
    assert view.niw_deadline_s[0] == pytest.approx(due.min() - 41.0)
    targets(sim, 1, niw_release=np.full(1, 0.9))
    sim.advance(60.0)
    left = sim.state.request[(sim.state.request["state"] == 1)]  # held
    assert 0 < len(left) < 400
    urgent = (held["objective_s"] == 100.0).sum()
    assert (left["objective_s"] == 400.0).sum() == min(len(left), 400 - urgent)
    targets(sim, 1, niw_release=np.zeros(1))
    sim.advance(1000.0)
    metrics = sim.episode_metrics()
    assert metrics["missed_niw"] == len(left)
    assert metrics["slo_niw"] == pytest.approx(1 - len(left) / 400)


def test_nothing_due_is_not_full_attainment() -> None:
    sim = simulator(scenario(), [(0.0, 100, 1)])
    sim.advance(1.0)
    metrics = sim.episode_metrics()
    assert metrics["slo_iwf"] == 1.0
    for key in ("slo_niw", "slo_flat_niw", "slo_iwn"):
        assert np.isnan(metrics[key])
    assert metrics["slo_worst_model"] == 1.0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"objective_s": (60.0, 30.0)}, "need objective: completion"),
        ({"objective_s": 10.0, "tpot_s": 0.0}, "tpot_s: expected a finite number"),
        ({"objective_s": 9.0, "objective": "completion", "tpot_s": 1.0}, "needs objective: ttft"),
        ({"objective_s": (), "objective": "completion"}, "at least one time"),
        ({"objective_s": (0.0, 5.0), "objective": "completion"}, "objective_s: expected"),
    ],
)
def test_promises_that_make_no_sense(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        TierConfig("X", **keywords)


def test_a_list_of_deadlines_in_a_file_comes_back() -> None:
    data = drawn().to_dict()
    tier = data["tiers"][2]
    assert (tier["objective_s"], tier["objectives_s"]) == (400.0, [100.0, 400.0])
    assert type(drawn()).from_dict(data) == drawn()
    tier["objective_s"] = tier.pop("objectives_s")
    assert type(drawn()).from_dict(data) == drawn()
