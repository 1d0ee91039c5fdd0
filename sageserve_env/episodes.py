"""Which requests an episode sees: from the ``trace`` keyword and a seed to a source and a start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.capacity import measure_theta
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.simulator import Snapshot
from sageserve_traces import (
    MODELS,
    REGIONS,
    TRAFFIC,
    TraceSource,
    make_trace,
    read_trace,
    repeat_first_minutes,
)

STARTS = ("fixed", "random")
TRAIN_SEEDS = 1000  # train seeds are 0-999 (DESIGN.md section 7)
_WEEK_S = 604_800.0
_GENERATED = (*TRAFFIC, "azure-2024-code-week")


class Episode(NamedTuple):
    """What one episode is given."""

    source: TraceSource
    offset_s: float  # where in the trace time 0 is
    horizon_s: float


@dataclass(frozen=True)
class EnvSnapshot:
    """A copy of everything that decides how an episode goes on; can be pickled."""

    simulator: Snapshot
    episode: Episode
    steps: int
    totals: list[float]
    total_reward: float
    random_state: dict[str, Any]


class EpisodeMaker:
    """Makes the episodes of one environment.

    A synthetic trace is generated from the seed; a file's requests are the same for every seed, but
    models, regions and tiers that it does not have are assigned by the seed; a `TraceSource` object
    is used as it is. With ``start="random"`` the episode begins at a seeded decision time of the
    trace (of a week, for ``o365``) from which the horizon still fits.

    Args:
        scenario: The cluster; ``scenario.workload`` names the default trace, its scale and bursts.
        trace: Name, path or source; None takes the scenario's.
        start: ``fixed`` or ``random``.

    Raises:
        ValueError: If the trace or the start cannot be used.
    """

    def __init__(
        self, scenario: Scenario, trace: str | Path | TraceSource | None, start: str = "fixed"
    ) -> None:
        if start not in STARTS:
            message = unknown_key_message(str(start), list(STARTS), "start")
            raise ValueError(message.replace("unknown key", "unknown value"))
        self.scenario = scenario
        self.trace = scenario.workload.trace if trace is None else trace
        if not isinstance(self.trace, (str, Path, TraceSource)):
            raise ValueError(
                f"trace: expected a name, a path or a TraceSource, got {type(trace).__name__}"
            )
        self.random_start = start == "random"
        self.generated = str(self.trace) in _GENERATED
        self._source(0)  # find out now whether the trace can be had, not at the first reset

    def theta(self) -> NDArray[np.float64]:
        """Measure sustained prompt tokens per second for the trace's token mix, [M, G]."""
        if str(self.trace) == self.scenario.workload.trace and self.trace in TRAFFIC:
            return measure_theta(self.scenario)
        source = self._source(0)
        rename = self.scenario.workload.rename_models
        names = [rename.get(n, n) for n in source.models]

        def mix(m: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            name = self.scenario.models[m]
            return source.token_mix(names.index(name) if name in names else 0)

        known = all(len(mix(m)[0]) for m in range(len(self.scenario.models)))
        return measure_theta(self.scenario, mix if known else None)

    def make(self, seed: int, rng: np.random.Generator) -> Episode:
        """Return the episode of a trace seed; ``rng`` draws a random start."""
        source = self._source(seed)
        horizon_s = self.scenario.horizon_s
        offset_s = 0.0
        if self.random_start:
            room_s = _WEEK_S if self.generated else source.duration_s - horizon_s
            step_s = self.scenario.decision_interval_s
            offset_s = step_s * float(rng.integers(0, max(0, int(room_s // step_s)) + 1))
        return Episode(source, offset_s, min(horizon_s, source.duration_s - offset_s))

    def _source(self, seed: int) -> TraceSource:
        if not isinstance(self.trace, (str, Path)):
            return self.trace
        workload, scenario = self.scenario.workload, self.scenario
        name = str(self.trace)
        names: dict[str, Any] = {}
        length_s: float | None = None
        if name in _GENERATED:
            length_s = scenario.horizon_s + (_WEEK_S if self.random_start else 0.0)
        else:  # what the file does not say is drawn from what the scenario has
            assumed = read_trace(name)[1].assumed
            if "model" in assumed and scenario.models != MODELS:
                names["models"] = scenario.models
            if "region" in assumed and scenario.region_names != REGIONS:
                names["regions"] = scenario.region_names
        scale = workload.scale if name == workload.trace else 1.0
        source = make_trace(name, seed=seed, horizon_s=length_s, scale=scale, **names)
        if workload.bursts:
            source = repeat_first_minutes(source, copies=workload.bursts, seed=seed)
        return source
