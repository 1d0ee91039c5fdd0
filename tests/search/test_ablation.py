"""What a knob is worth to the best agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from sageserve_agents import make_agent
from sageserve_bench.runs.pools import Backend
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_search.headroom.ablation import ablated, bill_at_target
from sageserve_search.headroom.measure import PLANNER, RULE, Budget, Cast, measure
from sageserve_search.headroom.playing import Day
from sageserve_search.headroom.sweep import Helpers
from sageserve_search.headroom.worth import KNOBS, one_type
from sageserve_search.probing import Probe


def hour() -> Scenario:
    return load_scenario("tiny").replace(horizon_s=3600.0)


def probe(cost_usd: float, margin: float) -> Probe:
    return Probe("a", {"cost_usd": cost_usd}, margin, () if margin >= 0 else ("IW-F",))


@pytest.mark.parametrize(
    ("tried", "usd"),
    [
        ([(100.0, -0.1), (400.0, 0.1), (900.0, 0.4)], 200.0),
        ([(100.0, -0.1), (400.0, 0.3)], 100.0 * 4.0**0.25),
        ([(400.0, 0.3), (300.0, 0.1)], 300.0),
        ([(400.0, -0.3)], None),
    ],
)
def test_the_bill_at_the_target_lies_between_the_nearest(
    tried: Sequence[tuple[float, float]], usd: float | None
) -> None:
    found = bill_at_target([probe(*one) for one in tried])
    assert found == (None if usd is None else pytest.approx(usd))


def test_a_knob_that_an_agent_leaves_alone_is_worth_nothing(tmp_path: Path) -> None:
    cast = Cast({RULE: ("reactive:calibrated=no",), PLANNER: ()})
    _, found = measure(hour(), (3, 4), cast, Budget(plays=0, probes=1), tmp_path)
    assert set(found["agent_frozen"]) == set(KNOBS)  # one VM type: no choice of hardware
    for knob in ("routing", "admission"):
        one = found["agent_frozen"][knob]
        assert one["more"] == 0.0 and one["spec"].startswith("reactive:calibrated=no;out_above=")
        assert one["service"]["cost_usd"] == pytest.approx(one["usd"], abs=1e-3)
    _, again = measure(hour(), (3, 4), cast, Budget(plays=0, probes=1), tmp_path)
    assert again["agent_frozen"] == found["agent_frozen"]


def test_what_an_agent_decides_is_put_back_and_processes_make_no_difference() -> None:
    days = [Day(hour(), seed) for seed in (3, 4)]
    spec = "reactive:calibrated=no;niw_ceiling=0.3;out_above=0.7"
    try:
        played = [day.play_agent(make_agent(spec, scenario=day.scenario))[0] for day in days]
        kept: list[str] = []

        def file(day: Day, spec: str, knob: str) -> None:
            kept.append(f"{day.seed} {knob}")

        found = ablated(days, spec, played, 1, file)
        assert found is not None
        less = found["batch"]["more"]
        assert less is None or not math.isclose(less, 0.0, abs_tol=1e-9)
        assert found["routing"]["more"] == 0.0
        two = ablated(days, spec, played, 1, file, helpers=Helpers(Backend(workers=2)))
        assert two == found and "4 batch" in kept
        assert ablated(days, "static:instances=4", played, 1, file) is None
    finally:
        for day in days:
            day.close()


def test_without_a_choice_of_hardware_there_is_one_type() -> None:
    alone = one_type(load_scenario("global-day"))
    assert [dict(region.vms) for region in alone.regions] == [{"h100x2": 1000}] * 3
    assert (alone.usable.sum(axis=1) == 1).all()
