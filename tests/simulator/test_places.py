"""Places: prices by region, and requests that must be served where they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env._config import ScenarioError
from sageserve_env.options import ROUTERS
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator, targets


def two(resident: float = 0.0, price_factor: float = 1.0, **changes: Any) -> Scenario:
    regions = (
        RegionConfig("west", {"gpu": 4}, resident=resident),
        RegionConfig("east", {"gpu": 4}, price_factor=price_factor),
    )
    return scenario(regions=("west", "east"), **changes).replace(regions=regions)


def served(sim: Simulator) -> list[float]:
    sim.check_invariants()
    return sim.records()["served_region"].tolist()


def test_prices_differ_by_region() -> None:
    sim = simulator(two(price_factor=1.5), [])
    targets(sim, 1, 1)
    sim.advance(3600.0)
    assert sim.totals().vm_usd == pytest.approx(36.0 + 1.5 * 36.0)
    assert sim.scenario.price_usd_per_hour.tolist() == [[36.0], [54.0]]
    targets(sim, 0, 0)
    sim.advance(7200.0)
    assert sim.totals().spot_usd == pytest.approx(18.0 + 1.5 * 18.0)


@pytest.mark.parametrize("router", ROUTERS)
def test_a_resident_is_served_at_home_or_waits(router: str) -> None:
    sim = simulator(two(1.0, routing={"router": router}), [(0.0, 100, 1), (0.0, 100, 1)])
    targets(sim, 0, 1, router=router)
    sim.advance(50.0)
    assert sim.view().global_queue.tolist() == [2]  # the east would serve them
    targets(sim, 1, 1, router=router)
    sim.advance(1000.0)
    assert served(sim) == [0.0, 0.0]


def test_others_are_served_anywhere() -> None:
    rows = [(0.0, 400, 1)] * 8
    sim = simulator(two(1.0), rows, region=[1] * 4 + [0] * 4)
    targets(sim, 1, 1)
    sim.advance(100.0)
    places = served(sim)
    assert places[4:] == [0.0] * 4  # residents of the west
    assert 0.0 in places[:4] and 1.0 in places[:4]


def test_the_share_is_drawn_by_the_seed_whatever_is_decided() -> None:
    rows = [(0.01 * i, 10, 1, "IW-N") for i in range(1000)]
    flags = []
    for seed, fleet in ((1, (1, 1)), (1, (4, 0)), (2, (1, 1))):
        sim = simulator(two(0.3, initial_instances=0), rows, seed=seed)
        sim.advance(20.0)
        flags.append(sim.state.request["resident"][:1000].tolist())
        targets(sim, *fleet)
        sim.advance(3000.0)
        sim.check_invariants()
    assert flags[0] == flags[1] != flags[2]
    assert 0.25 < np.mean(flags[0]) < 0.35


def test_held_residents_are_pulled_at_home_and_do_not_block_others() -> None:
    rows = [(0.1 * i, 100, 1, "NIW") for i in range(40)]
    sim = simulator(two(0.5), rows, seed=5)
    targets(sim, 0, 1)  # nothing at home
    sim.advance(700.0)
    sim.check_invariants()
    held = sim.state.request[sim.state.request["state"] == 1]
    assert 5 < len(held) < 35
    assert held["resident"].all()
    assert sim.view().niw_backlog.tolist() == [len(held)]
    targets(sim, 1, 1)
    sim.advance(5000.0)
    assert sim.view().niw_backlog.tolist() == [0]
    assert served(sim).count(0.0) == len(held)


def test_without_residents_nothing_is_one() -> None:
    sim = simulator(two(), [(0.0, 100, 1)])
    assert sim.state.config[0]["residency"] == 0
    assert sim.state.held.shape == (1, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"price_factor": 0.0}, "price_factor"), ({"resident": 1.5}, "resident: expected a share")],
)
def test_places_that_make_no_sense(values: dict[str, float], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        RegionConfig("x", {"gpu": 1}, **values)
