"""The parts of a scenario: tiers, lifecycle, batching, routing, NIW, faults, reward, workload."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sageserve_env._config import ScenarioError, unknown_key_message
from sageserve_env.policies import (
    BALANCERS,
    DISCIPLINE_FEATURES,
    ROUTER_FEATURES,
    ROUTING_OPTIONS,
    check_weights,
)
from sageserve_env.policies import DISCIPLINES as DISCIPLINES
from sageserve_env.policies import ROUTERS as ROUTERS

BATCHING_MODES = ("mixed", "prefill_first", "whole_prompt")
KV_POLICIES = ("reservation", "growth")
UTILISATIONS = ("load", "kv")
PREFIX_CACHES = ("none", "lru")
OBJECTIVES = ("ttft", "completion")
MOST_UTILISATION = 10.0  # a ceiling above it never binds


def _one_of(value: str, valid: Sequence[str], key: str) -> None:
    if value not in valid:
        message = unknown_key_message(value, list(valid), key)
        raise ScenarioError(message.replace("unknown key", "unknown value"))


def _at_least(value: float, low: float, key: str) -> None:
    if not value >= low or value == float("inf"):
        raise ScenarioError(f"{key}: expected a finite number of at least {low}, got {value}")


def tier_key(name: str) -> str:
    """Return a tier name as used in metric names: ``IW-F`` becomes ``iwf``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True)
class TierConfig:
    """A class of requests and its objective (docs/sources.md, "Paper").

    Attributes:
        name: ``IW-F``, ``IW-N`` or ``NIW``, or a user's own with a letter or a digit in it.
        objective_s: Time within which the objective must be met. A list is drawn from by the seed,
            each with the same chance, request by request (``completion`` only); the attribute is
            then the longest.
        objective: ``ttft`` (time to first token) or ``completion``.
        interactive: Interactive tiers are routed on arrival; others wait at the NIW manager.
        target: Share of requests that must meet the objective, above 0 and at most 1.
        priority: Rank in the PF discipline, lower first.
        miss_usd: Charge for a request that misses (A; chosen in ``options.py``).
        tpot_s: Objective for the mean time per output token after the first; a request attains
            when TTFT and this hold (``ttft`` only). None: no such objective.
        objectives_s: What ``objective_s`` is drawn from; empty if it is one number.
        refuse_above_s: Expected wait above which a gateway refuses a request, where no agent
            decides it: who waits that long has gone. None: all are admitted.
    """

    name: str
    if TYPE_CHECKING:
        objective_s: float
    else:
        objective_s: float | tuple[float, ...]
    objective: str = "ttft"
    interactive: bool = True
    target: float = 0.95
    priority: int = 0
    miss_usd: float = 0.2
    tpot_s: float | None = None
    objectives_s: tuple[float, ...] = ()
    refuse_above_s: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        where = f"tiers: {self.name}"
        if isinstance(self.objective_s, tuple):
            if not self.objective_s:
                raise ScenarioError(f"{where}: objective_s: expected at least one time")
            object.__setattr__(self, "objectives_s", self.objective_s)
            object.__setattr__(self, "objective_s", max(self.objective_s))
        if self.objectives_s:
            for one in self.objectives_s:
                _at_least(one, 0.001, f"{where}: objective_s")
            if self.objective != "completion" or self.objective_s != max(self.objectives_s):
                raise ScenarioError(
                    f"{where}: objective_s: several to draw from need objective: completion, and "
                    "the attribute is the longest of them"
                )
        if self.tpot_s is not None:
            _at_least(self.tpot_s, 1e-6, f"{where}: tpot_s")
            if self.objective != "ttft":
                raise ScenarioError(f"{where}: tpot_s: needs objective: ttft")
        if self.refuse_above_s is not None:
            _at_least(self.refuse_above_s, 0.0, f"{where}: refuse_above_s")
        if not tier_key(self.name):
            raise ScenarioError(
                f"tiers: name: expected a letter a-z or a digit in it, got {self.name!r}"
            )
        _one_of(self.objective, OBJECTIVES, f"tiers: {self.name}: objective")
        _at_least(self.objective_s, 0.001, f"tiers: {self.name}: objective_s")
        _at_least(self.miss_usd, 0.0, f"tiers: {self.name}: miss_usd")
        if not 0 < self.target <= 1:
            raise ScenarioError(
                f"tiers: {self.name}: target: expected a share above 0 and at most 1, "
                f"got {self.target}"
            )


