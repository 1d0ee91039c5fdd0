"""A slow reference of what lies between an arrival and an instance, in plain Python.

What a gateway knows of other regions and since when, whom it refuses, where a resident may go,
which region and instance a request gets, and what the manager of batch work does. Nothing is kept
that can be counted: every number is a sum over the instances at the moment it is asked for.

The instances are those of `reference_endpoint`, token by token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sageserve_env.scenario import Scenario
from tests.simulator.reference_endpoint import Instance, Job

INFINITY = math.inf


@dataclass(eq=False)
class Request(Job):
    """A request in the cluster."""

    model: int = 0
    origin: int = 0
    tier: int = 0
    choice: int = 0  # among the objectives of its tier
    resident: bool = False
    escalated: bool = False
    refused: bool = False
    served: int = -1  # region
    first_served: int = -1  # region of its first token
    sent_to: int = -1  # endpoint, while it is on its way there


@dataclass(eq=False)
class Member(Instance):
    """An instance that knows its region."""

    region: int = -1

    def finish_prefill(self, job: Job, now: float) -> None:
        if math.isnan(job.first_token_s) and isinstance(job, Request):
            job.first_served = self.region
        super().finish_prefill(job, now)


@dataclass(eq=False)
class Place:
    """An endpoint: a model in a region. ``members`` are the instances that accept work."""

    model: int
    region: int
    members: list[Instance] = field(default_factory=list)
    theta: list[float] = field(default_factory=list)  # of each member, prompt tokens a second
    routed: list[tuple[int, int]] = field(default_factory=list)  # second and prompt tokens
    release: float = 0.6
    published: float = 0.0  # utilisation, where metrics are stale

    def queued_tokens(self) -> int:
        return sum(queued_tokens(i) for i in self.members)

    def kv(self) -> float:
        capacity = sum(i.capacity_tokens for i in self.members)
        return sum(i.used_tokens for i in self.members) / capacity


@dataclass(frozen=True)
class Picture:
    """What the other regions know of an endpoint until they are told again."""

    members: int
    utilisation: float
    theta: float
    kv_used: int
    kv_capacity: int
    queued_tokens: int
    running: int
    pending_tokens: int


def queued_tokens(instance: Instance) -> int:
    """Prompt tokens at an instance that are still to be computed."""
    return sum(j.to_prefill - j.prefilled for j in instance.waiting + instance.prefilling)


class Gateway:
    """Routing, admission and batch work of a cluster with one pool per model and region."""

    def __init__(self, scenario: Scenario, theta: float) -> None:
        self.scenario = scenario
        self.theta = theta
        self.regions = range(len(scenario.regions))
        self.models = range(len(scenario.models))
        self.places = [Place(m, r) for m in self.models for r in self.regions]
        for place in self.places:
            place.release = scenario.niw.pull_below
        self.pictures: list[Picture] = []
        self.sent: dict[tuple[int, int], int] = {}  # origin and endpoint: since the last picture
        self.unplaced: list[list[Request]] = [[] for _ in self.models]
        self.held: list[list[Request]] = [[] for _ in self.models]
        self.on_the_way: list[tuple[float, Request]] = []
        self.tick_s = INFINITY
        self.router = scenario.routing.router
        self.routing = np.zeros((len(self.models), len(self.regions), len(self.regions)))
        self.limits_s: list[list[float]] = []  # of admission, [model][tier]
        self.credit: dict[tuple[int, int, int], float] = {}
        self.escalations = 0

    # -- what is known ----------------------------------------------------------------------------

    @property
    def scores(self) -> bool:
        """Whether the router in force scores instances: others go by utilisation or shares."""
        return self.router not in ("threshold", "shares")

    def known_by_picture(self, origin: int, e: int) -> bool:
        away = self.places[e].region != origin
        if away and self.scenario.routing.region_age_s > 0:
            return True
        return self.scores and self.scenario.faults.stale_metrics_s > 0

    def members_known(self, origin: int, e: int) -> int:
        if self.known_by_picture(origin, e):
            return self.pictures[e].members
        return len(self.places[e].members)

    def utilisation(self, e: int, now: float) -> float:
        place = self.places[e]
        if not place.members:
            return INFINITY
        if self.scenario.batching.utilisation == "kv":
            return place.kv()
        last_minute = sum(n for second, n in place.routed if second > int(now) - 60)
        load = (last_minute + place.queued_tokens()) / (60.0 * sum(place.theta))
        return max(place.kv(), load)

    def utilisation_seen(self, e: int, now: float) -> float:
        if self.scenario.faults.stale_metrics_s > 0 and self.places[e].members:
            return self.places[e].published
        return self.utilisation(e, now)

    def utilisation_known(self, origin: int, e: int, now: float) -> float:
        if not self.known_by_picture(origin, e):
            return self.utilisation_seen(e, now)
        picture, sent = self.pictures[e], self.sent.get((origin, e), 0)
        if picture.members == 0:
            return INFINITY
        if self.scenario.batching.utilisation == "kv":
            return picture.utilisation + sent / picture.kv_capacity
        kv = (picture.kv_used + sent) / picture.kv_capacity
        return max(kv, picture.utilisation + sent / (60.0 * picture.theta))

    def publish(self, now: float) -> None:
        for e, place in enumerate(self.places):
            place.published = self.utilisation(e, now)

    def exchange(self, now: float) -> None:
        """Take a picture of every endpoint; what waits for a place may have one now."""
        self.pictures = [
            Picture(
                members=len(p.members),
                utilisation=self.utilisation_seen(e, now),
                theta=sum(p.theta),
                kv_used=sum(i.used_tokens for i in p.members),
                kv_capacity=sum(i.capacity_tokens for i in p.members),
                queued_tokens=p.queued_tokens(),
                running=sum(len(i.decoding) for i in p.members),
                pending_tokens=sum(i.pending_tokens for i in p.members),
            )
            for e, p in enumerate(self.places)
        ]
        self.sent.clear()
        self.place_again(self.models, now)

    def forget_members(self, e: int) -> None:
        """Note that nobody was there."""
        if self.pictures:
            self.pictures[e] = Picture(**{**vars(self.pictures[e]), "members": 0})

    # -- who is refused ---------------------------------------------------------------------------

    def may_serve(self, job: Request, regions: Iterable[int]) -> list[int]:
        """Endpoints that may serve a request, as far as its gateway knows."""
        found = [job.model * len(self.regions) + r for r in regions]
        at_home = [e for e in found if not job.resident or self.places[e].region == job.origin]
        return [e for e in at_home if self.members_known(job.origin, e) > 0]

    def interactive(self, job: Request) -> bool:
        return self.scenario.tiers[job.tier].interactive

    def expected_wait_s(self, job: Request) -> float:
        waits, theta = [INFINITY], 0.0
        for e in self.may_serve(job, self.regions):
            if self.known_by_picture(job.origin, e):
                picture, sent = self.pictures[e], self.sent.get((job.origin, e), 0)
                theta += picture.theta
                waits.append((picture.queued_tokens + sent) / picture.theta)
            else:
                place = self.places[e]
                theta += sum(place.theta)
                waits += [queued_tokens(i) / self.theta for i in place.members]
        if self.interactive(job):
            return min(waits)
        held = sum(j.prompt_tokens for j in self.held[job.model])
        return held / theta if theta else INFINITY

    def arrive(self, job: Request, now: float) -> None:
        if self.expected_wait_s(job) > self.limits_s[job.model][job.tier]:
            job.refused = True
        elif self.interactive(job):
            self.route(job, now)
        else:
            self.held[job.model].append(job)
            if self.tick_s == INFINITY:
                interval = self.scenario.niw.pull_interval_s
                self.tick_s = max(now, math.ceil(now / interval) * interval)

    # -- which region and instance ----------------------------------------------------------------

    def score(self, instance: Instance) -> float:
        if self.router == "jsq":
            return 1.0 * instance.pending_tokens
        queued = queued_tokens(instance)
        total = queued / self.theta
        total += self.scenario.routing.running_penalty_s * len(instance.decoding)
        if self.router == "least_wait_kv":
            total += 4.0 * ((instance.used_tokens + queued) / instance.capacity_tokens)
        return total

    def score_of_picture(self, origin: int, e: int) -> float:
        picture, sent = self.pictures[e], self.sent.get((origin, e), 0)
        if self.router == "jsq":
            return (picture.pending_tokens + sent) / picture.members
        total = (picture.queued_tokens + sent) / picture.theta
        penalty_s = self.scenario.routing.running_penalty_s
        total += penalty_s * (picture.running / picture.members)
        if self.router == "least_wait_kv":
            held = picture.kv_used + picture.queued_tokens + sent
            total += 4.0 * (held / picture.kv_capacity)
        return total

    def best_member(self, e: int) -> Instance:
        return min(self.places[e].members, key=self.score)

    def least_score(self, job: Request) -> int:
        def total(e: int) -> float:
            if self.known_by_picture(job.origin, e):
                own = self.score_of_picture(job.origin, e)
            else:
                own = self.score(self.best_member(e))
            if self.router == "jsq":
                return own
            return own + float(self.routing[job.model, job.origin, self.places[e].region])

        found = [(total(e), e) for e in self.may_serve(job, self.regions)]
        found = [(value, e) for value, e in found if value < INFINITY]
        return min(found)[1] if found else -1

    def by_threshold(self, job: Request, now: float) -> int:
        found = self.may_serve(job, self.nearest_first(job))
        used = {e: self.utilisation_known(job.origin, e, now) for e in found}
        below = [e for e in found if used[e] < self.scenario.routing.threshold]
        return below[0] if below else min(found, key=used.__getitem__, default=-1)

    def by_shares(self, job: Request) -> int:
        """Smooth weighted round robin over the shares; the nearest if no share can take it."""
        found = self.may_serve(job, self.nearest_first(job))
        shares = self.routing[job.model, job.origin]
        named = [e for e in found if shares[self.places[e].region] > 0]
        if not named:
            return found[0] if found else -1
        keys = {e: (job.model, job.origin, self.places[e].region) for e in named}
        for e in named:
            self.credit[keys[e]] = self.credit.get(keys[e], 0.0) + float(shares[keys[e][2]])
        chosen = max(named, key=lambda e: self.credit[keys[e]])
        self.credit[keys[chosen]] -= sum(float(shares[keys[e][2]]) for e in named)
        return chosen

    def nearest_first(self, job: Request) -> list[int]:
        return sorted(self.regions, key=lambda r: self.scenario.round_trip[job.origin][r])

    def choose(self, job: Request, now: float) -> int:
        if self.router == "threshold":
            return self.by_threshold(job, now)
        return self.by_shares(job) if self.router == "shares" else self.least_score(job)

    def route(self, job: Request, now: float) -> None:
        e = self.choose(job, now)
        while e >= 0 and not self.places[e].members:
            self.forget_members(e)
            e = self.choose(job, now)
        if e < 0:
            self.unplaced[job.model].append(job)
            return
        if self.known_by_picture(job.origin, e):
            self.sent[job.origin, e] = self.sent.get((job.origin, e), 0) + job.present_tokens
        delay_s = self.scenario.routing.delay_s
        if delay_s > 0:
            job.sent_to = e
            self.on_the_way.append((now + delay_s, job))
        else:
            self.hand_over(job, e, now)

    def hand_over(self, job: Request, e: int, now: float, *, balanced: bool = False) -> None:
        """Give a request to an instance: the best by the router, or the shortest queue."""
        if self.scores and not balanced:
            instance = self.best_member(e)
        else:
            instance = min(self.places[e].members, key=lambda i: (i.pending_tokens, i.index))
        self.places[e].routed.append((int(now), job.present_tokens))
        job.served = self.places[e].region
        job.key = self.key(job, now)
        instance.enqueue(job, now)

    def key(self, job: Request, now: float) -> tuple[float, ...]:
        priority = 0 if job.escalated else self.scenario.tiers[job.tier].priority
        keys = {"fcfs": now, "edf": job.deadline_s, "pf": now + 1e9 * priority}
        return (keys[self.scenario.batching.discipline],)

    def reach_region(self, now: float) -> None:
        _, job = self.on_the_way.pop(0)
        if self.places[job.sent_to].members:
            self.hand_over(job, job.sent_to, now)
        else:
            self.forget_members(job.sent_to)
            self.route(job, now)

    def place_again(self, models: Iterable[int], now: float) -> None:
        for m in models:
            waiting, self.unplaced[m] = self.unplaced[m], []
            for job in waiting:
                self.route(job, now)

    # -- batch work -------------------------------------------------------------------------------

    def visit(self, now: float) -> None:
        """Let the manager of batch work route what is old and let endpoints pull the rest."""
        niw = self.scenario.niw
        for m in self.models:
            if not self.held[m]:
                continue
            old = [j for j in self.held[m] if now - j.arrival_s >= niw.escalate_after_s]
            for job in sorted(old, key=self.lane):
                self.held[m].remove(job)
                job.escalated = True
                self.escalations += 1
                self.route(job, now)
            start = int(now / niw.pull_interval_s)
            for j in self.regions:
                e = m * len(self.regions) + (start + j) % len(self.regions)
                self.pull(e, now)
        waits = any(self.held)
        self.tick_s = now + niw.pull_interval_s if waits else INFINITY

    def lane(self, job: Request) -> tuple[Any, ...]:
        """Requests alike in objective and place wait in one queue."""
        return job.choice, job.resident, job.origin if job.resident else -1, job.index

    def pull(self, e: int, now: float) -> None:
        place, niw = self.places[e], self.scenario.niw
        pulled = 0
        while place.members:
            allowed = 0
            used = self.utilisation_seen(e, now)
            if used < place.release - (niw.pull_below - niw.pull_two_below):
                allowed = 2 * len(place.members)
            elif used < place.release:
                allowed = len(place.members)
            mine = [j for j in self.held[place.model] if not j.resident or j.origin == place.region]
            if pulled >= allowed or not mine:
                return
            job = min(mine, key=lambda j: (j.deadline_s, *self.lane(j)))
            self.held[place.model].remove(job)
            self.hand_over(job, e, now, balanced=True)
            pulled += 1
