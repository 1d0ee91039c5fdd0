"""Registration of routers and disciplines, and the kernels that weigh."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sageserve_env import policies
from sageserve_env._config import ScenarioError
from sageserve_env.actions import ClusterAction
from sageserve_env.options import RoutingConfig
from sageserve_env.policies import DISCIPLINES, ROUTER_FEATURES, ROUTERS
from sageserve_env.simulator.build import discipline_rows, router_rows
from sageserve_env.simulator.scoring import from_order_bits, order_bits
from tests.simulator.small import scenario, simulator, targets

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_what_the_named_rows_weigh() -> None:
    rows = router_rows(scenario(routing={"running_penalty_s": 0.01}))
    named = {
        name: {f: float(w) for f, w in zip(ROUTER_FEATURES, row, strict=True) if w}
        for name, row in zip(ROUTERS, rows, strict=True)
    }
    wait = {"queue_s": 1.0, "running": 0.01, "penalty_s": 1.0}
    assert named["threshold"] == named["shares"] == {}
    assert named["least_wait"] == wait
    assert named["least_wait_kv"] == {**wait, "kv": 4.0}
    assert named["prefix_affinity"] == {**wait, "prefix_s": -1.0}
    assert named["jsq"] == {"pending_tokens": 1.0}


def test_a_scenario_changes_weights_of_its_own_policies_only() -> None:
    own = scenario(
        routing={"weights": {"kv": 2.5}},
        batching={"discipline": "triage", "discipline_weights": {"prefill_s": 30.0}},
    )
    plain = scenario(batching={"discipline": "triage"})
    changed = router_rows(own) != router_rows(plain)
    assert np.argwhere(changed).tolist() == [[ROUTERS.index("least_wait"), 2]]
    changed = discipline_rows(own) != discipline_rows(plain)
    assert np.argwhere(changed).tolist() == [[DISCIPLINES.index("triage"), 2]]


@given(FINITE, FINITE)
def test_order_bits_are_ordered_as_the_numbers(x: float, y: float) -> None:
    x, y = x + 0.0, y + 0.0  # no negative zero
    assert (order_bits(x) < order_bits(y)) == (x < y)
    assert (order_bits(x) == order_bits(y)) == (x == y)
    assert from_order_bits(order_bits(x)) == x


def test_jsq_goes_to_the_shortest_queue_of_all_regions() -> None:
    near = scenario(regions=("west", "east"), vms=1, round_trip_s=5.0, routing={"router": "jsq"})
    sim = simulator(near, [(1.0, 300, 1), (1.0, 100, 1), (1.0, 100, 1), (1.0, 200, 1)])
    sim.advance(100.0)
    # west 301; east 101; east 202; east once more
    assert sim.records()["served_region"].tolist() == [0, 1, 1, 1]


def test_weights_of_a_decision_are_per_model() -> None:
    # Both models: 300 tokens queued in the west are 0.3 s of wait, the way east costs 0.2 s.
    # The second model weighs the way three times.
    two = scenario(regions=("west", "east"), models=("m", "n"), round_trip_s=0.2)
    rows = [(1.0, 300, 1), (1.0, 300, 1), (1.0, 10, 1), (1.0, 10, 1)]
    sim = simulator(two, rows, model=[0, 1, 0, 1])
    weights = np.zeros((2, len(ROUTER_FEATURES)))
    columns = list(ROUTER_FEATURES)
    weights[:, columns.index("queue_s")] = 1.0
    weights[:, columns.index("round_trip_s")] = 1.0, 3.0
    targets(sim, 1, 1, 1, 1, router_weights=weights)
    sim.advance(100.0)
    sim.check_invariants()
    assert sim.records()["served_region"].tolist() == [0, 0, 1, 0]
    targets(sim, 1, 1, 1, 1)  # the next decision is the router's own again
    assert (sim.state.weight == sim.state.router_row[ROUTERS.index("least_wait")]).all()


def test_discipline_weights_of_a_decision_order_the_queue() -> None:
    # A busy instance of one sequence; of those that wait the longest prefill is served first.
    small = scenario(batching={"max_sequences": 1})
    sim = simulator(small, [(1.0, 100, 2), (1.1, 50, 1), (1.1, 400, 1), (1.1, 200, 1)])
    weights = np.zeros((1, len(policies.DISCIPLINE_FEATURES)))
    weights[0, list(policies.DISCIPLINE_FEATURES).index("prefill_s")] = -1.0
    targets(sim, 1, discipline_weights=weights)
    sim.advance(100.0)
    sim.check_invariants()
    assert np.argsort(sim.records()["ttft_s"] + [1.0, 1.1, 1.1, 1.1]).tolist() == [0, 2, 3, 1]


def test_unusable_weights_are_refused() -> None:
    sim = simulator(scenario(), [])
    one = np.ones((1, 1), dtype=np.int64)
    with pytest.raises(ValueError, match=r"router_weights: expected shape \(1, 8\)"):
        sim.apply(ClusterAction(one, router_weights=np.zeros((2, 7))))
    with pytest.raises(ValueError, match="the router 'threshold' weighs nothing"):
        sim.apply(ClusterAction(one, router="threshold", router_weights=np.zeros((1, 8))))
    huge = np.full((1, 8), 1e308)  # sums of them are infinite, and no instance is the least
    for name, value in (
        ("router_weights", huge),
        ("router_weights", -huge),
        ("discipline_weights", huge[:, :7]),
    ):
        with pytest.raises(ValueError, match=rf"{name}: expected weights from -1e\+12 to 1e\+12"):
            sim.apply(ClusterAction(one, **{name: value}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"routing: expected values from 0 to 1e\+12"):
        sim.apply(ClusterAction(one, routing=np.full((1, 1, 1), 1e308)))
    sim.apply(ClusterAction(one, router_weights=np.full((1, 8), policies.LARGEST_WEIGHT)))
    with pytest.raises(
        ScenarioError, match=r"kv: expected a weight from -1e\+12 to 1e\+12, got 1e"
    ):
        scenario(routing={"weights": {"kv": 1e300}})
    with pytest.raises(
        ScenarioError, match=r"routing: running_penalty_s: expected a weight from -1e\+12"
    ):
        simulator(scenario(routing={"running_penalty_s": 1e308}), [])
    with pytest.raises(ScenarioError, match=r"queue_s: expected a weight from -1e\+12 to 1e\+12"):
        policies.register_router("huge_of_a_test", {"queue_s": -1e13})
    with pytest.raises(ScenarioError, match="did you mean 'queue_s'"):
        scenario(routing={"weights": {"queue": 1.0}})
    with pytest.raises(ScenarioError, match="weighs nothing"):
        scenario(routing={"router": "shares", "weights": {"kv": 1.0}})


@pytest.mark.parametrize(
    ("weights", "routing", "message"),
    [
        ({"kv": "8"}, "penalties", r"kv: expected a number or an option of `routing`: unknown opt"),
        ({"kv": "runing_penalty_s"}, "penalties", "did you mean 'running_penalty_s'"),
        ({"kv": None}, "penalties", r"kv: expected a weight from -1e\+12 to 1e\+12, got None"),
        ({"kv": True}, "penalties", "kv: expected a weight .*, got True"),
        ({"kv": float("nan")}, "penalties", "kv: expected a weight .*, got nan"),
        ({"kv": 10**400}, "penalties", "kv: expected a weight .*, got 1000"),
        ({"kv": 1.0}, "penalty", "routing: unknown value 'penalty'; did you mean 'penalties'"),
        ({"kv": 1.0}, None, "routing: unknown value 'None'"),
    ],
)
def test_unusable_routers_are_refused(weights: Any, routing: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=f"router 'bad_of_a_test': .*{message}"):
        policies.register_router("bad_of_a_test", weights, routing=routing)
    assert "bad_of_a_test" not in ROUTERS


def test_disciplines_weigh_numbers_only() -> None:
    with pytest.raises(ScenarioError, match=r"prefill_s: expected a weight from .*, got '8'"):
        policies.register_discipline("bad_of_a_test", {"prefill_s": "8"})


def test_a_router_may_name_every_option_that_is_a_number() -> None:
    numbers = [f.name for f in dataclasses.fields(RoutingConfig) if f.type == "float"]
    assert list(policies.ROUTING_OPTIONS) == numbers


def test_names_are_taken_once() -> None:
    again = {"queue_s": 1.0, "running": "running_penalty_s", "penalty_s": 1.0}
    spec = ROUTERS.spec("least_wait")
    assert policies.register_router("least_wait", again, summary=spec.summary) == spec
    with pytest.raises(ScenarioError, match="the name 'least_wait' is taken"):
        policies.register_router("least_wait", {"queue_s": 2.0})
    with pytest.raises(ScenarioError, match="is no name"):
        policies.register_router("my router", {"queue_s": 2.0})
    with pytest.raises(ScenarioError, match="did you mean 'priority'"):
        policies.register_discipline("odd", {"priorty": 2.0})


def test_a_name_with_a_file_that_is_not_there() -> None:
    with pytest.raises(ScenarioError, match=r"there is no file .none\.py."):
        scenario(routing={"router": "none.py:greedy"})
