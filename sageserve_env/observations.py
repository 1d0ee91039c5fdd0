"""Observation modes: names, bounds, shapes and scaling of what the kernel in ``kernels`` fills.

Every entry is scaled by fixed constants of the scenario, never by running statistics, and clipped
to its bounds. Scales used below:

* count: instances over an equal share of the region's VMs of that type (inventory / number of
  models, at least 1), clipped to 4;
* ratio: x / (1 + x), so 0 to 1 and one half at x = 1;
* log N: log(1 + x) / log(1 + N), clipped to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.scenario import Scenario

OBSERVATION_MODES = ("flat", "endpoints")

Observation = NDArray[np.float32] | dict[str, NDArray[np.float32]]

COUNT_LIMIT = 4.0
WINDOWS = ("1min", "5min", "15min")


@dataclass(frozen=True)
class Feature:
    """One column of a block: its name, bounds and meaning."""

    name: str
    high: float
    meaning: str
    low: float = 0.0


#: Per endpoint and VM type.
PER_TYPE = (
    Feature("target", COUNT_LIMIT, "target in force; count"),
    Feature("active", COUNT_LIMIT, "instances that accept work; count"),
    Feature("pending", COUNT_LIMIT, "instances provisioning or loading; count"),
    Feature("ready_in", 1.0, "time to the next pending instance over the redeploy delay; ratio"),
    Feature("draining", COUNT_LIMIT, "instances draining; count"),
    Feature("unmet", COUNT_LIMIT, "instances asked for that found no VM; count"),
)
#: Per endpoint.
PER_ENDPOINT = (
    Feature("utilisation", 1.0, "the scenario's signal (load or kv); ratio"),
    Feature("kv_utilisation", 1.0, "reserved KV tokens over capacity"),
    Feature("queued_work", 1.0, "prompt tokens queued over theta of the active, s; log 3600"),
    Feature("queued_requests", 1.0, "requests waiting or in prefill; log 10000"),
    Feature("running", 1.0, "decoding sequences over the most that fit"),
    Feature("ttft_p95", 1.0, "p95 of TTFT over its objective, 5 min; ratio"),
    Feature("attainment", 1.0, "share of first tokens within the objective, 5 min"),
    Feature("niw_release", 1.0, "utilisation ceiling for non-interactive work in force"),
)
#: Per model and origin region, each over 1, 5 and 15 minutes.
PER_ORIGIN = (
    Feature("requests", 1.0, "interactive requests per second; log 100"),
    Feature("batch_requests", 1.0, "non-interactive requests per second; log 100"),
    Feature("load", COUNT_LIMIT, "interactive prompt tokens/s over theta of an equal share"),
    Feature("batch_load", COUNT_LIMIT, "non-interactive prompt tokens/s, likewise"),
    Feature("output", 1.0, "output tokens per second of completed requests; log 100000"),
)
#: Per model.
PER_MODEL = (
    Feature("niw_backlog", 1.0, "non-interactive requests held; log 100000"),
    Feature("niw_work", 1.0, "their prompt tokens over theta, instance-seconds; log 1000000"),
    Feature("niw_deadline", 1.0, "time to the earliest deadline over the objective", -1.0),
    Feature("global_queue", 1.0, "requests that no endpoint can take; log 10000"),
)
GLOBALS = (
    Feature("elapsed", 1.0, "share of the horizon that has passed"),
    Feature("day_sin", 1.0, "sine of the time of day (UTC)", -1.0),
    Feature("day_cos", 1.0, "cosine of the time of day", -1.0),
    Feature("week_sin", 1.0, "sine of the time of week", -1.0),
    Feature("week_cos", 1.0, "cosine of the time of week", -1.0),
)


@dataclass(frozen=True)
class Block:
    """A part of the flat observation that is an array of its own in ``endpoints`` mode."""

    name: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def _block(name: str, shape: tuple[int, ...], rows: list[str], columns: list[Feature]) -> Block:
    """Repeat ``columns`` for every one of ``rows``."""
    names = tuple(f"{row}.{c.name}" if row else c.name for row in rows for c in columns)
    low = np.array([c.low for _ in rows for c in columns], dtype=np.float32)
    high = np.array([c.high for _ in rows for c in columns], dtype=np.float32)
    return Block(name, shape, names, low, high)


def blocks(scenario: Scenario) -> tuple[Block, ...]:
    """Return the blocks of the flat observation, in order.

    * ``endpoints`` [E, 6 G + 8]: `PER_TYPE` for each VM type, then `PER_ENDPOINT`;
    * ``demand`` [M, R, 15]: `PER_ORIGIN`, each over 1, 5 and 15 minutes;
    * ``models`` [M, 4]: `PER_MODEL`;
    * ``regions`` [R, G (1 + M)]: share of the VMs that is idle, and spot with each model;
    * ``routing`` [M, R, R]: shares in force, or penalties over 2 s clipped to 1;
    * ``globals`` [5]: `GLOBALS`.
    """
    m, r, g = len(scenario.models), len(scenario.regions), len(scenario.gpus)
    endpoints = [e.name for e in scenario.endpoints]
    origins = [f"{a}/{b}" for a in scenario.models for b in scenario.region_names]
    routes = [f"{pair}->{d}" for pair in origins for d in scenario.region_names]
    per_type = [
        Feature(f"{f.name}[{gpu}]", f.high, f.meaning, f.low)
        for gpu in scenario.gpus
        for f in PER_TYPE
    ]
    per_origin = [Feature(f"{f.name}_{w}", f.high, f.meaning) for f in PER_ORIGIN for w in WINDOWS]
    holders = ["idle", *(f"spot:{model}" for model in scenario.models)]
    vms = [Feature(f"{h}[{gpu}]", 1.0, "share of VMs") for h in holders for gpu in scenario.gpus]
    per_endpoint = [*per_type, *PER_ENDPOINT]
    return (
        _block("endpoints", (len(endpoints), len(per_endpoint)), endpoints, per_endpoint),
        _block("demand", (m, r, len(per_origin)), origins, per_origin),
        _block("models", (m, len(PER_MODEL)), list(scenario.models), list(PER_MODEL)),
        _block("regions", (r, g * (1 + m)), list(scenario.region_names), vms),
        _block("routing", (m, r, r), routes, [Feature("routing", 1.0, "routing in force")]),
        _block("globals", (len(GLOBALS),), [""], list(GLOBALS)),
    )


class Layout:
    """Space, names and shape of an observation mode for a scenario.

    Attributes:
        blocks: Parts of the flat observation.
        names: Name of every entry of the flat observation.
        space: Observation space.
        size: Entries of the flat observation.
    """

    def __init__(self, scenario: Scenario, mode: str = "flat") -> None:
        if mode not in OBSERVATION_MODES:
            message = unknown_key_message(str(mode), list(OBSERVATION_MODES), "observation_mode")
            raise ValueError(message.replace("unknown key", "unknown value"))
        self.blocks = blocks(scenario)
        self.names = tuple(name for block in self.blocks for name in block.names)
        self.size = len(self.names)
        self.space: gym.Space[Any]
        self._slices: list[tuple[str, slice, tuple[int, ...]]] = []
        start = 0
        for block in self.blocks:
            self._slices.append((block.name, slice(start, start + len(block.names)), block.shape))
            start += len(block.names)
        self.present: Callable[[NDArray[np.float32]], Observation]
        if mode == "flat":
            low = np.concatenate([block.low for block in self.blocks])
            high = np.concatenate([block.high for block in self.blocks])
            self.space = gym.spaces.Box(low, high, dtype=np.float32)
            self.present = np.copy
        else:
            self.space = gym.spaces.Dict(
                {
                    b.name: gym.spaces.Box(
                        b.low.reshape(b.shape), b.high.reshape(b.shape), dtype=np.float32
                    )
                    for b in self.blocks
                }
            )
            self.present = self.split

    def split(self, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the blocks of flat observations [..., N] as arrays of their own, copied."""
        batch = flat.shape[:-1]
        return {n: flat[..., at].reshape(batch + shape).copy() for n, at, shape in self._slices}
