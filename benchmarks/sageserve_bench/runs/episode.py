"""One agent on one trace: the row of the table, what happened over time, and every decision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents import Agent, rollout
from sageserve_agents.playing import Decision
from sageserve_bench.errors import UserError
from sageserve_bench.rows import COLUMNS, Row, clean
from sageserve_bench.runs.actionlog import ActionLog, Recorder
from sageserve_bench.runs.request_records import write_records
from sageserve_bench.runs.tasks import Task
from sageserve_bench.wording import duration
from sageserve_env.actions import ClusterAction
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_env.workload import Workload
from sageserve_traces import DemandSeries

Series = dict[str, NDArray[Any]]
OnStep = Callable[[int, ClusterView], None]

PER_ENDPOINT = (
    "utilisation",
    "kv_utilisation",
    "queued_prompt_tokens",
    "queued_requests",
    "running",
    "ttft_p95_ratio",
    "slo_attainment",
    "prefix_hit_rate",
)
FLEET = ("target", "active", "pending", "draining", "unmet")
BILLED = ("active", "pending", "draining")
SETTLED_S = 3600.0


@dataclass(frozen=True)
class RunResult:
    """What is left of an episode.

    Attributes:
        row: The row of the result table, without ``score``.
        series: Arrays over the decision times (see `Track`), and the sums at the end.
        actions: Every decision, for replay.
    """

    row: Row
    series: Series
    actions: ActionLog


def steps_of(scenario: Scenario) -> int:
    """Return the number of decisions of an episode."""
    return math.ceil(scenario.horizon_s / scenario.decision_interval_s - 1e-9)


def run_episode(
    task: Task,
    *,
    workload: Workload | None = None,
    replay: ActionLog | None = None,
    on_step: OnStep | None = None,
    records: Path | None = None,
) -> RunResult:
    """Run one agent on one trace.

    Args:
        task: Agent, scenario, trace and seed.
        workload: The task's workload, where it is known already.
        replay: Decisions to take instead of the agent's; the agent is then never asked.
        on_step: Called with the number of finished steps and the view before the last one.
        records: Parquet file for what became of each request (see `write_records`).
    """
    began = time.perf_counter()
    workload = workload or task.workload()
    agent = task.make_agent()
    scenario = workload.scenario.replace(pooling=agent.pooling)
    env = SageServeEnv(scenario=scenario, trace=workload.trace)
    env.simulator.keep_records = records is not None
    try:
        track, recorder = Track(scenario), Recorder()

        def watch(decision: Decision) -> None:
            track.note(decision.view)
            recorder.note(decision.action)
            if on_step is not None:
                on_step(decision.step, decision.view)

        player = agent if replay is None else Replay(agent, replay)
        played = rollout(env, player, task.seed, label=task.agent_label, watch=watch)
        metrics: dict[str, Any] = dict(played.metrics)
        metrics["decision_ms"] = 1e3 * played.deciding_s / played.steps
        if not metrics["requests"]:
            raise UserError(
                f"{task.agent_label} on trace {workload.trace.name!r}: no request arrived in "
                f"{duration(workload.horizon_s)}, so there is nothing to compare"
            )
        metrics["planner_failures"] = int(getattr(agent, "planner_failures", 0))
        metrics["plans"] = int(getattr(agent, "plans_tried", 0))
        series = track.arrays() | _sums(env)
        metrics["vms_peak"] = _peak(series)
        metrics["wall_s"] = time.perf_counter() - began
        if records is not None:
            write_records(env, records)
    finally:
        env.close()
    return RunResult(_row(task, workload, agent, metrics), series, recorder.log())


class Replay:
    """An agent that takes the decisions of a log.

    Args:
        agent: Whose decisions they were; it is never asked.
        log: The decisions.
    """

    clairvoyant = False

    def __init__(self, agent: Agent, log: ActionLog) -> None:
        self.name, self.pooling, self._log = agent.name, agent.pooling, log
        self._step = 0

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start with the first decision."""
        self._step = 0

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the next decision of the log."""
        self._step += 1
        return self._log.action(self._step - 1)


def _row(task: Task, workload: Workload, agent: Agent, metrics: dict[str, Any]) -> Row:
    named: dict[str, Any] = {
        "agent": task.agent_label,
        "scenario": workload.scenario.name,
        "trace": workload.trace.name,
        "seed": task.seed,
        "config_hash": workload.scenario.config_hash,
        "score": None,
    }
    extras: dict[str, Any] = {
        "split": workload.trace.split,
        "trace_hash": workload.trace_hash,
        "horizon_s": workload.scenario.horizon_s,
        "pooling": agent.pooling,
        "clairvoyant": int(agent.clairvoyant),
    }
    values = named | metrics | extras
    missing = [name for name in COLUMNS if name not in values]
    for name in missing:  # a scenario may lack a tier
        values[name] = None
    order = [*COLUMNS, *(name for name in values if name not in COLUMNS)]
    return {name: clean(values[name]) for name in order}


class Track:
    """What a view showed at each decision time, with T decisions.

    ``time_s`` [T]; fleet counts and load per endpoint [T, E] (VM types summed); ``request_rate``
    per model and origin region over the last minute [T, M, R]; ``niw_backlog`` [T, M];
    ``idle_vms`` and ``spot_vms`` [T, R]; ``vms_by_type`` [T, G], billed;
    ``refused`` [T], since time 0.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._lists: dict[str, list[Any]] = {}
        steps, endpoints = steps_of(scenario), len(scenario.endpoints)
        self._endpoint = {
            name: np.zeros((steps, endpoints), dtype=np.float32) for name in PER_ENDPOINT
        }
        self._fleet = {name: np.zeros((steps, endpoints), dtype=np.int32) for name in FLEET}
        self._steps = 0

    def note(self, view: ClusterView) -> None:
        """Keep what a view shows."""
        t = self._steps
        for name, values in self._endpoint.items():
            values[t] = getattr(view, name)
        for name, counts in self._fleet.items():
            counts[t] = getattr(view, name).sum(axis=1)
        for name, value in (
            ("time_s", view.time_s),
            ("request_rate", view.request_rate[0].sum(axis=2).astype(np.float32)),
            ("niw_backlog", view.niw_backlog),
            ("idle_vms", view.idle_vms.sum(axis=1)),
            ("spot_vms", view.spot_vms.sum(axis=(0, 2))),
            ("vms_by_type", sum(getattr(view, name).sum(axis=0) for name in BILLED)),
            ("refused", view.refused.sum()),
        ):
            self._lists.setdefault(name, []).append(value)
        self._steps += 1

    def arrays(self) -> Series:
        """Return everything noted so far."""
        arrays: Series = {name: np.array(values) for name, values in self._lists.items()}
        for name, values in (*self._endpoint.items(), *self._fleet.items()):
            arrays[name] = values[: self._steps]
        return arrays


