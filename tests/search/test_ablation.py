"""What a knob is worth to the best agent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_agents.parameters import ServiceKnob
from sageserve_bench.runs.pools import Backend
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_search.calibration import Calibration
from sageserve_search.headroom.ablation import (
    AT_MOST,
    BETWEEN,
    NEVER,
    UNKNOWN,
    Bill,
    ablated,
    shown,
)
from sageserve_search.headroom.measure import PLANNER, RULE, Budget, Cast, measure
from sageserve_search.headroom.playing import Day
from sageserve_search.headroom.worth import KNOBS, one_type
from sageserve_search.knob import service_knob
from sageserve_search.probing import Probe, with_options

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "headroom"


def hour() -> Scenario:
    return load_scenario("tiny").replace(horizon_s=3600.0)


KNOB = ServiceKnob("x", stingy=1.0, generous=0.1, log=True)


def calibration(*tried: tuple[float, float, float]) -> Calibration:
    """Return one whose settings have these values of the knob, bills and margins."""
    probes = tuple(
        Probe(f"a:x={value:g}", {"cost_usd": usd}, margin, () if margin >= 0 else ("IW-F",))
        for value, usd, margin in tried
    )
    return Calibration("a", KNOB, tried[0][0], probes[0], probes)


@pytest.mark.parametrize(
    ("tried", "usd", "said"),
    [
        ([(1.0, 100.0, -0.1), (0.5, 400.0, 0.1), (0.2, 900.0, 0.4)], 200.0, BETWEEN),
        ([(1.0, 100.0, -0.1), (0.5, 400.0, 0.3)], 100.0 * 4.0**0.25, BETWEEN),
        ([(1.0, 400.0, -0.3), (0.5, 300.0, 0.1)], 300.0, BETWEEN),
        ([(1.0, 400.0, 0.3), (0.5, 300.0, 0.1)], 300.0, AT_MOST),
        ([(1.0, 400.0, 0.004)], 400.0, BETWEEN),
        ([(1.0, 400.0, 0.004), (0.5, 300.0, 0.1)], 300.0, BETWEEN),
        ([(1.0, 200.0, -3.0), (0.5, 300.0, 0.1)], 300.0, AT_MOST),
        ([(0.3, 400.0, -0.3)], None, UNKNOWN),
        ([(0.3, 400.0, -0.3), (0.1, 500.0, -0.1)], None, NEVER),
    ],
)
def test_the_bill_at_the_service_lies_between_the_nearest(
    tried: Sequence[tuple[float, float, float]], usd: float | None, said: str
) -> None:
    found = Bill.of(calibration(*tried))
    assert found.usd == (None if usd is None else pytest.approx(usd)) and found.said == said


def test_what_a_knob_is_worth_as_text() -> None:
    assert shown({"more": 0.034, "said": BETWEEN}) == "3.4 %"
    assert shown({"more": 0.034, "said": AT_MOST}) == "at most 3.4 %"
    assert shown({"more": None, "said": NEVER}) == "never attains"
    assert shown({"more": None, "said": UNKNOWN}) == "not found"


@pytest.mark.parametrize("agent", ["pooled", "reactive:calibrated=no"])
def test_a_knob_that_an_agent_leaves_alone_is_worth_nothing(agent: str, tmp_path: Path) -> None:
    cast = Cast({RULE: (with_options(agent, {"admission": None}),), PLANNER: ()})
    _, found = measure(hour(), (3, 4), cast, Budget(plays=0, agent_probes=1), tmp_path)
    assert set(found["agent_frozen"]) == set(KNOBS)  # one VM type: no choice of hardware
    one = found["agent_frozen"]["admission"]
    assert one["more"] == 0.0 and len(one["probes"]) == 1
    _, again = measure(hour(), (3, 4), cast, Budget(plays=0, agent_probes=1), tmp_path)
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
        usd = [found[knob]["probes"][0]["cost_usd"] for knob in ("routing", "batch")]
        assert usd[0] == np.mean([one.metrics["cost_usd"] for one in played]) != usd[1]
        two = ablated(days, spec, played, 1, file, backend=Backend(workers=2))
        assert two == found and "4 batch" in kept
        lines: list[str] = []
        assert ablated(days, "static:instances=4", played, 1, file, lines.append) is None
        assert "no service knob" in lines[0]
    finally:
        for day in days:
            day.close()


def test_without_a_choice_of_hardware_there_is_one_type() -> None:
    alone = one_type(load_scenario("global-day"))
    assert [dict(region.vms) for region in alone.regions] == [{"h100x2": 1000}] * 3
    assert (alone.usable.sum(axis=1) == 1).all()
    short = load_scenario("small-day").replace(horizon_s=1800.0)
    cast = Cast({RULE: ("pooled",), PLANNER: ()})
    _, found = measure(short, (3,), cast, Budget(plays=0, agent_probes=1))
    assert found["agent_frozen"]["hardware"]["probes"][0]["cost_usd"] > 0


@pytest.mark.parametrize("file", sorted(PUBLISHED.glob("*.json")), ids=lambda file: file.stem)
def test_published_worth_is_what_its_settings_say(file: Path) -> None:
    report = json.loads(file.read_text())
    agent = fmean(row["rival_usd"] for row in report["seeds"])
    rival = report["seeds"][0]["rival"]
    for one in (report.get("agent_frozen") or {}).values():
        probes = tuple(
            Probe(p["spec"], {"cost_usd": p["cost_usd"]}, p["margin"], ()) for p in one["probes"]
        )
        bill = Bill.of(Calibration(rival, service_knob(rival), 0.0, probes[0], probes))
        assert one["said"] == bill.said
        assert one["more"] == (None if bill.usd is None else pytest.approx(bill.usd / agent - 1))
