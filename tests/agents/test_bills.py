"""Prices of regions and admission change bills, and in the right direction."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from sageserve_bench.runs.episode import RunResult, run_episode
from sageserve_bench.runs.tasks import Task
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_traces import RequestTrace, SyntheticTrace
from sageserve_traces.transforms import concatenate

HORIZON_S = 10_800.0
DEAR = 3.0


@cache
def trace() -> RequestTrace:
    source = SyntheticTrace(3, HORIZON_S / 86_400, 0.4, start_weekday=1)
    return concatenate(source).with_past(source.history(60.0))


def scenario(first_price: float = 1.0) -> Scenario:
    """Return three hours of `o365-day` with a price of its own in the first region."""
    made = load_scenario("o365-day").replace(horizon_s=HORIZON_S, min_instances=0)
    first, *others = made.regions
    return made.replace(regions=(replace(first, price_factor=first_price), *others))


@cache
def played(spec: str, first_price: float = 1.0) -> RunResult:
    return run_episode(Task(spec, scenario(first_price), trace(), 3))


def figure(result: RunResult, name: str) -> float:
    value = result.row[name]
    assert isinstance(value, int | float)
    return float(value)


def in_first_region(result: RunResult) -> float:
    return float(result.series["active"].sum(axis=0).reshape(4, 3)[:, 0].sum())


@pytest.mark.parametrize("name", ["ilp", "mpc"])
def test_planners_leave_a_region_that_becomes_dear(name: str) -> None:
    spec = f"{name}:calibrated=no"
    equal, dear = played(spec), played(spec, DEAR)
    assert in_first_region(dear) < 0.2 * in_first_region(equal)
    # What the first fleet would have cost at the new prices, by its own decisions played again.
    again = run_episode(Task(spec, scenario(DEAR), trace(), 3), replay=equal.actions)
    assert figure(dear, "cost_usd") < 0.8 * figure(again, "cost_usd")
    assert figure(dear, "slo_iwf") > figure(equal, "slo_iwf") - 0.02


def test_a_dear_region_costs_more_for_the_same_fleet() -> None:
    equal, dear = played("reactive:calibrated=no"), played("reactive:calibrated=no", DEAR)
    assert in_first_region(dear) == in_first_region(equal)
    assert figure(dear, "cost_usd") > figure(equal, "cost_usd")


@pytest.mark.parametrize("name", ["reactive", "residual-es"])
def test_refusing_lowers_the_bill_and_misses_requests(name: str) -> None:
    plain = played(f"{name}:calibrated=no")
    strict = played(f"{name}:calibrated=no;admission=0.1")
    assert figure(plain, "refused") == 0 < figure(strict, "refused")
    assert figure(strict, "cost_usd") < figure(plain, "cost_usd")
    assert figure(strict, "slo_iwf") < 1.0
