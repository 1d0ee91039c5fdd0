"""Golden hashes of the dynamics per id: ``python -m tests.env.golden`` writes them anew.

A change of a hash means other dynamics, so a new version of the id. Only integers are hashed
(arrivals, outcomes, fleet, events), which do not depend on the last bit of a platform's logarithm.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from tests.env.common import IDS, make

FILE = Path(__file__).with_name("golden.json")
STEPS = 12
#: What an id differs by may come late: other intervals and numbers of steps.
LATE: dict[str, tuple[float, int]] = {
    "SageServe-Outage-v1": (3600.0, 14),  # an outage from hour 12 to 13
    "SageServe-Week-v1": (43_200.0, 3),  # a second day
}
COUNTS = ("arrived", "completed", "attained", "missed", "prompt_tokens", "output_tokens")
EVENTS = ("arrived", "completed", "admissions", "scale_outs", "scale_ins", "unmet_events")


def golden_hash(env_id: str) -> str:
    """Return the hash of an episode's beginning under random actions."""
    interval_s, steps = LATE.get(env_id, (60.0, STEPS))
    env = make(env_id, decision_interval_s=interval_s)
    env.reset(seed=0)
    env.action_space.seed(0)
    digest = hashlib.sha256()
    for _ in range(steps):
        env.step(env.action_space.sample())
        state = env.simulator.state
        for name in COUNTS:
            digest.update(np.ascontiguousarray(state.count[name]).astype(np.int64).tobytes())
        for array in (state.target, state.active, state.pending, state.draining, state.unmet):
            digest.update(array.tobytes())
        for name in EVENTS:
            digest.update(int(state.clock[0][name]).to_bytes(8, "little"))
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    FILE.write_text(json.dumps({i: golden_hash(i) for i in IDS}, indent=2) + "\n", "utf-8")