def default_tiers() -> tuple[TierConfig, ...]:
    """Return the paper's tiers (docs/sources.md, "Paper").

    The charge per miss is our assumption (A): serving a request of the published day costs about
    3 cents of VM time, and the last points of attainment cost some 15-20 cents per request saved.
    """
    return (
        TierConfig("IW-F", 1.0, "ttft", True, 0.95, 0, 0.2),
        TierConfig("IW-N", 60.0, "ttft", True, 0.95, 1, 0.2),
        TierConfig("NIW", 86_400.0, "completion", False, 0.999, 2, 0.2),
    )


@dataclass(frozen=True)
class LifecycleConfig:
    """Delays of the capacity ladder (docs/sources.md, "Delays").

    Attributes:
        spot_same_model_s: A spot VM that still holds the model returns (paper: 1 min).
        redeploy_s: An idle VM or one with another model, weights in the region (10 min).
        fetch_weights_s: The first instance of a model in a region (up to 2 h).
        jitter: Delays are multiplied by a seeded uniform factor in 1 -+ jitter (A).
        weights_in_region: Whether all models' weights are in all regions at the start.
        boot_s: Boot of a VM; with it a start takes boot plus weights over ``load_gb_per_s``
            instead of ``redeploy_s``.
        load_gb_per_s: Bandwidth at which weights are loaded, 10^9 bytes a second.
        label_half_life_s: Time after which half of the donated VMs hold their model no longer,
            since somebody else uses them (seeded); None: they hold it until they are taken.
    """

    spot_same_model_s: float = 60.0
    redeploy_s: float = 600.0
    fetch_weights_s: float = 7200.0
    jitter: float = 0.1
    weights_in_region: bool = True
    boot_s: float | None = None
    load_gb_per_s: float | None = None
    label_half_life_s: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if (self.boot_s is None) != (self.load_gb_per_s is None):
            raise ScenarioError("lifecycle: boot_s and load_gb_per_s go together")
        if self.boot_s is not None and self.load_gb_per_s is not None:
            _at_least(self.boot_s, 0.0, "lifecycle: boot_s")
            _at_least(self.load_gb_per_s, 1e-3, "lifecycle: load_gb_per_s")
        if self.label_half_life_s is not None:
            _at_least(self.label_half_life_s, 1.0, "lifecycle: label_half_life_s")
        for key in ("spot_same_model_s", "redeploy_s", "fetch_weights_s", "jitter"):
            _at_least(getattr(self, key), 0.0, f"lifecycle: {key}")
        if self.jitter >= 1:
            raise ScenarioError("lifecycle: jitter must be below 1")


