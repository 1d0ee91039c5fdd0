"""`pooled`: what it takes a model to need, and which instances it adds and takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_agents import make_agent
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.view import ClusterView
from tests.agents.toy import empty_history, make_view

MODELS, REGIONS, TYPES = 4, 3, 5


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("global-day").replace(min_per_model=0)


def agent_of(scenario: Scenario, options: str = "") -> Any:
    agent = make_agent(f"pooled:calibrated=no;target=0.5;latest=0;hold_s=0;{options}")
    agent.reset(scenario, 0, empty_history(scenario))
    return agent


def busy(scenario: Scenario, tokens_per_s: float, **changes: Any) -> ClusterView:
    """Return a view in which a model is asked for so much in America and nothing else is asked."""
    view = make_view(scenario, time_s=600.0)
    rate = np.zeros_like(view.prompt_rate)
    rate[:, 0, 0, 0] = tokens_per_s
    none = np.zeros_like(view.target)
    theta = np.where(scenario.compatible, 10_000.0, 1.0)
    given = {"target": none, "prompt_rate": rate, "request_rate": rate / 1000.0, "theta": theta}
    always = {"time_s": 600.0, "idle_vms": scenario.inventory}
    return make_view(scenario, **(always | given | changes))


def test_the_need_by_hand(scenario: Scenario) -> None:
    queued = np.zeros(MODELS * REGIONS)
    queued[0] = 24_000.0
    backlog = np.array([36_000.0, 0.0, 0.0, 0.0])
    view = busy(
        scenario,
        10_000.0,
        queued_prompt_tokens=queued,
        niw_backlog_tokens=backlog,
        niw_backlog=np.array([9, 0, 0, 0]),
        niw_deadline_s=np.full(MODELS, 3600.0),
    )
    need, home = agent_of(scenario, "trust=2/1/1/1;home=1.5").needs(view)
    assert need[0] == pytest.approx((10_000.0 + 24_000.0 / 120.0 + 10.0) / (0.5 * 2.0))
    assert (need[1:] == 0).all()
    assert home[0] == pytest.approx([1.5 * 0.1 * 10_000.0 / (0.5 * 2.0), 0.0, 0.0])


def test_the_latest_minute_has_its_weight(scenario: Scenario) -> None:
    view = busy(scenario, 1000.0)
    view.prompt_rate[0] *= 3.0
    need, _ = agent_of(scenario, "latest=0.25").needs(view)
    assert need[0] == pytest.approx((0.25 * 3000.0 + 0.75 * 1000.0) / 0.5)


def test_it_buys_what_covers_the_lack_for_the_fewest_dollars(scenario: Scenario) -> None:
    """At one theta for all types that is the cheapest VM, and in the cheapest region."""
    bought = agent_of(scenario).act(busy(scenario, 12_000.0)).instances
    expected = np.zeros((MODELS * REGIONS, TYPES), dtype=np.int64)
    price = np.where(scenario.compatible[0], scenario.price_usd_per_hour[0], np.inf)
    expected[0, np.argmin(price)] = 3  # 24,000 tokens a second
    assert (bought == expected).all()
    theta = np.where(scenario.compatible, 10_000.0, 1.0)
    large = scenario.gpus.index("b200x1")
    theta[0, large] = 30_000.0  # one for less than three of the others
    bought = agent_of(scenario).act(busy(scenario, 12_000.0, theta=theta)).instances
    assert bought[0, large] == bought.sum() == 1


def test_what_must_be_served_at_home_is_bought_there(scenario: Scenario) -> None:
    view = busy(scenario, 0.0)
    view.prompt_rate[:, 0, 1, 0] = 12_000.0
    bought = agent_of(scenario).act(view).instances.reshape(MODELS, REGIONS, TYPES)
    home = 1.2 * scenario.regions[1].resident * 24_000.0
    assert bought[0, 1].sum() == np.ceil(home / 10_000.0)
    assert bought[0].sum() == 3 and bought[0, 0].sum() == 3 - bought[0, 1].sum()


def test_the_dearest_goes_once_nothing_of_the_hold_needs_it(scenario: Scenario) -> None:
    agent = agent_of(scenario, "hold_s=600")
    first = agent.act(busy(scenario, 12_000.0)).instances
    america, europe = first.copy(), first.copy()
    europe[1] = first[0]
    europe[0] = 0
    mixed = america + europe
    agent.act(busy(scenario, 30_000.0, target=mixed, time_s=900.0))
    less = busy(scenario, 12_000.0, target=mixed)
    held = agent.act(busy(scenario, 12_000.0, target=mixed, time_s=1200.0)).instances
    assert (held == mixed).all()
    left = agent_of(scenario, "home=0").act(less).instances
    assert (left == america).all()


def test_what_can_be_had_cheaper_is_replaced_once_the_other_is_up(scenario: Scenario) -> None:
    old, new = (scenario.gpus.index(gpu) for gpu in ("h100x2", "h100x1"))
    standing = np.zeros((MODELS * REGIONS, TYPES), dtype=np.int64)
    standing[0, old] = 3
    cheap = scenario.inventory.copy()
    cheap[:, [g for g in range(TYPES) if g not in (old, new)]] = 0
    agent = agent_of(scenario, "home=0")
    first = busy(scenario, 13_000.0, target=standing, active=standing, idle_vms=cheap)
    both = agent.act(first).instances
    added = both - standing
    assert added[0, new] == added.sum() == 1
    later = {"target": both, "idle_vms": cheap}
    waits = busy(scenario, 13_000.0, active=standing, pending=added, time_s=900.0, **later)
    assert (agent.act(waits).instances == both).all()
    up = busy(scenario, 13_000.0, active=both, time_s=1200.0, **later)
    after = agent.act(up).instances
    assert after[0, old] == 2 and after[0, new] == 2  # and the next is on its way
    never = agent_of(scenario, "home=0;swap=1").act(first).instances
    assert (never == standing).all()


def test_nothing_is_asked_for_in_vain(scenario: Scenario) -> None:
    none = np.zeros_like(scenario.inventory)
    bought = agent_of(scenario).act(busy(scenario, 12_000.0, idle_vms=none)).instances
    assert bought.sum() == 0


def test_an_idle_model_keeps_what_the_scenario_asks_for() -> None:
    """The instance that stands, and not one of another VM type."""
    scenario = load_scenario("global-day")
    standing = np.zeros((MODELS * REGIONS, TYPES), dtype=np.int64)
    standing[[0, 4, 8, 9], [2, 0, 4, 1]] = 1
    quiet = busy(scenario, 0.0, target=standing)
    assert (agent_of(scenario, "swap=1").act(quiet).instances == standing).all()


def test_what_found_no_vm_does_not_stand(scenario: Scenario) -> None:
    target = np.zeros((MODELS * REGIONS, TYPES), dtype=np.int64)
    target[1, 2] = 3
    bought = agent_of(scenario).act(busy(scenario, 12_000.0, target=target, unmet=target)).instances
    assert bought[1].sum() == 0 and bought.sum() == 3


def test_limits_of_an_endpoint_are_kept() -> None:
    scenario = load_scenario("global-day").replace(min_instances=1, max_instances=2)
    bought = agent_of(scenario).act(busy(scenario, 60_000.0)).instances.sum(axis=1)
    assert (bought >= 1).all() and (bought[:REGIONS] == 2).all()
