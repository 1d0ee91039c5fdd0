"""A naive event loop of the authors' simulator, as docs/sources.md has it, "Authors' simulator".

Plain Python and nothing of `sageserve_env`: one heap of events, lists, and a scan of every waiting
request at every iteration. It is what `sageserve fidelity events` is checked against, both on the
published files and on synthetic workloads under memory pressure. Where the recipe leaves something
open, `docs/fidelity.md` says how it is resolved here.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

Points = Sequence[tuple[float, float]]

THRESHOLD = 0.7
ROUTING_DELAY_S = 1.0
OVERHEAD_S = 0.01
MIXED_FACTOR = 1.1
MAX_SEQUENCES = 512


@dataclass(frozen=True)
class NaiveModel:
    """What the loop knows of a model: two tables in seconds, and its KV memory in bytes."""

    prefill: Points
    decode: Points
    kv_bytes_per_token: float
    kv_pool_bytes: float


@dataclass(eq=False)
class NaiveRequest:
    """A request and what becomes of it."""

    arrival_s: float
    preference: tuple[int, ...]
    model: int
    prompt_tokens: int
    output_tokens: int
    prefilled: bool = False
    decode_steps_left: int = 0
    held_tokens: int = 0
    served_region: int = -1
    first_token_s: float = float("nan")
    completed_s: float = float("nan")


@dataclass(eq=False)
class NaiveInstance:
    """One instance: what waits, what runs, and the end of the run under way."""

    model: NaiveModel
    waiting: list[NaiveRequest] = field(default_factory=list)  # by arrival; prompts and decodes
    prompts: list[NaiveRequest] = field(default_factory=list)
    decodes: list[NaiveRequest] = field(default_factory=list)
    used_tokens: int = 0
    pending_tokens: int = 0
    run_start_s: float = 0.0
    step_s: float = 0.0
    steps: int = 0
    run_id: int = -1
    cut: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.prompts or self.decodes)

    @property
    def capacity_tokens(self) -> float:
        return self.model.kv_pool_bytes / self.model.kv_bytes_per_token


def lookup(points: Points, x: float) -> float:
    """Interpolate linearly, and extrapolate with the first and the last piece."""
    right = 1
    while right < len(points) - 1 and points[right][0] < x:
        right += 1
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) / (x1 - x0) * (x - x0)


class NaiveCluster:
    """Regions x models, a fixed number of instances per region for each model."""

    def __init__(self, models: Sequence[NaiveModel], fleet: Sequence[int], regions: int) -> None:
        self.endpoints = [
            [[NaiveInstance(model) for _ in range(size)] for _ in range(regions)]
            for model, size in zip(models, fleet, strict=True)
        ]
        self.events: list[tuple[float, int, int, str, object, int]] = []
        self.order = count()
        self.run_ids = count()

    def replay(self, requests: Sequence[NaiveRequest]) -> None:
        """Serve the requests, which stand in order of arrival; results are written into them."""
        for request in requests:
            self._schedule(request.arrival_s, 0, "arrive", request, 0)
        while self.events:
            now, _, _, kind, subject, run_id = heapq.heappop(self.events)
            if kind == "arrive":
                assert isinstance(subject, NaiveRequest)
                subject.served_region = self._choose_region(subject)
                self._schedule(now + ROUTING_DELAY_S, 1, "assign", subject, 0)
            elif kind == "assign":
                assert isinstance(subject, NaiveRequest)
                self._assign(subject, now)
            else:
                assert isinstance(subject, NaiveInstance)
                if run_id == subject.run_id:  # otherwise the run was cut and has another end
                    self._end_run(subject, now)

    def _schedule(self, time_s: float, rank: int, kind: str, subject: object, run_id: int) -> None:
        # At one time: arrivals read the state before anything else happens, then iterations end,
        # then requests reach their instances.
        ranks = {"arrive": 0, "end": 1, "assign": 2}
        heapq.heappush(self.events, (time_s, ranks[kind], next(self.order), kind, subject, run_id))

    def _utilisation(self, model: int, region: int) -> float:
        instances = self.endpoints[model][region]
        used = sum(i.used_tokens for i in instances)
        return used / sum(i.capacity_tokens for i in instances)

    def _choose_region(self, request: NaiveRequest) -> int:
        loads = {r: self._utilisation(request.model, r) for r in request.preference}
        for region in request.preference:
            if loads[region] < THRESHOLD:
                return region
        return min(request.preference, key=lambda r: loads[r])  # first of equals in the order

    def _assign(self, request: NaiveRequest, now: float) -> None:
        instances = self.endpoints[request.model][request.served_region]
        instance = min(instances, key=lambda i: i.pending_tokens)  # first of equals
        instance.pending_tokens += request.prompt_tokens + 1
        instance.waiting.append(request)
        if not instance.busy:
            self._start_run(instance, now)
        elif not instance.prompts and not instance.cut:
            # An all-decode run is cut at its next iteration boundary.
            elapsed_s = now - instance.run_start_s
            instance.steps = min(instance.steps, int(elapsed_s // instance.step_s) + 1)
            instance.cut = True
            self._schedule_end(instance)

    def _start_run(self, instance: NaiveInstance, now: float) -> None:
        admitted: list[NaiveRequest] = []
        used = instance.used_tokens
        for request in instance.waiting:  # in order of arrival, stop at the first that does not fit
            if len(instance.decodes) + len(admitted) >= MAX_SEQUENCES:
                break
            need = request.output_tokens - 1 if request.prefilled else request.prompt_tokens + 1
            if used + need > instance.capacity_tokens:
                break
            used += need
            request.held_tokens += need
            admitted.append(request)
        instance.used_tokens = used
        for request in admitted:
            instance.waiting.remove(request)
            (instance.decodes if request.prefilled else instance.prompts).append(request)
        if not instance.busy:
            return
        model = instance.model
        tokens = sum(r.prompt_tokens for r in instance.prompts)
        n = len(instance.decodes)
        if not instance.prompts:
            step_s = lookup(model.decode, n)
            instance.steps = min(r.decode_steps_left for r in instance.decodes)
        else:
            step_s = lookup(model.prefill, tokens + n) * (MIXED_FACTOR if n else 1.0)
            instance.steps = 1
        instance.step_s = step_s + OVERHEAD_S
        instance.run_start_s = now
        instance.cut = False
        self._schedule_end(instance)

    def _schedule_end(self, instance: NaiveInstance) -> None:
        instance.run_id = next(self.run_ids)
        end_s = instance.run_start_s + instance.step_s * instance.steps
        self._schedule(end_s, 1, "end", instance, instance.run_id)

    def _end_run(self, instance: NaiveInstance, now: float) -> None:
        still = []
        for request in instance.decodes:
            request.decode_steps_left -= instance.steps
            if request.decode_steps_left > 0:
                still.append(request)
            else:
                self._complete(instance, request, now)
        for request in instance.prompts:
            request.first_token_s = now
            request.prefilled = True
            request.decode_steps_left = request.output_tokens - 1
            instance.pending_tokens -= request.prompt_tokens
            if request.decode_steps_left == 0:
                self._complete(instance, request, now)
            else:
                instance.waiting.append(request)
        instance.waiting.sort(key=lambda r: r.arrival_s)  # stable: equal arrivals keep their order
        instance.decodes, instance.prompts = still, []
        self._start_run(instance, now)

    def _complete(self, instance: NaiveInstance, request: NaiveRequest, now: float) -> None:
        request.completed_s = now
        instance.used_tokens -= request.held_tokens
        instance.pending_tokens -= 1
        request.held_tokens = 0