@dataclass(frozen=True)
class BatchingConfig:
    """Continuous batching inside an instance.

    Attributes:
        mode: ``mixed`` (decodes plus a prompt chunk in each iteration), ``prefill_first`` (prompt
            work excludes decodes) or ``whole_prompt`` (mixed, prompts are not chunked).
        prefill_token_budget: Prompt tokens per iteration in ``mixed`` and ``prefill_first``; None
            removes the limit. ``whole_prompt`` takes whole prompts until the budget is used.
        shared_budget: Decodes take from the budget too, one token each, as in vLLM.
        max_sequences: Most sequences running in an instance (A: vLLM's order of magnitude).
        kv_policy: ``reservation`` (prompt + output at admission) or ``growth`` (token by token,
            with preemption by recompute, the last admitted first).
        reserve_output_at_decode: With reservation, hold prompt + 1 from admission and the rest
            from the first decode on, as the authors' simulator does.
        discipline: Order of waiting requests, a name of `sageserve_env.policies.DISCIPLINES`.
        discipline_weights: Weights of `DISCIPLINE_FEATURES` in place of the discipline's own.
        utilisation: Endpoint signal, ``load`` or ``kv``.
        balancer: Choice of instance in an endpoint, a name of `sageserve_env.policies.BALANCERS`.
        memory_fraction: Share of VM memory for weights and KV (docs/sources.md, "Latency").
        max_output_tokens: Longest output (docs/sources.md, "Workload"); longer ones are cut.
        iteration_overhead_s: Added to every iteration (authors' simulator: 10 ms).
        mixed_prefill_factor: None for the additive rule of docs/sources.md, "Latency"; a number x
            for the authors' ``x * prefill(tokens + decodes)``.
        prefix_cache: ``none``, or ``lru``: an instance keeps the blocks of prompts in the KV memory
            that running requests leave free, drops the least recently used first, and computes of a
            prompt only what comes after its cached blocks (docs/sources.md, "Prefixes and
            sessions").
        prefix_block_tokens: Tokens of a block.
    """

    mode: str = "mixed"
    prefill_token_budget: int | None = 2048
    shared_budget: bool = False
    max_sequences: int = 256
    kv_policy: str = "reservation"
    reserve_output_at_decode: bool = False
    discipline: str = "fcfs"
    discipline_weights: Mapping[str, float] = field(default_factory=dict)
    utilisation: str = "load"
    balancer: str = "jsq"
    memory_fraction: float = 0.9
    max_output_tokens: int = 4096
    iteration_overhead_s: float = 0.0
    mixed_prefill_factor: float | None = None
    prefix_cache: str = "none"
    prefix_block_tokens: int = 512

    def __post_init__(self) -> None:
        """Check the values."""
        _one_of(self.mode, BATCHING_MODES, "batching: mode")
        _one_of(self.kv_policy, KV_POLICIES, "batching: kv_policy")
        _one_of(self.discipline, DISCIPLINES, "batching: discipline")
        check_weights(self.discipline_weights, DISCIPLINE_FEATURES, "batching: discipline_weights")
        _one_of(self.utilisation, UTILISATIONS, "batching: utilisation")
        _one_of(self.balancer, BALANCERS, "batching: balancer")
        _one_of(self.prefix_cache, PREFIX_CACHES, "batching: prefix_cache")
        _at_least(self.prefix_block_tokens, 1, "batching: prefix_block_tokens")
        _at_least(self.max_sequences, 1, "batching: max_sequences")
        _at_least(self.max_output_tokens, 1, "batching: max_output_tokens")
        _at_least(self.iteration_overhead_s, 0.0, "batching: iteration_overhead_s")
        if self.prefill_token_budget is not None:
            _at_least(self.prefill_token_budget, 1, "batching: prefill_token_budget")
        if self.mixed_prefill_factor is not None:
            _at_least(self.mixed_prefill_factor, 0.0, "batching: mixed_prefill_factor")
        if not 0 < self.memory_fraction <= 1:
            raise ScenarioError("batching: memory_fraction must be in (0, 1]")
        if self.shared_budget and self.reserve_output_at_decode:
            raise ScenarioError(
                "batching: shared_budget is a rule of vLLM, reserve_output_at_decode one of the "
                "authors' simulator; set one of them"
            )


@dataclass(frozen=True)
class RoutingConfig:
    """How a request finds an endpoint (an agent may choose another router).

    Attributes:
        router: A name of `sageserve_env.policies.ROUTERS`.
        weights: Weights of `ROUTER_FEATURES` in place of the router's own.
        threshold: Utilisation below which the threshold router takes the first region.
        spill_threshold: Utilisation at which interactive work spills to the mixed pool (Chiron).
        delay_s: Time between the choice of a region and that of an instance.
        region_age_s: Every so many seconds the regions tell each other how they stand; between, a
            gateway knows of another region what it was told and what it has sent there since. 0:
            everyone knows everything at once.
        running_penalty_s: Weight of ``running`` in the routers of least wait: seconds added per
            running sequence (A).
        transfer_usd_per_gb: Price of cross-region traffic (A).
    """

    router: str = "least_wait"
    weights: Mapping[str, float] = field(default_factory=dict)
    threshold: float = 0.7
    spill_threshold: float = 0.7
    delay_s: float = 0.0
    region_age_s: float = 0.0
    running_penalty_s: float = 0.002
    transfer_usd_per_gb: float = 0.02

    def __post_init__(self) -> None:
        """Check the values."""
        _one_of(self.router, ROUTERS, "routing: router")
        check_weights(self.weights, ROUTER_FEATURES, "routing: weights")
        if self.weights and not ROUTERS.spec(self.router).weights:
            raise ScenarioError(f"routing: weights: the router {self.router!r} weighs nothing")
        for key in ROUTING_OPTIONS:
            _at_least(getattr(self, key), 0.0, f"routing: {key}")


