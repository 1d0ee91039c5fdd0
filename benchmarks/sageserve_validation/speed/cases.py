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
from typing import Any

import numpy as np

from sageserve_bench.errors import UserError
from sageserve_env.capacity import measure_theta
from sageserve_env.scenario import load_scenario
from sageserve_traces import RequestTrace
from sageserve_validation.speed.engine import FULL, HOUR_S, SEED, Figures, SpeedOptions

DAY = "o365-day"
QUICK_S = 2 * HOUR_S
REPEATS = 3


_FULL_DAY = """
import json, resource, sys, time
from sageserve_bench.runs.episode import run_episode
from sageserve_bench.runs.tasks import Task
from sageserve_env.workload import TraceSpec
from sageserve_env.scenario import load_scenario
horizon_s = float(sys.argv[1])
warm = Task("reactive", load_scenario("trap-base").replace(horizon_s=600.0), TraceSpec(), 0)
run_episode(warm)
scenario = load_scenario("o365-full-day").replace(horizon_s=horizon_s)
began = time.perf_counter()
row = run_episode(Task("reactive", scenario, TraceSpec(), 2000)).row
print(json.dumps({
    "full_day_reactive_s": (time.perf_counter() - began) * 1e7 / row["requests"],
    "full_day_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "full_day_requests": row["requests"],
}))
"""


def full_day(options: SpeedOptions) -> Figures:
    """Measure the full day under `reactive` in a new process: wall s per 10M requests, memory."""
    horizon_s = QUICK_S if options.quick else load_scenario(FULL).horizon_s
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


def env_steps(options: SpeedOptions) -> Figures:
    """Measure steps per second of ``SageServe-Paper-v1``, its own fleet and random actions."""
    import gymnasium as gym

    import sageserve_env  # noqa: F401 - registers the ids

    env = gym.make("SageServe-Paper-v1")
    count = 200 if options.quick else 1440
    zero = np.zeros_like(env.action_space.sample())
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(count)]

    def times(actions: list[Any]) -> tuple[float, float]:
        """Return wall and processor seconds of this thread, the best of a few passes each."""
        wall_s = cpu_s = float("inf")
        for _ in range(1 if options.quick else REPEATS):
            env.reset(seed=SEED)
            began, cpu_began = time.perf_counter(), time.thread_time()
            for action in actions:
                env.step(action)
            wall_s = min(wall_s, time.perf_counter() - began)
            cpu_s = min(cpu_s, time.thread_time() - cpu_began)
        return wall_s, cpu_s

    env.reset(seed=SEED)
    env.step(zero)
    still, moving = times([zero] * count), times(drawn)
    figures = {
        "env_steps_per_s": count / still[0],
        "env_steps_per_cpu_s": count / still[1],
        "env_steps_per_s_random_actions": count / moving[0],
    }
    env.close()
    return figures


def step_overhead(options: SpeedOptions) -> Figures:
    """Measure a step of ``SageServe-Paper-v1`` without traffic: the fastest of several passes."""
    import gymnasium as gym

    import sageserve_env  # noqa: F401 - registers the ids

    day_s = load_scenario(DAY).horizon_s
    last = np.array([day_s - 1.0])
    one = np.zeros(1, dtype=np.int16)
    tokens = np.ones(1, dtype=np.int32)
    trace = RequestTrace(last, one, one, one, tokens, tokens, duration_s=day_s)
    env: Any = gym.make("SageServe-Paper-v1", trace=trace).unwrapped
    zero = np.zeros_like(env.action_space.sample())
    count = 1000
    best = float("inf")
    for _ in range(2 if options.quick else 5):
        env.reset(seed=SEED)
        env.step(zero)
        began = time.perf_counter()
        for _ in range(count):
            env.step(zero)
        best = min(best, (time.perf_counter() - began) / count)
    env.close()
    return {"step_overhead_us": 1e6 * best}


def vector(options: SpeedOptions) -> Figures:
    """Measure eight environments (as PPO often has) with two threads over one thread."""
    from sageserve_env.vector_env import SageServeVectorEnv

    envs, steps = 8, 50 if options.quick else 300

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
    times = {n: min(seconds(n) for _ in range(1 if options.quick else REPEATS)) for n in (1, 2)}
    return {"vector_speedup_2_threads": times[1] / times[2]}


def ilp_small(options: SpeedOptions) -> Figures:
    """Measure the plan of 3 regions x 4 models."""
    from sageserve_agents.planner.bench import solve_small

    return {"ilp_small_s": solve_small()}


def ilp_large(options: SpeedOptions) -> Figures:
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
env = gymnasium.make("SageServe-Paper-v1")
env.reset(seed=2000)
env.action_space.seed(0)
env.step(env.action_space.sample())
print(json.dumps({"cold_first_step_s": time.perf_counter() - began}))
"""


def import_time(options: SpeedOptions) -> Figures:
    """Measure ``import sageserve_env`` in new processes, the fastest of a few."""
    times = [_in_new_process(_IMPORT)["import_s"] for _ in range(2 if options.quick else 5)]
    return {"import_s": min(times)}


def cold_first_step(options: SpeedOptions) -> Figures:
    """Measure import, make, reset and one step by one who has never run the package."""
    measure_theta(load_scenario(DAY))
    with tempfile.TemporaryDirectory() as cache:
        return _in_new_process(_FIRST_STEP, NUMBA_CACHE_DIR=cache)


def compiling(options: SpeedOptions) -> Figures:
    """Measure the same where the code that came with the package is left aside."""
    measure_theta(load_scenario(DAY))
    with tempfile.TemporaryDirectory() as cache:
        figures = _in_new_process(_FIRST_STEP, NUMBA_CACHE_DIR=cache, SAGESERVE_NATIVE="1")
    return {"native_first_step_s": figures["cold_first_step_s"]}
