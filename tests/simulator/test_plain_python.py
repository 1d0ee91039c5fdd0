"""The kernels without Numba give the same bits as the compiled ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sageserve_env.actions import ClusterAction
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator
from tests.simulator.strategies import fingerprint, random_trace
from tests.simulator.test_future import everything, views

BATCHING = (
    {"mode": "mixed"},
    {"mode": "mixed", "kv_policy": "growth", "discipline": "edf", "mixed_prefill_factor": 1.1},
    {"mode": "prefill_first", "discipline": "pf", "balancer": "power_of_two"},
    {"mode": "whole_prompt", "reserve_output_at_decode": True, "balancer": "least_kv"},
)
_PRINT = """
from tests.simulator.test_plain_python import hashes
print("\\n".join(hashes()))
"""


def _one_instance(batching: dict[str, object]) -> Simulator:
    """One busy instance, KV short."""
    small = scenario(kv_tokens=1200, batching={"max_output_tokens": 100, **batching})
    rows = [(0.2 * i, 40 + 37 * i % 600, 1 + 13 * i % 60) for i in range(25)]
    sim = simulator(small, rows)
    sim.advance(200.0)
    return sim


def _cluster(batching: dict[str, object]) -> Simulator:
    """Two regions with faults, jitter, scaling and all tiers."""
    faulty = scenario(
        vms=3,
        regions=("west", "east"),
        round_trip_s=0.05,
        batching=batching,
        lifecycle={"jitter": 0.2, "redeploy_s": 9.0},
        routing={"router": "threshold"},
        faults={
            "crash_per_hour": 100.0,
            "provision_failure": 0.3,
            "eviction_per_hour": 100.0,
            "slow_share": 0.3,
            "outage_region": "east",
            "outage_start_s": 12.0,
            "outage_duration_s": 9.0,
            "stale_metrics_s": 3.0,
        },
    )
    rng = np.random.default_rng(0)
    sim = Simulator(faulty, np.full((1, 1), 800.0), records=True)
    sim.reset(random_trace(faulty, 40, rng), 3)
    for _ in range(8):
        sim.apply(ClusterAction(rng.integers(0, 4, (2, 1))))
        sim.advance(sim.time_s + 10.0)
    sim.check_invariants()
    return sim


def _promises() -> Simulator:
    """Promises, fading labels, residents, admission and regions known by pictures."""
    of = everything()
    sim = Simulator(of, np.full((1, 1), 1000.0), records=True)
    sim.reset(random_trace(of, 60, np.random.default_rng(2)), 5)
    views(sim, 25.0)
    return sim


def hashes() -> list[str]:
    """Return a hash of the whole state after each case."""
    found = []
    for batching in BATCHING:
        for make in (_one_instance, _cluster):
            digest = hashlib.sha256()
            for name, data in sorted(fingerprint(make(batching)).items()):
                digest.update(name.encode() + data)
            found.append(digest.hexdigest())
    digest = hashlib.sha256()
    for name, data in sorted(fingerprint(_promises()).items()):
        digest.update(name.encode() + data)
    return [*found, digest.hexdigest()]


def test_interpreted_and_compiled_runs_agree_to_the_last_bit(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT],
        cwd=repository,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == hashes()
    assert len(set(done.stdout.split())) == 2 * len(BATCHING) + 1  # the cases do differ


def test_the_micro_cases_hold_in_plain_python(repository: Path) -> None:
    """The hand-worked cases of batching and fleet, interpreted; without those of many hours."""
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
            "tests/simulator/test_batching.py",
            "tests/simulator/test_fleet.py",
            *("-k", "not niw"),
        ],
        cwd=repository,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
