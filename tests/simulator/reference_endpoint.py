"""A slow reference of one endpoint, which the fast kernel must equal request by request.

Plain Python, iteration by iteration and token by token: no heap, no closed form, no arrays. Every
rule stands where it is used, so that the code can be read against the design:

* An idle instance starts an iteration when a request reaches it; a busy one sees what has arrived
  at its next iteration boundary. Iterations that end at a time come before arrivals at that time.
* Each iteration carries the decodes and prompt work by the batching mode. Candidates for prompt
  work are admitted prompts and waiting requests in the order of the discipline's key, ties by
  arrival. The first waiting request that cannot be admitted blocks those behind it, not the prompts
  that are admitted already.
* With ``reserve_output_at_decode`` a prefilled request waits in the same queue until it can reserve
  the rest of its output.
* With ``triage`` a request whose turn comes too late for its objective stands back once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sageserve_env.catalogue import LatencyProfile
from sageserve_env.options import BatchingConfig


@dataclass(eq=False)
class Job:
    """A request at the endpoint, and what becomes of it."""

    index: int
    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    deadline_s: float = math.inf
    priority: int = 0
    key: tuple[float, ...] = ()
    # state
    to_prefill: int = 0  # prompt tokens, and after a preemption the emitted tokens as well
    prefilled: int = 0
    emitted: int = 0
    held_tokens: int = 0
    stood_back: bool = False
    admitted_as: int = -1  # order of admission
    # results
    instance: int = -1
    preemptions: int = 0
    first_token_s: float = math.nan
    completed_s: float = math.nan

    @property
    def present_tokens(self) -> int:
        """Tokens that a sequence has once it is prefilled: after a loss the emitted ones too."""
        return self.prompt_tokens + self.emitted


TRIAGE_SIZE_WEIGHT = 10.0
TRIAGE_LATE_S = 600.0
KEYS: dict[str, Callable[[Job], tuple[float, ...]]] = {
    "fcfs": lambda job: (job.arrival_s,),
    "edf": lambda job: (job.deadline_s,),
    "pf": lambda job: (job.priority, job.arrival_s),
}
"""Queue order of the disciplines, lower first; others are handed in."""


@dataclass(eq=False)
class Instance:
    """One instance: its queue, its sequences and the iteration under way."""

    index: int
    batching: BatchingConfig
    profile: LatencyProfile
    capacity_tokens: int
    slow: float = 1.0
    waiting: list[Job] = field(default_factory=list)
    prefilling: list[Job] = field(default_factory=list)
    decoding: list[Job] = field(default_factory=list)
    used_tokens: int = 0
    pending_tokens: int = 0
    admissions: int = 0
    chunks: list[tuple[Job, int]] = field(default_factory=list)  # of the iteration under way
    advancing: list[Job] = field(default_factory=list)
    end_s: float = math.inf

    @property
    def busy(self) -> bool:
        return self.end_s < math.inf

    def enqueue(self, job: Job, now: float) -> None:
        job.instance = self.index
        job.to_prefill = job.present_tokens
        self.waiting.append(job)
        self.pending_tokens += job.to_prefill + 1
        if not self.busy:
            self.start_iteration(now)

    # -- forming the batch ----------------------------------------------------------------------

    def start_iteration(self, now: float) -> None:
        self.make_room()
        self.chunks = self.take_prompts(now)
        self.advancing = list(self.decoding)
        if self.chunks and self.batching.mode == "prefill_first":
            self.advancing = []
        if self.chunks or self.advancing:
            duration = self.duration_s() + self.batching.iteration_overhead_s
            self.end_s = now + duration * self.slow
        else:
            self.end_s = math.inf

    def make_room(self) -> None:
        """Preempt the newest decodes until each of the others has room for one more token."""
        if self.batching.kv_policy != "growth":
            return
        while self.used_tokens + len(self.decoding) > self.capacity_tokens:
            job = max(self.decoding, key=lambda j: j.admitted_as)
            self.decoding.remove(job)
            self.used_tokens -= job.held_tokens
            job.held_tokens = 0
            job.to_prefill = job.present_tokens
            job.prefilled = 0
            job.preemptions += 1
            self.pending_tokens += job.to_prefill
            self.waiting.append(job)

    def take_prompts(self, now: float) -> list[tuple[Job, int]]:
        budget = self.batching.prefill_token_budget
        room: float = math.inf if budget is None else budget
        if self.batching.shared_budget and self.batching.mode != "prefill_first":
            room -= len(self.decoding)
        whole = self.batching.mode == "whole_prompt"
        chunks: list[tuple[Job, int]] = []
        blocked = False
        left_over = sorted(self.prefilling + self.waiting, key=lambda j: (j.key, j.index))
        while left_over and room > 0:
            job = left_over.pop(0)
            if job in self.waiting:
                if blocked:
                    continue
                if self.waits_for_decode(job):
                    blocked = not self.admit_decode(job)
                    continue
                if whole and chunks and job.to_prefill > room:
                    break
                if not self.admits(job):
                    blocked = True
                    continue
                if self.too_late(job, now):
                    job.stood_back = True
                    job.key = (job.key[0] + TRIAGE_LATE_S,)
                    left_over = sorted([*left_over, job], key=lambda j: (j.key, j.index))
                    continue
                self.admit_prompt(job)
            left = job.to_prefill - job.prefilled
            take = left if whole else int(min(left, room))
            chunks.append((job, take))
            room -= take
        return chunks

    def waits_for_decode(self, job: Job) -> bool:
        return job.prefilled == job.to_prefill

    def too_late(self, job: Job, now: float) -> bool:
        if self.batching.discipline != "triage" or job.stood_back:
            return False
        first_token_to_come = math.isnan(job.first_token_s)
        return first_token_to_come and now + self.profile.prefill_s(job.prompt_tokens) > (
            job.deadline_s
        )

    def admits(self, job: Job) -> bool:
        """Whether memory and the number of sequences allow a waiting request."""
        if len(self.decoding) + len(self.prefilling) >= self.batching.max_sequences:
            return False
        reserve = 0
        if self.batching.kv_policy == "growth":
            reserve = len(self.decoding)  # each decode may add a token in this iteration
        return self.used_tokens + reserve + self.needed_tokens(job) <= self.capacity_tokens

    def needed_tokens(self, job: Job) -> int:
        if self.batching.kv_policy == "growth":
            return job.to_prefill + 1
        if self.batching.reserve_output_at_decode:
            return job.prompt_tokens + 1
        return job.prompt_tokens + job.output_tokens

    def admit_prompt(self, job: Job) -> None:
        """Move a waiting request into the batch."""
        self.hold(job, self.needed_tokens(job))
        self.waiting.remove(job)
        self.prefilling.append(job)
        job.admitted_as = self.admissions
        self.admissions += 1

    def admit_decode(self, job: Job) -> bool:
        """Start the decode of a prefilled request if the rest of its output can be reserved."""
        need = job.output_tokens - 1
        if len(self.decoding) + len(self.prefilling) >= self.batching.max_sequences:
            return False
        if self.used_tokens + need > self.capacity_tokens:
            return False
        self.hold(job, need)
        self.waiting.remove(job)
        self.decoding.append(job)
        return True

    def hold(self, job: Job, tokens: int) -> None:
        job.held_tokens += tokens
        self.used_tokens += tokens
        assert 0 <= self.used_tokens <= self.capacity_tokens

    # -- its duration ---------------------------------------------------------------------------

    def duration_s(self) -> float:
        profile = self.profile
        tokens = sum(take for _, take in self.chunks)
        n = len(self.advancing)
        context = sum(job.present_tokens for job in self.advancing)
        if not tokens:
            return profile.decode_s(n, context)
        factor = self.batching.mixed_prefill_factor
        if factor and n:
            return factor * profile.prefill_s(tokens + n)
        if profile.pass_table:
            return self.one_pass_s(tokens, n, context)
        attention_s = sum(self.attention_s(job.prefilled, take) for job, take in self.chunks)
        decode_s = self.added_decode_s(n, context) if n else 0.0
        return profile.prefill_s(tokens) + attention_s + decode_s

    def one_pass_s(self, tokens: int, n: int, context: int) -> float:
        """Prompts and decodes in one pass: weights once, attention of each chunk by itself."""
        profile = self.profile
        square_s = profile.prefill_per_token2_s
        linear_s = profile.prefill_s(tokens + n) - square_s * (tokens + n) ** 2
        decodes_s = profile.decode_per_sequence_s * n + profile.decode_per_context_token_s * context
        attention_s = sum(square_s * take * (2 * job.prefilled + take) for job, take in self.chunks)
        return linear_s + decodes_s + attention_s

    def attention_s(self, done: int, take: int) -> float:
        """Time that a chunk attends to the tokens of its prompt before it."""
        if done == 0:
            return 0.0
        prefill_s = self.profile.prefill_s
        extra = prefill_s(done + take) - prefill_s(done) - prefill_s(take) + prefill_s(0)
        return max(0.0, extra)

    def added_decode_s(self, n: int, context: int) -> float:
        """Time that decodes add to an iteration with prompt tokens."""
        per_context = self.profile.decode_per_context_token_s * context
        return max(0.0, self.profile.decode_s(n, 0) - self.profile.decode_s(0, 0)) + per_context

    # -- its end --------------------------------------------------------------------------------

    def end_iteration(self, now: float) -> None:
        for job in self.advancing:
            job.emitted += 1
            if self.batching.kv_policy == "growth":
                self.hold(job, 1)
            if job.emitted == job.output_tokens:
                self.decoding.remove(job)
                self.complete(job, now)
        for job, take in self.chunks:
            job.prefilled += take
            if job.prefilled == job.to_prefill:
                self.finish_prefill(job, now)
        self.start_iteration(now)

    def finish_prefill(self, job: Job, now: float) -> None:
        self.prefilling.remove(job)
        self.pending_tokens -= job.to_prefill
        if math.isnan(job.first_token_s):
            job.first_token_s = now
        job.emitted += 1
        if job.emitted == job.output_tokens:
            self.complete(job, now)
        elif self.batching.kv_policy == "reservation" and self.batching.reserve_output_at_decode:
            self.waiting.append(job)
        else:
            self.decoding.append(job)

    def complete(self, job: Job, now: float) -> None:
        job.completed_s = now
        self.used_tokens -= job.held_tokens
        self.pending_tokens -= 1
        job.held_tokens = 0


def simulate(
    jobs: Sequence[Job],
    profile: LatencyProfile,
    batching: BatchingConfig,
    capacity_tokens: int,
    instances: int = 1,
    slow: Sequence[float] = (),
    key: Callable[[Job], tuple[float, ...]] | None = None,
) -> list[Instance]:
    """Serve the jobs, in order of arrival, on `instances` instances; results go into the jobs.

    An instance is chosen by the shortest queue in pending tokens, ties to the lowest index.

    Returns:
        The instances as they are left.
    """
    make_key = key or KEYS[batching.discipline]
    factors = list(slow) or [1.0] * instances
    fleet = [Instance(i, batching, profile, capacity_tokens, factors[i]) for i in range(instances)]
    arrivals = list(jobs)
    while arrivals or any(i.busy for i in fleet):
        first = min(fleet, key=lambda i: i.end_s)
        if not arrivals or first.end_s <= arrivals[0].arrival_s:
            now, first.end_s = first.end_s, math.inf
            first.end_iteration(now)
            continue
        job = arrivals.pop(0)
        job.key = make_key(job)
        target = min(fleet, key=lambda i: i.pending_tokens)
        target.enqueue(job, job.arrival_s)
    return fleet
