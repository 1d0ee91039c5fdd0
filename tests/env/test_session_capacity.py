"""Theta of sessions: the highest load that keeps the promises at the hit rate of that load."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from sageserve_env import Scenario, load_scenario
from sageserve_env.capacity import alone
from sageserve_env.session_capacity import (
    COUNTED_S,
    WARM_S,
    Served,
    _offered,
    _thinned,
    highest,
    serve,
    session_theta,
)
from sageserve_env.workload import Workloads
from sageserve_traces.session_law import AGENT
from sageserve_traces.trace import RequestTrace


@lru_cache(maxsize=1)
def agents() -> Scenario:
    """Return the agents of the scenario on one VM type."""
    base = load_scenario("sessions-day")
    regions = [{"name": r.name, "vms": {"h100x2": 4}} for r in base.regions]
    return base.replace(models=["gpt-oss-120b"], gpus=["h100x2"], regions=regions)


def few(scenario: Scenario) -> Scenario:
    """Return four instances alone."""
    return alone(scenario, 0, 0, 4, horizon_s=WARM_S + COUNTED_S, sessions="closed")


@pytest.mark.parametrize("most", [1500, 2600, 9000])
def test_the_highest_load_is_found(most: int) -> None:
    """Up to ``most`` requests all are in time, with more nobody is."""
    asked = []

    def served(trace: RequestTrace) -> Served:
        asked.append(len(trace))
        return Served(len(trace), 0.9, np.array([float(len(trace) <= most)]), 1.0)

    best = highest(served, lambda scale: _offered(few(agents()), (AGENT,), scale), np.array([0.95]))
    assert most * 0.96 <= best.load <= most
    assert len(asked) < 20


def test_of_what_hardly_any_load_attains_a_part_is_asked_for() -> None:
    """Half of the requests are in time at any load up to 3,000: 0.95 x 0.5 is asked for."""

    def served(trace: RequestTrace) -> Served:
        share = 0.5 if len(trace) <= 3000 else 0.47
        return Served(len(trace), 0.9, np.array([share]), 1.0)

    best = highest(served, lambda scale: _offered(few(agents()), (AGENT,), scale), np.array([0.95]))
    assert 2880 <= best.load <= 3000


def test_what_is_not_completed_is_not_sustained() -> None:
    def served(trace: RequestTrace) -> Served:
        return Served(len(trace), 0.9, np.ones(1), min(1.0, 2700 / len(trace)))

    best = highest(served, lambda scale: _offered(few(agents()), (AGENT,), scale), np.array([0.95]))
    assert 2880 <= best.load <= 3000


def test_fewer_sessions_are_among_more() -> None:
    trace = _offered(few(agents()), (AGENT,), 0.5)
    some, most = (_thinned(trace, share) for share in (0.3, 0.8))
    assert some.session is not None and most.session is not None
    assert set(some.session.tolist()) < set(most.session.tolist())
    assert len(most) / len(trace) == pytest.approx(0.8, abs=0.1)
    assert np.isin(trace.session, most.session).sum() == len(most)  # whole sessions


def test_theta_is_a_fixed_point() -> None:
    """At theta the promise is kept and most is found; somewhat beyond, both collapse."""
    scenario = few(agents())
    theta = session_theta(agents())[0, 0]
    trace = _offered(scenario, (AGENT,), 1.0)
    share = 0.4 * theta / serve(scenario, _thinned(trace, 0.4)).load
    near, beyond = (serve(scenario, _thinned(trace, f * share)) for f in (0.85, 1.3))
    assert near.attained.min() >= 0.95 and 0.7 * theta < near.load <= theta
    assert beyond.attained.min() < 0.5 and beyond.hit_rate < near.hit_rate - 0.1
    assert beyond.load < 1.2 * theta


def test_theta_is_that_of_the_router_and_of_the_caches() -> None:
    scenario = agents()
    own = session_theta(scenario)[0, 0]
    blind = session_theta(scenario.replace(routing={"router": "least_wait"}))[0, 0]
    none = session_theta(scenario.replace(batching={"prefix_cache": "none"}))[0, 0]
    assert own > 1.3 * blind > 1.3 * none > 1.0


def test_other_types_have_no_theta_and_other_models_the_first_sessions() -> None:
    scenario = load_scenario("sessions-day")
    assert Workloads(scenario).theta()[1, 1] == 1.0  # gpt-oss-120b does not fit h100x1
    renamed = agents().replace(workload={"rename_models": {"gpt-oss-120b": "other"}})
    assert session_theta(renamed, (AGENT,))[0, 0] == session_theta(agents())[0, 0]
