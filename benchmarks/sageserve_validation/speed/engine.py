"""The engine by itself: requests per second of processor time, against a bare event loop.

A static fleet serves an hour of the full day that lies in memory, so that neither the making of the
trace nor decisions count. Runs of the engine and of the yardstick alternate and the best of each is
kept: other work on the machine only ever adds time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sageserve_bench.errors import UserError
from sageserve_env.capacity import measure_theta
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces import RequestTrace, TraceSource, make_trace
from sageserve_traces.transforms import concatenate, tile

FULL = "o365-full-day"
SESSIONS = "sessions-day"
SESSIONS_SCALE = 37.0  # ten million requests a day
SEED = 2000
HOUR_S = 3600.0
REPEATS = 5
#: Figure's ending -> hour (UTC) at which the hour of traffic starts.
HOURS = {"": 17.0, "_night": 4.0}
#: A feature -> what switches it on; each is measured as time per request on over off. Nothing is
#: shared in this trace: prefix caches cost their books only.
FEATURES: dict[str, dict[str, Any]] = {
    "prefix": {"batching": {"prefix_cache": "lru"}},
    "growth": {"batching": {"kv_policy": "growth"}},
    "faults": {"faults": {"crash_per_hour": 0.01, "slow_share": 0.05}},
    "records": {},
}
Figures = dict[str, float]


@dataclass(frozen=True)
class SpeedOptions:
    """How to measure.

    Attributes:
        quick: Shorter runs, for a first look; not for publication.
        yardstick: A script that prints requests per processor second, called with the number of
            runs to take the best of; None for `sageserve_validation.speed.yardstick`.
    """

    quick: bool = False
    yardstick: Path | None = None


class TimedSource:
    """A trace that knows how long its requests took to make.

    Args:
        source: The trace.
    """

    def __init__(self, source: TraceSource) -> None:
        self.source = source
        self.seconds = 0.0
        self.cpu_s = 0.0
        self.requests = 0

    def __getattr__(self, name: str) -> Any:
        """Return everything else of the trace."""
        return getattr(self.source, name)

    def chunks(self, start_s: float = 0.0) -> Iterator[RequestTrace]:
        """Yield the trace's chunks."""
        stream = self.source.chunks(start_s)
        while True:
            began, cpu_began = time.perf_counter(), time.process_time()
            chunk = next(stream, None)
            self.seconds += time.perf_counter() - began
            self.cpu_s += time.process_time() - cpu_began
            if chunk is None:
                return
            self.requests += len(chunk)
            yield chunk


@dataclass(frozen=True)
class EngineRun:
    """Seconds of a static fleet serving a trace: in the simulator, and to make the trace.

    ``engine_cpu_s`` is processor time, which other work on the machine disturbs less. ``sound``
    says whether the simulator's invariants held at the end, where that was checked.
    """

    requests: int
    events: int
    engine_s: float
    engine_cpu_s: float
    trace_s: float
    sound: bool | None = None


def engine_run(
    scenario: Scenario, scale: float, horizon_s: float, *, check: bool = False
) -> EngineRun:
    """Serve the scenario's workload with its initial fleet and look at the time it took."""
    name = scenario.workload.trace
    trace = make_trace(name, seed=SEED, horizon_s=horizon_s, scale=scale)
    return serve(scenario, trace, horizon_s, check=check)


