"""Models simulated one by one against all of them in one loop: the same to the bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.simulator import apart
from sageserve_env.simulator.heaps import next_event_s, plant_parts
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.canonical import canonical
from tests.simulator.small import scenario, simulator, targets
from tests.simulator.strategies import Case, cases

NEVER = 1 << 40
CALM = {
    "faults": {},
    "routing": {"delay_s": 0.0, "region_age_s": 0.0},
    "niw": {"pull_interval_s": 1.0},
}


def _in_three_ways(case: Case) -> tuple[Simulator, Simulator, Simulator]:
    """Return simulators of models together, one by one and in two threads."""
    sims = case.simulator(), case.simulator(), case.simulator()
    for sim, arrivals, shared in zip(sims, (NEVER, 0, 0), (0, 0, 1), strict=True):
        sim.threads = 1 + shared
        sim.state.config[0]["apart_from"] = arrivals
        sim.state.config[0]["shared"] = shared
    return sims


def _equal(one: Simulator, other: Simulator) -> None:
    ours, theirs = canonical(one.state), canonical(other.state)
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes(), name
    for name, column in one.records().items():
        assert column.tobytes() == other.records()[name].tobytes(), name
    assert repr(one.episode_metrics()) == repr(other.episode_metrics())
    assert repr(one.unfinished()) == repr(other.unfinished())


@st.composite
def calm_cases(draw: st.DrawFn) -> Case:
    """Return cases in which models mostly meet nowhere between decisions."""
    case = draw(cases(faults=False))
    balancer = case.scenario.batching.balancer
    balancer = "jsq" if balancer == "power_of_two" else balancer
    calm: dict[str, Any] = {**CALM, "batching": {"balancer": balancer}}
    if draw(st.booleans()):
        calm["lifecycle"] = {"label_half_life_s": None}
    arrival_s = case.trace.arrival_s
    if draw(st.booleans()):  # no batch work at whole seconds
        arrival_s = np.sort(arrival_s + 1e-3)
    return dataclasses.replace(
        case,
        scenario=case.scenario.replace(**calm),
        trace=dataclasses.replace(case.trace, arrival_s=arrival_s),
    )


@pytest.mark.compiled
@given(st.one_of(calm_cases(), calm_cases(), calm_cases(), cases()))
@settings(max_examples=150)
def test_one_by_one_equals_together(case: Case) -> None:
    together, *others = _in_three_ways(case)
    for wait, action in case.steps:
        for sim in (together, *others):
            sim.apply(action)
            sim.advance(sim.time_s + wait)
        for sim in others:
            sim.check_invariants()
            _equal(sim, together)


def _two_models(rows: list[tuple[float, int, int]], **changes: Any) -> Simulator:
    """Return a simulator of two models, simulated one by one, that share the requests in turn."""
    s = scenario(models=("a", "b"), **changes)
    sim = simulator(s, rows, model=[i % 2 for i in range(len(rows))])
    sim.state.config[0]["apart_from"] = 0
    return sim


def _parted(sim: Simulator) -> bool:
    """Whether the models have been simulated one by one."""
    return bool(sim.state.part_clock["now_s"].max(initial=0.0) > 0)


ROWS = [(0.25 * i + 0.1, 200, 20) for i in range(8)]


def test_a_part_sees_its_own_clock_and_tournament_and_all_else_of_the_state() -> None:
    sim = _two_models(ROWS)
    s = sim.state
    part = s.part(1)
    assert part.clock[0]["part"] == 1 and s.clock[0]["part"] == -1
    part.clock[0]["events"] = 7
    assert s.part_clock[1, 0]["events"] == 7 and s.clock[0]["events"] == 0
    assert part.vm is s.vm and part.request is s.request
    s.vm["event_s"][:2] = 3.0, 2.0  # the initial fleet: an instance of each model
    plant_parts(s)
    assert [next_event_s(s.part(m)) for m in range(2)] == [3.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, 2),
        ({"faults": {"crash_per_hour": 0.1}}, 0),
        ({"faults": {"stale_metrics_s": 5.0}}, 0),
        ({"routing": {"delay_s": 0.1}}, 0),
        ({"routing": {"region_age_s": 5.0}}, 0),
        ({"batching": {"balancer": "power_of_two"}}, 0),
        ({"batching": {"prefix_cache": "lru"}}, 0),
        ({"niw": {"pull_interval_s": 0.1}}, 0),
    ],
)
def test_models_that_may_meet_have_no_parts(changes: dict[str, Any], parts: int) -> None:
    sim = _two_models(ROWS, **changes)
    assert len(sim.state.part_clock) == parts
    sim.advance(60.0)
    assert _parted(sim) == (parts > 0)
    assert sim.episode_metrics()["completed"] == len(ROWS)


def test_a_model_alone_has_no_part() -> None:
    assert len(simulator(scenario(), ROWS).state.part_clock) == 0


@pytest.mark.parametrize(("at_s", "parted"), [(1.0, False), (1.5, True)])
def test_batch_work_at_a_look_of_the_manager_keeps_models_together(
    at_s: float, parted: bool
) -> None:
    s = scenario(vms=4, models=("a", "b"))
    rows = [(0.5, 200, 20, "IW-F"), (at_s, 200, 20, "NIW"), (2.0, 200, 20, "IW-F")]
    sim = simulator(s, rows, model=[0, 1, 0])
    sim.state.config[0]["apart_from"] = 0
    sim.advance(1.6)
    assert _parted(sim) == parted
    sim.advance(30.0)
    assert sim.episode_metrics()["completed"] == 3


@pytest.mark.parametrize(("wanted", "parted"), [((1, 2), True), ((1, 3), False)])
def test_a_vm_that_drains_keeps_models_together_while_one_waits_for_it(
    wanted: tuple[int, int], parted: bool
) -> None:
    rows = [(0.1, 200, 1000), (0.2, 200, 20), (0.3, 200, 1000), (9.1, 200, 20)]
    sim = _two_models(rows, vms=4, initial_instances=2)
    sim.state.config[0]["apart_from"] = NEVER
    sim.advance(1.0)
    sim.state.config[0]["apart_from"] = 0
    targets(sim, *wanted)  # of the four VMs that are in use, one drains
    assert sim.state.draining.sum() == 1
    sim.advance(20.0)
    assert _parted(sim) == parted


def test_threads_share_the_models_evenly() -> None:
    arrivals = np.array([10, 40, 0, 25, 24])
    assert [some.tolist() for some in apart.shared_out(arrivals, 2)] == [[1, 0], [3, 4, 2]]
    assert [some.tolist() for some in apart.shared_out(arrivals[:1], 2)] == [[0]]


@pytest.mark.parametrize("value", ["0", "two", "-1", ""])
def test_a_wrong_number_of_threads_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESERVE_MODEL_THREADS", value)
    with pytest.raises(ValueError, match="SAGESERVE_MODEL_THREADS: expected a whole number"):
        simulator(scenario(), ROWS)


def test_slots_for_the_interval_are_made_beforehand() -> None:
    sim = _two_models([(1e-3 * i + 1e-4, 10, 5) for i in range(5000)])
    before = len(sim.state.request)
    sim.advance(10.0)
    assert _parted(sim) and len(sim.state.request) == 2 * before
    sim.check_invariants()
