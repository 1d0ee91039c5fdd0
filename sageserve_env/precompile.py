"""``python -m sageserve_env.precompile``: compile the kernels once, for every first run to come.

Fills `sageserve_traces.compiled.COMMON` with code for a common instruction set, in a minute.
Run it after installing (``make`` does) or before building a wheel, which then contains the code.
Where the processor lacks these instructions, or the folder cannot be written, it says so and the
first run compiles for itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# What a first session calls: environments of every kind of action, decisions of agents and what
# networks observe, a simulator by itself.
_TOUR = """
import gymnasium as gym, numpy as np
import sageserve_env
from sageserve_env.actions import ClusterAction
from sageserve_env.capacity import measure_theta
from sageserve_env.observe import Observer
from sageserve_env.registration import IDS
from sageserve_env.scenario import load_scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces import make_trace
kinds = {}
for env_id, keywords in IDS.items():
    kinds.setdefault(str({k: v for k, v in keywords.items() if k != "scenario"}), env_id)
for env_id in kinds.values():
    env = gym.make(env_id)
    env.reset(seed=0)
    for _ in range(2):
        env.step(env.action_space.sample())
    core = env.unwrapped
    view = core.view()
    held = np.zeros(len(core.scenario.endpoints))
    core.step_cluster(ClusterAction(view.target, niw_release=held))
    Observer(core.scenario, view.theta).observation(view)
    env.close()
scenario = load_scenario("trap-base").replace(horizon_s=600.0)
simulator = Simulator(scenario, measure_theta(scenario), records=True)
simulator.reset(make_trace(scenario.workload.trace, seed=0, horizon_s=600.0), 0)
simulator.advance(600.0)
simulator.view(), simulator.totals(), simulator.unfinished(), simulator.episode_metrics()
"""


def precompile() -> str:
    """Fill the folder of common code anew.

    Returns:
        What was done, or why nothing was.
    """
    from sageserve_traces import compiled

    if not compiled.runs_common_code():
        return f"this processor does not run {compiled.CPU} code: the first run will compile"
    shutil.rmtree(compiled.COMMON, ignore_errors=True)
    try:
        compiled.COMMON.mkdir()
    except OSError as error:
        return f"{compiled.COMMON} cannot be written ({error.strerror}): the first run will compile"
    target = {
        "SAGESERVE_FILL_COMMON": "1",
        "NUMBA_CPU_NAME": compiled.CPU,
        "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in compiled.FEATURES),
    }
    done = subprocess.run(
        [sys.executable, "-c", _TOUR],
        env={**os.environ, **target},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(compiled.COMMON, ignore_errors=True)
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return f"compiling failed ({last[0]}): the first run will compile"
    size = sum(path.stat().st_size for path in compiled.COMMON.iterdir())
    return f"kernels for {compiled.CPU} in {compiled.COMMON} ({size / 1e6:.1f} MB)"


if __name__ == "__main__":
    print(precompile())