def serve(
    scenario: Scenario,
    source: TraceSource,
    horizon_s: float,
    *,
    check: bool = False,
    records: bool = False,
) -> EngineRun:
    """Serve a trace with the scenario's initial fleet and look at the time it took.

    With ``check`` the simulator's invariants are checked at the end, outside that time.
    """
    scenario = scenario.replace(horizon_s=horizon_s)
    trace = TimedSource(source)
    simulator = Simulator(scenario, measure_theta(scenario), records=records)
    simulator.read_ahead = False  # the trace is timed by itself
    simulator.reset(trace, SEED)
    passed, cpu_s, step_s = 0.0, 0.0, scenario.decision_interval_s
    for step in range(1, round(horizon_s / step_s) + 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        simulator.advance(step * step_s)
        passed += time.perf_counter() - began
        cpu_s += time.process_time() - cpu_began
    clock = simulator.state.clock[0]
    sound = _sound(simulator) if check else None
    return EngineRun(
        int(clock["arrived"]),
        int(clock["events"]),
        passed - trace.seconds,
        cpu_s - trace.cpu_s,
        trace.seconds,
        sound,
    )


def _sound(simulator: Simulator) -> bool:
    try:
        simulator.check_invariants()
    except AssertionError:
        return False
    return True


def warm() -> None:
    """Compile, or load from the cache, everything that a run of the simulator needs."""
    engine_run(load_scenario("trap-base"), 0.1, 600.0)


def _hour(scenario: Scenario, start_hour: float, span_s: float) -> RequestTrace:
    scale = scenario.workload.scale
    trace = make_trace("o365", seed=SEED, scale=scale, horizon_s=span_s, start_hour_utc=start_hour)
    return concatenate(trace)


def _yardstick(options: SpeedOptions) -> float:
    """Return the requests per processor second of one run of the yardstick."""
    if options.yardstick is None:
        from sageserve_validation.speed.yardstick import REQUESTS, run

        return float(run(REQUESTS // 10 if options.quick else REQUESTS)["requests_per_cpu_s"])
    done = subprocess.run(
        [sys.executable, str(options.yardstick), "1"], capture_output=True, text=True, check=False
    )
    try:
        return float(done.stdout.split()[-1])
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or ["it printed no number"]
        raise UserError(f"--yardstick {options.yardstick}: {last[0]}") from None


def engine(options: SpeedOptions) -> Figures:
    """Measure a busy hour and a night hour of the full day, and the yardstick between them."""
    warm()
    scenario = load_scenario(FULL)
    span_s = 300.0 if options.quick else HOUR_S
    hours = {name: _hour(scenario, start, span_s) for name, start in HOURS.items()}
    _yardstick(SpeedOptions(quick=True, yardstick=options.yardstick))
    yardstick, runs = 0.0, dict[str, EngineRun]()
    for _ in range(2 if options.quick else REPEATS):
        yardstick = max(yardstick, _yardstick(options))
        for name, trace in hours.items():
            run = serve(scenario, trace, span_s)
            runs[name] = min(run, runs.get(name, run), key=per_request)
    figures = {"yardstick_requests_per_cpu_s": yardstick}
    for name, run in runs.items():
        rate = run.requests / run.engine_cpu_s
        figures |= {
            f"engine_requests_per_cpu_s{name}": rate,
            f"engine_over_yardstick{name}": rate / yardstick,
            f"events_per_request{name}": run.events / run.requests,
            f"ns_per_event{name}": 1e9 * run.engine_cpu_s / run.events,
        }
    return figures


def features(options: SpeedOptions) -> Figures:
    """Measure the processor time per request with a feature on over that with it off."""
    warm()
    scenario = load_scenario(FULL)
    span_s = 300.0 if options.quick else HOUR_S / 2
    trace = _hour(scenario, HOURS[""], span_s)
    best: dict[str, float] = {}
    for _ in range(2 if options.quick else REPEATS):
        for name, changes in {"off": {}, **FEATURES}.items():
            run = serve(scenario.replace(**changes), trace, span_s, records=name == "records")
            best[name] = min(best.get(name, np.inf), per_request(run))
    return {f"{name}_on_over_off": best[name] / best["off"] for name in FEATURES}


def prefix(options: SpeedOptions) -> Figures:
    """Measure a busy hour of `sessions-day` at ten million requests a day, sessions closed.

    A static fleet of 60 instances of each model in each region, under the scenario's router.
    """
    span_s = 300.0 if options.quick else HOUR_S
    base = load_scenario(SESSIONS)
    scenario = base.replace(
        regions=[{"name": r.name, "vms": {"h100x2": 120}} for r in base.regions],
        initial_instances=60,
        gpus=["h100x2"],
        horizon_s=span_s,
    )
    trace = make_trace(
        base.workload.trace,
        seed=SEED,
        scale=SESSIONS_SCALE,
        horizon_s=span_s,
        start_hour_utc=HOURS[""],
        history_days=1.0,
    )
    theta = np.full((len(scenario.models), 1), 50_000.0)  # of the size that a probe gives
    best = 0.0
    for _ in range(2 if options.quick else REPEATS):
        simulator = Simulator(scenario, theta)
        simulator.reset(trace, SEED)
        began = time.process_time()
        simulator.advance(span_s)
        spent_s = time.process_time() - began
        best = max(best, int(simulator.state.clock[0]["arrived"]) / spent_s)
    return {
        "prefix_requests_per_cpu_s": best,
        "prefix_speed_hit_rate": float(simulator.episode_metrics()["prefix_hit_rate"]),
    }


def full_size(options: SpeedOptions) -> Figures:
    """Measure the whole day once, its trace made meanwhile, and check the state at its end.

    ``full_day_invariants`` is 1 when all invariants held after the last request.
    """
    warm()
    scenario = load_scenario(FULL)
    horizon_s = 2 * HOUR_S if options.quick else scenario.horizon_s
    run = engine_run(scenario, scenario.workload.scale, horizon_s, check=True)
    return {
        "engine_requests_per_s": run.requests / run.engine_s,
        "trace_requests_per_s": run.requests / run.trace_s,
        "engine_requests": float(run.requests),
        "full_day_invariants": float(run.sound is True),
    }


def per_request(run: EngineRun) -> float:
    """Return the processor time per request in seconds."""
    return run.engine_cpu_s / run.requests


def scaling(options: SpeedOptions) -> Figures:
    """Measure the processor time of 10x the requests over 1x.

    ``scaling_ratio_10x``: the full cluster on a busy hour, and on that hour ten times in a row, so
    that only the number of requests differs. ``scaling_ratio_10x_cluster``: over the same hours a
    cluster and a rate of a tenth against the whole, normalised to 10x the requests; what grows
    there beyond 10 is the larger state, which no longer fits the processor's caches.
    """
    warm()
    scenario = load_scenario(FULL)
    scale, span_s = scenario.workload.scale, 600.0 if options.quick else HOUR_S
    busy = make_trace("o365", seed=SEED, scale=scale, horizon_s=span_s, start_hour_utc=17.0)
    hour = concatenate(busy)
    once = _best_of(scenario, hour, span_s)
    tenfold = _best_of(scenario, tile(hour, 10 * span_s), 10 * span_s)
    small = _best(_tenth(scenario), scale / 10, span_s)
    large = _best(scenario, scale, span_s)
    return {
        "scaling_ratio_10x": 10 * per_request(tenfold) / per_request(once),
        "scaling_ratio_10x_cluster": 10 * per_request(large) / per_request(small),
    }


def _tenth(scenario: Scenario) -> Scenario:
    regions = [
        {"name": region.name, "vms": {gpu: n // 10 for gpu, n in region.vms.items()}}
        for region in scenario.regions
    ]
    return scenario.replace(regions=regions, initial_instances=scenario.initial_instances // 10)


def _best(scenario: Scenario, scale: float, horizon_s: float) -> EngineRun:
    runs = [engine_run(scenario, scale, horizon_s) for _ in range(REPEATS)]
    return min(runs, key=per_request)


def _best_of(scenario: Scenario, trace: TraceSource, horizon_s: float) -> EngineRun:
    runs = [serve(scenario, trace, horizon_s) for _ in range(REPEATS)]
    return min(runs, key=per_request)
