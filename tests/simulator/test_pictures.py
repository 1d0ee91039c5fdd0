"""Information that has an age: worked out by hand, and against a gateway in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_env.entries import default_router_weights
from sageserve_env.policies import ROUTERS
from sageserve_env.simulator import codes
from sageserve_env.simulator.scoring import be_current
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator, targets

NEAR = ("west", "east")


def served(sim: Simulator, until_s: float = 1000.0) -> list[int]:
    sim.advance(until_s)
    sim.check_invariants()
    return [int(r) for r in sim.records()["served_region"]]


def test_least_wait_knows_other_regions_by_their_picture_and_by_what_it_sent() -> None:
    # theta 1000, the way east costs 0.5 s. Requests of 1,000 tokens at 1.0 to 1.3: west at 0;
    # east at 0.5 against 1; west at 1 against 1.5; east at 1.5 against 2. All are done by 3.7.
    # 2,900 tokens go west at 4; at 4.9 one chunk of 500 is done and 2.4 s are left. East is idle,
    # but the picture of time 0 and the 2,000 tokens sent since stand for 2.5 s.
    rows = [(1.0, 1000, 1), (1.1, 1000, 1), (1.2, 1000, 1), (1.3, 1000, 1)]
    rows += [(4.0, 2900, 1), (4.9, 10, 1), (5.1, 10, 1)]
    live = scenario(regions=NEAR, round_trip_s=0.5)
    aged = live.replace(routing={"region_age_s": 5.0})
    assert served(simulator(live, rows)) == [0, 1, 0, 1, 0, 1, 1]
    assert served(simulator(aged, rows)) == [0, 1, 0, 1, 0, 0, 1]  # the picture of 5 shows it idle


def test_threshold_counts_what_it_sent_since_the_picture() -> None:
    # 800 of 1,000 tokens reserved each; of the others the west knows the 700 prompt tokens it sent.
    rows = [(0.1, 700, 100), (0.2, 700, 100), (0.3, 700, 100), (0.4, 10, 1)]
    three = scenario(
        regions=("west", "centre", "east"),
        kv_tokens=1000,
        batching={"utilisation": "kv", "max_output_tokens": 100},
        routing={"router": "threshold"},
    )
    assert served(simulator(three, rows)) == [0, 1, 2, 0]
    assert served(simulator(three.replace(routing={"region_age_s": 9.0}), rows)) == [0, 1, 2, 1]


def test_shares_know_late_that_a_region_has_instances() -> None:
    quick = {"spot_same_model_s": 1.0, "jitter": 0.0}
    aged = scenario(regions=NEAR, lifecycle=quick, routing={"region_age_s": 5.0})
    sim = simulator(aged, [(3.0, 10, 1), (6.0, 10, 1)])
    east = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    targets(sim, 1, 0, router="shares", routing=east)
    sim.advance(1.0)
    targets(sim, 1, 1, router="shares", routing=east)  # up at 2, known in the west at 5
    assert served(sim) == [0, 1]


def test_work_that_is_turned_away_waits_for_the_next_picture() -> None:
    # The only instance, in the east, is given up at 1. The west learns of it when its request of
    # time 2 is turned away, and at 65 of the one that is up at 63.
    aged = scenario(regions=NEAR, routing={"region_age_s": 5.0}, round_trip_s=0.01)
    sim = simulator(aged, [(2.0, 10, 1)])
    targets(sim, 0, 1)
    sim.advance(1.0)
    targets(sim, 0, 0)
    sim.advance(3.0)
    assert sim.view().global_queue.tolist() == [1]
    assert sim.state.picture["members"].tolist() == [0, 0]
    targets(sim, 0, 1)
    assert served(sim) == [1]
    assert sim.records()["ttft_s"] == pytest.approx([63.0 + 0.11 + 0.01])


def test_least_wait_obeys_stale_metrics_at_home_too() -> None:
    # The way east costs 0.2 s. At 8 both are idle; by the pictures of 0 the west has 2 s of work
    # that was sent there and the east 1 s. At 10.5 the pictures of 10 show both idle.
    rows = [(1.0, 2000, 1), (1.1, 1000, 1), (8.0, 10, 1), (10.5, 10, 1)]
    live = scenario(regions=NEAR, round_trip_s=0.2)
    assert served(simulator(live, rows)) == [0, 1, 0, 0]
    stale = live.replace(faults={"stale_metrics_s": 10.0})
    assert served(simulator(stale, rows)) == [0, 1, 1, 0]


def test_a_snapshot_holds_the_pictures() -> None:
    rows = [(0.3 * i, 400, 5) for i in range(60)]
    sim = simulator(scenario(regions=NEAR, routing={"region_age_s": 4.0}), rows)
    sim.advance(6.5)
    kept = sim.snapshot()
    first = served(sim)
    sim.restore(kept)
    assert sim.state.sent.sum() > 0
    assert served(sim) == first


# -- a gateway in plain Python -----------------------------------------------------------------


class Gateways:
    """What every gateway knows, from the VMs' own counts."""

    def __init__(self, sim: Simulator, age_s: float) -> None:
        self.sim, self.age_s = sim, age_s
        regions = len(sim.scenario.regions)
        self.sent = np.zeros((regions, regions))
        self.pictures: list[dict[str, float]] = []

    def look(self, now_s: float) -> None:
        """Take the pictures of a time."""
        self.sent[:] = 0
        self.pictures = [self.sums(r, now_s) for r in range(len(self.sent))]

    def vms(self, r: int, now_s: float) -> Any:
        be_current(self.sim.state, r, now_s)
        vm = self.sim.state.vm
        return vm[(vm["endpoint"] == r) & (vm["state"] == codes.ACTIVE)]

    def sums(self, r: int, now_s: float) -> dict[str, float]:
        vm = self.vms(r, now_s)
        names = ("queued_tokens", "n_running", "kv_used", "kv_capacity", "pending_tokens")
        return {"n": len(vm), **{name: float(vm[name].sum()) for name in names}}

    def known(self, o: int, r: int, now_s: float) -> list[dict[str, float]]:
        """Return what a gateway compares of a region: its instances at home, else the mean one."""
        if o != r:
            picture, sent = self.pictures[r], self.sent[o, r]
            mean = {k: v / picture["n"] for k, v in picture.items()}
            for name in ("queued_tokens", "pending_tokens"):
                mean[name] += sent / picture["n"]
            return [mean]
        return [{k: float(v[k]) for k in v.dtype.names if k != "spare"} for v in self.vms(r, now_s)]

    def best(self, o: int, now_s: float) -> int:
        """Return the region that the router in force takes."""
        sim = self.sim
        router = sim.scenario.routing.router
        trips = sim.scenario.round_trip
        if router == "threshold":
            order = np.argsort(trips[o], kind="stable")
            used = [self.kv(o, int(r), now_s) for r in order]
            below = [r for r, u in zip(order, used, strict=True) if u < 0.7]
            return int(below[0] if below else order[int(np.argmin(used))])
        w = default_router_weights(sim.scenario, router)[0]
        scores = []
        for r in range(len(trips)):
            least = min(
                w[0] * k["queued_tokens"] / 1000.0
                + w[1] * k["n_running"]
                + w[2] * (k["kv_used"] + k["queued_tokens"]) / k["kv_capacity"]
                + w[3] * k["pending_tokens"]
                for k in self.known(o, r, now_s)
            )
            scores.append(least + w[5] * trips[o, r])
        near = np.array(scores) <= min(scores) + 1e-9
        return int(np.argmax(near))

    def kv(self, o: int, r: int, now_s: float) -> float:
        if o != r:
            picture = self.pictures[r]
            return float((picture["kv_used"] + self.sent[o, r]) / picture["kv_capacity"])
        vm = self.vms(r, now_s)
        return float(vm["kv_used"].sum() / vm["kv_capacity"].sum())


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["least_wait", "least_wait_kv", "jsq", "threshold"]),
    st.sampled_from([0.7, 3.0, 8.0]),
)
@settings(max_examples=12, deadline=None)
def test_regions_are_those_of_a_gateway_in_plain_python(
    seed: int, router: str, age_s: float
) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    arrival_s = np.sort(rng.uniform(0.1, 20.0, n))
    prompts, outputs = rng.integers(1, 1800, n), rng.integers(1, 60, n)
    region = [int(r) for r in rng.integers(0, 3, n)]
    trips = ((0.0, 0.011, 0.027), (0.011, 0.0, 0.019), (0.027, 0.019, 0.0))
    of = scenario(
        vms=2,
        regions=("a", "b", "c"),
        initial_instances=2,
        kv_tokens=4_000,
        batching={"utilisation": "kv", "max_output_tokens": 100},
        routing={"router": router, "region_age_s": age_s},
    ).replace(round_trips_s=trips)
    assert ROUTERS.spec(router)
    rows = [(float(arrival_s[i]), int(prompts[i]), int(outputs[i])) for i in range(n)]
    sim = simulator(of, rows, region=region)
    gateways = Gateways(sim, age_s)
    pictures = 0
    expected = []
    for i in range(n):
        while pictures * age_s <= arrival_s[i]:
            sim.advance(pictures * age_s)
            gateways.look(pictures * age_s)
            pictures += 1
        sim.advance(float(np.nextafter(arrival_s[i], 0.0)))
        chosen = gateways.best(region[i], float(arrival_s[i]))
        expected.append(chosen)
        if chosen != region[i]:
            gateways.sent[region[i], chosen] += prompts[i]
    assert served(sim) == expected