@dataclass(frozen=True)
class NiwConfig:
    """The manager of non-interactive work (docs/sources.md, "Paper").

    Attributes:
        pull_below: An endpoint pulls one request per active instance and interval when its
            utilisation is below this (paper: 60 %).
        pull_two_below: It pulls two below this (paper: 50 %).
        escalate_after_s: A request that has waited this long gets interactive priority (10 h).
        pull_interval_s: Time between two looks of the manager (A).
    """

    pull_below: float = 0.6
    pull_two_below: float = 0.5
    escalate_after_s: float = 36_000.0
    pull_interval_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        _at_least(self.pull_interval_s, 0.01, "niw: pull_interval_s")
        for key in ("pull_below", "pull_two_below"):
            if not 0 <= getattr(self, key) <= MOST_UTILISATION:
                raise ScenarioError(
                    f"niw: {key}: expected a utilisation (0.6 is 60 %) from 0 to "
                    f"{MOST_UTILISATION:g}, got {getattr(self, key)}"
                )
        if not self.pull_two_below <= self.pull_below:
            raise ScenarioError("niw: pull_two_below must be at most pull_below")
        _at_least(self.escalate_after_s, 0.0, "niw: escalate_after_s")


@dataclass(frozen=True)
class FaultConfig:
    """Faults, seeded and off by default. Rates are per hour and VM in the named state.

    Attributes:
        crash_per_hour: An active instance crashes; its requests are recomputed elsewhere.
        provision_failure: Probability that a scale-out fails at its end and must start again.
        eviction_per_hour: A spot VM is evicted and loses its model.
        slow_share: Share of instances that are slow from their start.
        slow_factor: How much longer a slow instance takes per iteration.
        outage_region: Region that is lost, or None.
        outage_start_s: Start of the outage.
        outage_duration_s: Its length; the VMs come back cold.
        stale_metrics_s: The utilisation that the threshold router, the spill to another pool, the
            NIW manager, the reactive rule and views see is up to this old; so are the aggregates
            by which routers that score choose a region.
    """

    crash_per_hour: float = 0.0
    provision_failure: float = 0.0
    eviction_per_hour: float = 0.0
    slow_share: float = 0.0
    slow_factor: float = 2.0
    outage_region: str | None = None
    outage_start_s: float = 0.0
    outage_duration_s: float = 0.0
    stale_metrics_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for key in (
            "crash_per_hour",
            "eviction_per_hour",
            "stale_metrics_s",
            "outage_start_s",
            "outage_duration_s",
        ):
            _at_least(getattr(self, key), 0.0, f"faults: {key}")
        for key in ("provision_failure", "slow_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise ScenarioError(f"faults: {key} must be in [0, 1]")
        _at_least(self.slow_factor, 1.0, "faults: slow_factor")


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the dollar reward.

    Attributes:
        scale_usd: A reward of -1 stands for this many dollars (A).
        unfinished_factor: Unfinished work at the end is charged at this multiple of the VM time
            it would need (A; above 1, so that leaving work undone never pays).
        refuse_usd: Charge for a request that a gateway refuses, on top of its tier's for a miss.
            A number makes admission part of ``control="joint"``; None leaves it to those who name
            it, at no charge of its own.
    """

    scale_usd: float = 100.0
    unfinished_factor: float = 2.0
    refuse_usd: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        _at_least(self.scale_usd, 1e-9, "reward: scale_usd")
        _at_least(self.unfinished_factor, 0.0, "reward: unfinished_factor")
        if self.refuse_usd is not None:
            _at_least(self.refuse_usd, 0.0, "reward: refuse_usd")


@dataclass(frozen=True)
class WorkloadConfig:
    """The traffic a scenario is meant for, used where the user names no trace.

    Attributes:
        trace: Name of a trace.
        scale: Rate scale of the synthetic trace (1 is the published scale, 9.7 is 10M a day).
        bursts: Repeat the first minute of each hour this many more times (authors' stress: 8).
        subset: Leave out requests of models and regions that the scenario does not have; without
            it such a request is an error.
        rename_models: Names of the trace's models, mapped to names of this scenario.
        sessions: ``open``: turns of sessions arrive when the trace says; ``closed``: a turn arrives
            ``think_s`` of the trace after the answer before it, wherever that comes.
    """

    trace: str = "o365"
    scale: float = 1.0
    bursts: int = 0
    subset: bool = False
    rename_models: Mapping[str, str] = field(default_factory=dict)
    sessions: str = "open"

    def __post_init__(self) -> None:
        """Check the values."""
        _one_of(self.sessions, ("open", "closed"), "workload: sessions")
        _at_least(self.scale, 1e-6, "workload: scale")
        _at_least(self.bursts, 0, "workload: bursts")
