"""A slow reference of a whole cluster, which the kernel must equal request by request.

Plain Python over `reference_gateway` and `reference_endpoint`: one event after another, one
iteration after another. Here are the VMs: starts and fading labels, draining, faults, and the order
of events at one time (VMs from the lowest, then the other clocks, then arrivals).

Random numbers come from outside (`Random`): which are drawn when is a rule, what they are is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sageserve_env.scenario import Scenario
from tests.simulator.reference_endpoint import Instance
from tests.simulator.reference_gateway import INFINITY, Gateway, Member, Request

CLOSE_S = 1e-9


class TooCloseToCall(Exception):
    """The order of two events is one of rounding, or not a rule."""


class Random:
    """The generator of a run (L'Ecuyer's combined one), and numbers that belong to a request."""

    def __init__(self, first: int, second: int, draws: int) -> None:
        self.first, self.second, self.draws = first, second, draws

    def uniform(self) -> float:
        self.first = 40014 * self.first % 2147483563
        self.second = 40692 * self.second % 2147483399
        z = self.first - self.second
        return (z if z > 0 else z + 2147483562) * 4.656613057391769e-10

    def exponential(self, rate: float) -> float:
        return -math.log(self.uniform()) / rate if rate > 0 else INFINITY

    def of_request(self, index: int, stream: int) -> float:
        def mix(h: int) -> int:
            h ^= h >> 16
            h = h * 0x7FEB352D & 0xFFFFFFFF
            h ^= h >> 15
            h = h * 0x846CA68B & 0xFFFFFFFF
            return h ^ h >> 16

        return mix(index ^ mix(self.draws + stream * 0x9E3779B1 & 0xFFFFFFFF)) * 2.0**-32


@dataclass(eq=False)
class Vm:
    """A VM, and the instance on it while it has one."""

    index: int
    region: int
    gpu: int
    state: str = "cold"
    model: int = -1
    endpoint: int = -1
    instance: Instance | None = None
    ready_s: float = INFINITY
    fault_s: float = INFINITY
    fade_s: float = INFINITY

    @property
    def event_s(self) -> float:
        if self.state in ("active", "draining") and self.instance is not None:
            return self.instance.end_s
        return self.ready_s

    @property
    def pending(self) -> bool:
        return self.state in ("provisioning", "loading")


class Cluster(Gateway):
    """Everything: `advance` it, and change ``target``, ``limits_s`` and the router in between."""

    def __init__(
        self, scenario: Scenario, theta: float, random: Random, requests: Sequence[Request]
    ) -> None:
        super().__init__(scenario, theta)
        self.random = random
        self.to_come = list(requests)
        self.target = np.zeros((len(self.places), len(scenario.gpus)), dtype=np.int64)
        kinds = range(len(scenario.gpus))
        where = [
            (r, g) for r in self.regions for g in kinds for _ in range(scenario.inventory[r, g])
        ]
        self.vms = [Vm(v, r, g) for v, (r, g) in enumerate(where)]
        there = scenario.lifecycle.weights_in_region
        self.weights_s = {
            (m, r): -INFINITY if there else INFINITY for m in self.models for r in self.regions
        }
        f, age_s = scenario.faults, scenario.routing.region_age_s
        self.stale_s = 0.0 if f.stale_metrics_s > 0 else INFINITY
        self.picture_s = 0.0 if f.stale_metrics_s > 0 or age_s > 0 else INFINITY
        self.outage_s = f.outage_start_s if f.outage_region and f.outage_duration_s else INFINITY
        self.out = False
        self.unsettled = False
        self.counts = dict.fromkeys(("crashes", "evictions", "failed_scale_outs", "requeued"), 0)

    def start(self, fleet: np.ndarray[Any, Any]) -> None:
        """Begin with instances that are active, [E, G]."""
        self.target[:] = fleet
        for e, place in enumerate(self.places):
            for g, count in enumerate(fleet[e]):
                cold = [
                    v for v in self.vms if (v.state, v.region, v.gpu) == ("cold", place.region, g)
                ]
                for vm in cold[:count]:
                    self.weights_s[place.model, place.region] = -INFINITY
                    self.prepare(vm, e, "cold", INFINITY)
                    self.activate(vm, 0.0)

    # -- time -------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Handle every event up to and including a time."""
        while True:
            vm = min(self.vms, key=lambda v: v.event_s)
            other_s, handle = self.next_other()
            arrival_s = self.to_come[0].arrival_s if self.to_come else INFINITY
            now = min(vm.event_s, other_s, arrival_s)
            self.require_order(now, until_s)
            if now > until_s:
                return
            if vm.event_s == now:
                self.vm_event(vm, now)
            elif other_s == now:
                handle(now)
            else:
                self.arrive(self.to_come.pop(0), now)
            if self.unsettled:
                self.reconcile(now)

    def next_other(self) -> tuple[float, Callable[[float], None]]:
        clocks = [
            (self.on_the_way[0][0] if self.on_the_way else INFINITY, self.reach_region),
            (self.stale_s, self.stale_event),
            (self.picture_s, self.picture_event),
            (self.outage_s, self.outage_event),
            (min(vm.fault_s for vm in self.vms), self.fault_event),
            (self.tick_s, self.visit),
        ]
        return min(clocks, key=lambda c: c[0])

    def require_order(self, now: float, until_s: float) -> None:
        """Raise where an iteration ends so near to something else that rounding orders them."""
        ends = [vm.event_s for vm in self.vms if vm.event_s < now + CLOSE_S]
        others = [self.next_other()[0], until_s, *(j.arrival_s for j in self.to_come[:1])]
        near = ends + [s for s in others if s < now + CLOSE_S]
        if ends and any(0 < abs(s - min(near)) < CLOSE_S for s in near):
            raise TooCloseToCall

    def stale_event(self, now: float) -> None:
        self.publish(now)
        self.stale_s = now + self.scenario.faults.stale_metrics_s

    def picture_event(self, now: float) -> None:
        age_s = max(self.scenario.routing.region_age_s, self.scenario.faults.stale_metrics_s)
        self.picture_s = (round(now / age_s) + 1) * age_s
        self.exchange(now)

    def vm_event(self, vm: Vm, now: float) -> None:
        if vm.pending:
            self.ready_event(vm, now)
            return
        assert vm.instance is not None
        vm.instance.end_s = INFINITY
        vm.instance.end_iteration(now)
        if vm.state == "draining" and is_empty(vm.instance):
            self.retire(vm, now)

    # -- starts and ends --------------------------------------------------------------------------

    def prepare(self, vm: Vm, e: int, state: str, ready_s: float) -> None:
        place = self.places[e]
        vm.model, vm.endpoint, vm.state, vm.ready_s = place.model, e, state, ready_s
        vm.fault_s = INFINITY
        s = self.scenario
        profile = s.model_specs[place.model].profiles[s.gpus[vm.gpu]]
        capacity = int(s.kv_capacity_tokens[place.model, vm.gpu])
        vm.instance = Member(vm.index, s.batching, profile, capacity, region=vm.region)

    def activate(self, vm: Vm, now: float) -> None:
        faults, instance = self.scenario.faults, vm.instance
        assert instance is not None
        vm.state, vm.ready_s = "active", INFINITY
        if faults.slow_share > 0 and self.random.uniform() < faults.slow_share:
            instance.slow = faults.slow_factor
        if faults.crash_per_hour > 0:
            vm.fault_s = now + self.random.exponential(faults.crash_per_hour / 3600.0)
        self.join(vm)

    def join(self, vm: Vm) -> None:
        assert vm.instance is not None
        self.places[vm.endpoint].members.append(vm.instance)
        self.places[vm.endpoint].theta.append(self.theta)

    def leave(self, vm: Vm) -> None:
        """Leave the members; the last of them takes the place."""
        place = self.places[vm.endpoint]
        if vm.instance in place.members:
            place.members[place.members.index(vm.instance)] = place.members[-1]
            place.members.pop()
            place.theta.pop()

    def ready_event(self, vm: Vm, now: float) -> None:
        failure = self.scenario.faults.provision_failure
        if failure > 0 and self.random.uniform() < failure:
            vm.state, vm.model, vm.endpoint, vm.ready_s = "cold", -1, -1, INFINITY
            self.counts["failed_scale_outs"] += 1
            self.unsettled = True
            return
        self.activate(vm, now)
        self.place_again([vm.model], now)

    def jittered(self, delay_s: float) -> float:
        jitter = self.scenario.lifecycle.jitter
        if jitter == 0:
            return delay_s
        return delay_s * (1.0 + jitter * (2.0 * self.random.uniform() - 1.0))

    def scale_out(self, e: int, g: int, now: float) -> bool:
        place, life = self.places[e], self.scenario.lifecycle
        here = [v for v in self.vms if v.region == place.region and v.gpu == g]
        for vm in here:
            if vm.state == "draining" and vm.endpoint == e:
                vm.state = "active"
                self.join(vm)
                self.place_again([place.model], now)
                return True
        labelled = [v for v in here if self.still_holds(v, place.model, now)]
        cold = [v for v in here if v.state == "cold"]
        spot = [v for v in here if v.state == "spot"]
        if not labelled + cold + spot:
            return False
        vm = (labelled + cold + spot)[0]
        if labelled:
            delay_s, state = self.jittered(life.spot_same_model_s), "loading"
        else:
            state = "provisioning" if cold else "loading"
            delay_s = self.jittered(float(self.scenario.start_s[place.model, g]))
            there = (place.model, place.region)
            if self.weights_s[there] == INFINITY:
                self.weights_s[there] = now + self.jittered(life.fetch_weights_s)
            delay_s = max(delay_s, self.weights_s[there] - now)
        self.prepare(vm, e, state, now + delay_s)
        return True

    def still_holds(self, vm: Vm, model: int, now: float) -> bool:
        """Whether a donated VM still has the model: its label has not faded."""
        return vm.state == "spot" and vm.model == model and now < vm.fade_s

    def scale_in(self, e: int, g: int, now: float) -> None:
        """Cancel the start that would end last, or drain the instance with the least to do."""
        mine = [v for v in self.vms if v.endpoint == e and v.gpu == g]
        pending = [v for v in mine if v.pending]
        if pending:
            last = max(pending, key=lambda v: v.ready_s)
            last.state, last.model, last.endpoint, last.ready_s = "cold", -1, -1, INFINITY
            return
        by_instance = {v.instance: v for v in mine}
        members = [i for i in self.places[e].members if i in by_instance]
        vm = by_instance[min(members, key=lambda i: i.pending_tokens)]
        self.leave(vm)
        vm.state = "draining"
        assert vm.instance is not None
        if is_empty(vm.instance):
            self.retire(vm, now)

    def retire(self, vm: Vm, now: float) -> None:
        """Donate a VM; how long it keeps the model is drawn."""
        life, faults = self.scenario.lifecycle, self.scenario.faults
        vm.state, vm.endpoint, vm.instance, vm.fault_s = "spot", -1, None, INFINITY
        half_life_s = life.label_half_life_s
        rate = float(np.log(2.0)) / half_life_s if half_life_s else 0.0
        vm.fade_s = now + self.random.exponential(rate)
        if faults.eviction_per_hour > 0:
            vm.fault_s = now + self.random.exponential(faults.eviction_per_hour / 3600.0)
        self.unsettled = True

    def reconcile(self, now: float) -> None:
        """Move every endpoint towards its target: first down, then up."""
        for step in (self.shrink, self.grow):
            for e in range(len(self.places)):
                for g in range(len(self.scenario.gpus)):
                    step(e, g, now)
        self.unsettled = False

    def have(self, e: int, g: int) -> int:
        up = [v for v in self.vms if v.endpoint == e and v.gpu == g]
        return sum(v.pending or v.state == "active" for v in up)

    def shrink(self, e: int, g: int, now: float) -> None:
        for _ in range(self.have(e, g) - int(self.target[e, g])):
            self.scale_in(e, g, now)

    def grow(self, e: int, g: int, now: float) -> None:
        for _ in range(int(self.target[e, g]) - self.have(e, g)):
            if not self.scale_out(e, g, now):
                return

    # -- faults -----------------------------------------------------------------------------------

    def fault_event(self, now: float) -> None:
        for vm in self.vms:
            if vm.fault_s <= now:
                self.counts["evictions" if vm.state == "spot" else "crashes"] += 1
                self.fail(vm, "cold")
        self.place_again(self.models, now)

    def outage_event(self, now: float) -> None:
        faults = self.scenario.faults
        self.out = not self.out
        for vm in self.vms:
            if self.scenario.region_names[vm.region] == faults.outage_region:
                if self.out:
                    self.fail(vm, "lost")
                elif vm.state == "lost":
                    vm.state = "cold"
        ends_s = faults.outage_start_s + faults.outage_duration_s
        self.outage_s = ends_s if self.out else INFINITY
        self.unsettled = True
        self.place_again(self.models, now)

    def fail(self, vm: Vm, state: str) -> None:
        """Lose a VM; its requests keep the tokens that are out and wait for another place."""
        if vm.state == "active":
            self.leave(vm)
        if vm.state in ("active", "draining") and vm.instance is not None:
            for job in lost_work(vm.instance):
                job.prefilled = job.held_tokens = 0
                self.unplaced[job.model].append(job)
                self.counts["requeued"] += 1
        vm.state, vm.model, vm.endpoint, vm.instance = state, -1, -1, None
        vm.fault_s = vm.ready_s = INFINITY
        self.unsettled = True


def is_empty(instance: Instance) -> bool:
    """Whether nothing is left to do on an instance."""
    return not (instance.waiting or instance.prefilling or instance.decoding)


def lost_work(instance: Instance) -> list[Any]:
    """Requests of a lost instance: decoding ones by what they lack, prompts, then the queue."""
    lacks = [j.output_tokens - j.emitted for j in instance.decoding]
    if len(lacks) > 2 or len(set(lacks)) < len(lacks):
        raise TooCloseToCall  # their order is not a rule
    decoding = sorted(instance.decoding, key=lambda j: j.output_tokens - j.emitted)
    by_key = [
        sorted(jobs, key=lambda j: (j.key, j.index))
        for jobs in (instance.prefilling, instance.waiting)
    ]
    return [*decoding, *by_key[0], *by_key[1]]
