"""Which traffic residual agents are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TRAIN_SEEDS

_SCALES = (0.7, 1.0, 1.0, 1.3, 1.6)  # (A) rates that a randomised episode may have
VARIATIONS = ("none", "scale", "start", "mix", "burst", "outage")


@dataclass(frozen=True)
class Randomisation:
    """How training traffic departs from the scenario's.

    Attributes:
        share: Share of the episodes that are varied; the others are plain.
        kinds: Which of `VARIATIONS` a varied episode is drawn from.
    """

    share: float = 0.3
    kinds: tuple[str, ...] = ("scale", "start", "mix", "burst", "outage")

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"randomise_share must be in [0, 1], got {self.share}")
        for kind in self.kinds:
            if kind not in VARIATIONS:
                raise ValueError(f"unknown variation {kind!r}; use {', '.join(VARIATIONS)}")


def varied(scenario: Scenario, kind: str, rng: np.random.Generator) -> tuple[Scenario, str]:
    """Return a scenario with traffic or faults of a kind, and where its episodes start."""
    workload = scenario.workload
    if kind == "scale":
        scale = float(rng.choice(_SCALES)) * workload.scale
        return scenario.replace(workload={"scale": scale}), "fixed"
    if kind == "start":
        return scenario, "random"
    if kind == "mix" and len(scenario.models) > 1 and not workload.rename_models:
        shift = int(rng.integers(1, len(scenario.models)))
        models = scenario.models
        names = {m: models[(i + shift) % len(models)] for i, m in enumerate(models)}
        return scenario.replace(workload={"rename_models": names}), "fixed"
    if kind == "burst":
        return scenario.replace(workload={"bursts": 8}), "fixed"
    if kind == "outage" and len(scenario.regions) > 1:
        region = scenario.region_names[int(rng.integers(len(scenario.regions)))]
        hour = float(rng.integers(0, 23))
        start_s = min(hour * 3600.0, 0.9 * scenario.horizon_s)
        faults = {"outage_region": region, "outage_start_s": start_s, "outage_duration_s": 3600.0}
        return scenario.replace(faults=faults), "fixed"
    return scenario, "fixed"


class Traffic:
    """Draws training episodes; environments of scenarios that come again are kept.

    Args:
        scenario: The cluster.
        randomisation: How traffic varies.
        rng: Randomness of the draws.
    """

    def __init__(
        self, scenario: Scenario, randomisation: Randomisation, rng: np.random.Generator
    ) -> None:
        self.scenario = scenario
        self.randomisation = randomisation
        self.rng = rng
        self._kept: dict[tuple[str, str], SageServeEnv] = {}

    def draw(self) -> tuple[Scenario, str, int]:
        """Return scenario, start and seed of an episode."""
        seed = int(self.rng.integers(TRAIN_SEEDS))
        kind = "none"
        if self.rng.random() < self.randomisation.share:
            kind = str(self.rng.choice(self.randomisation.kinds))
        scenario, start = varied(self.scenario, kind, self.rng)
        return scenario, start, seed

    def begin(self, scenario: Scenario, start: str, seed: int) -> SageServeEnv:
        """Return an environment at the start of an episode."""
        key = scenario.config_hash, start
        if key not in self._kept:
            if len(self._kept) >= 8:
                self._kept.pop(next(iter(self._kept))).close()
            self._kept[key] = SageServeEnv(scenario=scenario, start=start)
        env = self._kept[key]
        env.reset(seed=seed)
        return env
