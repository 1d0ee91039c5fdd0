"""The measurements behind `sageserve speed`, one function each.

Every case is run on its own. Compilation and file caches are warm, except where coldness is what
is measured. Times are of this process and one core unless the name says otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sageserve_bench.errors import UserError
from sageserve_env.capacity import measure_theta
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces import RequestTrace, TraceSource, make_trace
from sageserve_traces.transforms import concatenate, tile

FULL, DAY = "o365-full-day", "o365-day"
SEED = 2000
HOUR_S = 3600.0
QUICK_S = 2 * HOUR_S
REPEATS = 3
Figures = dict[str, float]


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
    scenario: Scenario, source: TraceSource, horizon_s: float, *, check: bool = False
) -> EngineRun:
    """Serve a trace with the scenario's initial fleet and look at the time it took.

    With ``check`` the simulator's invariants are checked at the end, outside that time.
    """
    scenario = scenario.replace(horizon_s=horizon_s)
    trace = TimedSource(source)
    simulator = Simulator(scenario, measure_theta(scenario))
    simulator.reset(trace, SEED)
    passed, cpu_s, step_s = 0.0, 0.0, scenario.decision_interval_s
    for step in range(1, round(horizon_s / step_s) + 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        simulator.advance(step * step_s)
        passed += time.perf_counter() - began
        cpu_s += time.process_time() - cpu_began
    arrived = int(simulator.state.clock[0]["arrived"])
    sound = _sound(simulator) if check else None
    return EngineRun(arrived, passed - trace.seconds, cpu_s - trace.cpu_s, trace.seconds, sound)


def _sound(simulator: Simulator) -> bool:
    try:
        simulator.check_invariants()
    except AssertionError:
        return False
    return True


def _warm() -> None:
    """Compile, or load from the cache, everything that a run of the simulator needs."""
    engine_run(load_scenario("tiny"), 0.1, 600.0)


def engine(quick: bool) -> Figures:
    """Measure requests per second of the simulator and of the trace generator.

    ``full_day_invariants`` is 1 when all invariants held after the last request.
    """
    _warm()
    scenario = load_scenario(FULL)
    horizon_s = QUICK_S if quick else scenario.horizon_s
    run = engine_run(scenario, scenario.workload.scale, horizon_s, check=True)
    return {
        "engine_requests_per_s": run.requests / run.engine_s,
        "engine_requests_per_cpu_s": run.requests / run.engine_cpu_s,
        "trace_requests_per_s": run.requests / run.trace_s,
        "engine_requests": float(run.requests),
        "full_day_invariants": float(run.sound is True),
    }


def scaling(quick: bool) -> Figures:
    """Measure the processor time of 10x the requests over 1x.

    ``scaling_ratio_10x``: the full cluster on a busy hour, and on that hour ten times in a row, so
    that only the number of requests differs. ``scaling_ratio_10x_cluster``: over the same hours a
    cluster and a rate of a tenth against the whole, normalised to 10x the requests; what grows
    there beyond 10 is the larger state, which no longer fits the processor's caches.
    """
    _warm()
    scenario = load_scenario(FULL)
    scale, span_s = scenario.workload.scale, 600.0 if quick else HOUR_S
    busy = make_trace("o365", seed=SEED, scale=scale, horizon_s=span_s, start_hour_utc=17.0)
    hour = concatenate(busy)
    once = _best_of(scenario, hour, span_s)
    tenfold = _best_of(scenario, tile(hour, 10 * span_s), 10 * span_s)
    small = _best(_tenth(scenario), scale / 10, span_s)
    large = _best(scenario, scale, span_s)
    return {
        "scaling_ratio_10x": 10 * _per_request(tenfold) / _per_request(once),
        "scaling_ratio_10x_cluster": 10 * _per_request(large) / _per_request(small),
    }


def _tenth(scenario: Scenario) -> Scenario:
    regions = [
        {"name": region.name, "vms": {gpu: n // 10 for gpu, n in region.vms.items()}}
        for region in scenario.regions
    ]
    return scenario.replace(regions=regions, initial_instances=scenario.initial_instances // 10)


def _best(scenario: Scenario, scale: float, horizon_s: float) -> EngineRun:
    runs = [engine_run(scenario, scale, horizon_s) for _ in range(REPEATS)]
    return min(runs, key=_per_request)


def _best_of(scenario: Scenario, trace: TraceSource, horizon_s: float) -> EngineRun:
    runs = [serve(scenario, trace, horizon_s) for _ in range(REPEATS)]
    return min(runs, key=_per_request)


def _per_request(run: EngineRun) -> float:
    return run.engine_cpu_s / run.requests


_FULL_DAY = """
import json, resource, sys, time
from sageserve_bench.episode import run_episode
from sageserve_bench.tasks import Task
from sageserve_bench.workload import TraceSpec
from sageserve_env.scenario import load_scenario
horizon_s = float(sys.argv[1])
warm = Task("reactive", load_scenario("tiny").replace(horizon_s=600.0), TraceSpec(), 0)
run_episode(warm)
scenario = load_scenario("o365-full-day").replace(horizon_s=horizon_s)
began = time.perf_counter()
row = run_episode(Task("reactive", scenario, TraceSpec(), 2000)).row
print(json.dumps({
    "full_day_reactive_s": time.perf_counter() - began,
    "full_day_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "full_day_requests": row["requests"],
}))
"""


def full_day(quick: bool) -> Figures:
    """Measure wall time and peak memory of the full day under `reactive`, in a new process."""
    horizon_s = QUICK_S if quick else load_scenario(FULL).horizon_s
    measure_theta(load_scenario(FULL))
    return _in_new_process(_FULL_DAY, str(horizon_s))


def _in_new_process(script: str, *words: str, **variables: str) -> Figures:
    process = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"a measurement failed: {last[0]}")
    figures = json.loads(process.stdout.strip().splitlines()[-1])
    return {name: float(value) for name, value in figures.items()}


def env_steps(quick: bool) -> Figures:
    """Measure steps per second of ``SageServe-v0`` with its own fleet, and with random actions."""
    import gymnasium as gym

    import sageserve_env  # noqa: F401 - registers the ids

    env = gym.make("SageServe-v0")
    count = 200 if quick else 1440
    zero = np.zeros_like(env.action_space.sample())
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(count)]

    def rate(actions: list[Any]) -> float:
        env.reset(seed=SEED)
        env.step(zero)
        env.reset(seed=SEED)
        began = time.perf_counter()
        for action in actions:
            env.step(action)
        return len(actions) / (time.perf_counter() - began)

    figures = {
        "env_steps_per_s": rate([zero] * count),
        "env_steps_per_s_random_actions": rate(drawn),
    }
    env.close()
    return figures


def step_overhead(quick: bool) -> Figures:
    """Measure a step of ``SageServe-v0`` without traffic: the fastest of several passes."""
    import gymnasium as gym

    import sageserve_env  # noqa: F401 - registers the ids

    day_s = load_scenario(DAY).horizon_s
    last = np.array([day_s - 1.0])
    one = np.zeros(1, dtype=np.int16)
    tokens = np.ones(1, dtype=np.int32)
    trace = RequestTrace(last, one, one, one, tokens, tokens, duration_s=day_s)
    env: Any = gym.make("SageServe-v0", trace=trace).unwrapped
    zero = np.zeros_like(env.action_space.sample())
    count = 1000
    best = float("inf")
    for _ in range(2 if quick else 5):
        env.reset(seed=SEED)
        env.step(zero)
        began = time.perf_counter()
        for _ in range(count):
            env.step(zero)
        best = min(best, (time.perf_counter() - began) / count)
    env.close()
    return {"step_overhead_us": 1e6 * best}


def vector(quick: bool) -> Figures:
    """Measure eight environments (as PPO often has) with two threads over one thread."""
    from sageserve_env.vector_env import SageServeVectorEnv

    envs, steps = 8, 50 if quick else 300

    def seconds(threads: int) -> float:
        env = SageServeVectorEnv(num_envs=envs, threads=threads, scenario=DAY)
        zero = np.zeros_like(env.action_space.sample())
        env.reset(seed=SEED)
        env.step(zero)
        began = time.perf_counter()
        for _ in range(steps):
            env.step(zero)
        passed = time.perf_counter() - began
        env.close()
        return passed

    seconds(2)
    times = {n: min(seconds(n) for _ in range(1 if quick else REPEATS)) for n in (1, 2)}
    return {"vector_speedup_2_threads": times[1] / times[2]}


def ilp_small(quick: bool) -> Figures:
    """Measure the plan of 3 regions x 4 models."""
    from sageserve_agents.planner.bench import solve_small

    return {"ilp_small_s": solve_small()}


def ilp_large(quick: bool) -> Figures:
    """Measure the plan of 50 regions x 100 models x 3 VM types."""
    from sageserve_agents.planner.bench import solve_large

    return {"ilp_large_s": solve_large()}


_IMPORT = """
import json, time
began = time.perf_counter()
import sageserve_env
print(json.dumps({"import_s": time.perf_counter() - began}))
"""

_FIRST_STEP = """
import json, time
began = time.perf_counter()
import gymnasium, sageserve_env
env = gymnasium.make("SageServe-v0")
env.reset(seed=2000)
env.action_space.seed(0)
env.step(env.action_space.sample())
print(json.dumps({"cold_first_step_s": time.perf_counter() - began}))
"""


def import_time(quick: bool) -> Figures:
    """Measure ``import sageserve_env`` in new processes, the fastest of a few."""
    times = [_in_new_process(_IMPORT)["import_s"] for _ in range(2 if quick else 5)]
    return {"import_s": min(times)}


def cold_first_step(quick: bool) -> Figures:
    """Measure import, make, reset and one step with an empty cache of compiled code."""
    measure_theta(load_scenario(DAY))
    with tempfile.TemporaryDirectory() as cache:
        return _in_new_process(_FIRST_STEP, NUMBA_CACHE_DIR=cache)