def _sums(env: SageServeEnv) -> Series:
    """Return sums at the end: VM-seconds [E, G, 3], histograms and counts by (M, R, K)."""
    state = env.simulator.state
    count = state.count
    return {
        "vm_seconds": state.vm_seconds.copy(),
        "ttft_histogram": state.ttft.sum(axis=1),
        "e2e_histogram": state.e2e.sum(axis=1),
        "arrived": count["arrived"].copy(),
        "attained": count["attained"].copy(),
        "missed": count["missed"].copy(),
        "prompt_tokens": count["prompt_tokens"].copy(),
    }


def _peak(series: Series) -> int:
    """Return the most VMs at a decision time after the first hour.

    In that hour the fleet that every agent is given at the start gives way to its own.
    """
    vms = np.sum([series[name] for name in BILLED], axis=(0, 2))
    settled = vms[series["time_s"] >= SETTLED_S]
    return int((settled if len(settled) else vms).max())


def check_replay(stored: Row, replayed: Row, ignore: tuple[str, ...]) -> list[str]:
    """Return how a replayed row differs from the stored one; empty if it is the same.

    Columns that were added since the row was stored are not compared.
    """
    return [
        f"{name}: stored {value!r}, replayed {replayed.get(name)!r}"
        for name, value in stored.items()
        if name not in ignore and value != replayed.get(name)
    ]
