"""Hand-made views and a fluid toy cluster, so that agents are tested without the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.view import DEMAND_BIN_S, WINDOWS_S, ClusterView, Floats, idle_view
from sageserve_traces.trace import DemandSeries

THETA = 10_000.0  # prompt tokens per second of every instance of the toy cluster
REQUEST_TOKENS = 1_000.0


def empty_history(scenario: Scenario, bin_s: float = 60.0) -> DemandSeries:
    return history_of(
        scenario, np.zeros((0, len(scenario.models), len(scenario.regions), 3)), bin_s
    )


def history_of(scenario: Scenario, tokens: Floats, bin_s: float = 60.0) -> DemandSeries:
    """Return a history of prompt tokens per bin [T, M, R, K] that ends at time 0."""
    start = -len(tokens) * bin_s
    names = (scenario.models, scenario.region_names, scenario.tier_names)
    return DemandSeries(start, bin_s, tokens / REQUEST_TOKENS, tokens, 0.1 * tokens, *names)


def make_view(scenario: Scenario, **changes: Any) -> ClusterView:
    """Return the view of an idle cluster on a Wednesday, every instance with the toy's theta."""
    theta = np.full((len(scenario.models), len(scenario.gpus)), THETA)
    return idle_view(scenario, **{"weekday": 2.0, "theta": theta, **changes})


class ToyCluster:
    """A fluid cluster: demand in tokens per second per (model, region, tier), fixed delays.

    Utilisation of an endpoint is its own region's demand over the capacity of its active
    instances, plus the backlog over one minute of capacity. Scale-outs take ``delay_s``; the first
    VM type serves everything.
    """

    def __init__(
        self,
        scenario: Scenario,
        rate: Callable[[float], Floats],
        delay_s: float = 600.0,
    ) -> None:
        self.scenario = scenario
        self.rate = rate
        self.delay_s = delay_s
        self.time_s = 0.0
        self.shape = (len(scenario.models), len(scenario.regions), len(scenario.pools))
        self.active = make_view(scenario).target[:, 0].copy()
        self.target = self.active.copy()
        self.pending: list[list[float]] = [[] for _ in self.active]
        self.backlog = np.zeros(len(self.active))
        self.tokens: list[Floats] = []
        self.history: list[np.ndarray] = []
        self.vm_seconds = 0.0

    def view(self) -> ClusterView:
        base = make_view(self.scenario)
        share = np.zeros(self.shape)
        share[:] = self.rate(self.time_s).sum(axis=2)[:, :, None] / self.shape[2]
        flow = share.ravel()
        capacity = np.maximum(self.active, 1e-9) * THETA
        load = np.where(self.active > 0, (flow + self.backlog / 60.0) / capacity, 0.0)
        done = np.array(self.tokens).reshape(-1, *base.demand_requests.shape[1:])
        rates = np.zeros_like(base.prompt_rate)
        for w, window in enumerate(WINDOWS_S):
            bins = int(window // DEMAND_BIN_S)
            if len(done):
                rates[w] = done[-bins:].sum(axis=0) / DEMAND_BIN_S / min(bins, len(done))
        used = np.zeros_like(self.scenario.inventory)
        for e, endpoint in enumerate(self.scenario.endpoints):
            r = self.scenario.region_names.index(endpoint.region)
            used[r, 0] += self.active[e] + len(self.pending[e])
        column = np.zeros_like(base.target)

        def first_type(values: np.ndarray) -> np.ndarray:
            filled = column.copy()
            filled[:, 0] = values
            return filled

        return dataclasses.replace(
            base,
            time_s=self.time_s,
            hour_of_day=self.time_s / 3600.0 % 24.0,
            weekday=(2.0 + self.time_s / 86_400.0) % 7.0,
            target=first_type(self.target),
            active=first_type(self.active),
            pending=first_type(np.array([len(p) for p in self.pending])),
            idle_vms=self.scenario.inventory - used,
            utilisation=load,
            queued_prompt_tokens=self.backlog.copy(),
            queued_requests=(self.backlog / REQUEST_TOKENS).astype(np.int64),
            running=np.minimum(flow / REQUEST_TOKENS * 2.0, 1e6).astype(np.int64),
            global_queue=(
                (self.active.reshape(self.shape).sum(axis=(1, 2)) == 0)
                & (flow.reshape(self.shape).sum(axis=(1, 2)) > 0)
            ).astype(np.int64),
            prompt_rate=rates,
            request_rate=rates / REQUEST_TOKENS,
            demand_prompt_tokens=done,
            demand_requests=done / REQUEST_TOKENS,
            demand_output_tokens=0.1 * done,
        )

    def step(self, action: ClusterAction) -> None:
        """Apply an action and go one minute on."""
        wanted = action.validate(self.scenario).instances.sum(axis=1)
        self.target = np.maximum(wanted, self.scenario.min_instances)
        for e, count in enumerate(self.target):
            while self.active[e] + len(self.pending[e]) > count and self.pending[e]:
                self.pending[e].pop()
            self.active[e] = min(self.active[e], count)
            while self.active[e] + len(self.pending[e]) < count:
                self.pending[e].append(self.time_s + self.delay_s)
        rates = self.rate(self.time_s)
        flow = np.repeat(rates.sum(axis=2).ravel() / self.shape[2], self.shape[2])
        served = self.active * THETA
        self.backlog = np.maximum(self.backlog + (flow - served) * DEMAND_BIN_S, 0.0)
        self.tokens.append(rates * DEMAND_BIN_S)
        self.time_s += DEMAND_BIN_S
        self.vm_seconds += DEMAND_BIN_S * float(self.target.sum())
        for e, pending in enumerate(self.pending):
            up = [t for t in pending if t <= self.time_s + 1e-9]
            self.active[e] += len(up)
            self.pending[e] = [t for t in pending if t > self.time_s + 1e-9]
        self.history.append(self.target.copy())

    def run(self, agent: Any, minutes: int) -> np.ndarray:
        """Run an agent; return the targets of every minute, [minutes, E]."""
        for _ in range(minutes):
            self.step(agent.act(self.view()))
        return np.array(self.history)


def scenario_of(name: str = "o365-day", **changes: Any) -> Scenario:
    return load_scenario(name).replace(**changes)


def constant(scenario: Scenario, tokens_per_s: float, tier: int = 0) -> Callable[[float], Floats]:
    """Return a demand of ``tokens_per_s`` for every model and region, all in one tier."""
    rates = np.zeros((len(scenario.models), len(scenario.regions), len(scenario.tiers)))
    rates[:, :, tier] = tokens_per_s
    return lambda _time_s: rates


def daily(scenario: Scenario, peak: float) -> Callable[[float], Floats]:
    """Return a sinusoidal day between a fifth of ``peak`` and ``peak``, highest at 18:00."""

    def rate(time_s: float) -> Floats:
        phase = np.cos(2 * np.pi * (time_s / 86_400.0 - 0.75))
        return constant(scenario, peak * (0.6 + 0.4 * phase))(time_s)

    return rate


def history_from(
    scenario: Scenario, rate: Callable[[float], Floats], days: int, bin_s: float = 300.0
) -> DemandSeries:
    """Return the history that a demand function has before time 0."""
    bins = round(days * 86_400.0 / bin_s)
    times = (np.arange(bins) - bins) * bin_s
    return history_of(scenario, np.array([rate(t) for t in times]) * bin_s, bin_s)
