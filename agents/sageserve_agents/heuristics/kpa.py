"""`kpa`: the Knative pod autoscaler with its stable and panic windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import Window, busy_instances
from sageserve_agents.parameters import Range, ServiceKnob, Tunable, check_choice
from sageserve_agents.rule import RuleAgent
from sageserve_env.policies import ROUTERS
from sageserve_env.view import ClusterView, Ints


@dataclass(frozen=True)
class KpaOptions:
    """Options of `Kpa`; the defaults are Knative's (DOMAIN.md section 6).

    Attributes:
        target: Share of an instance's concurrency to use (0.7). Concurrency is measured as load:
            an instance that is asked for all it can sustain has a concurrency of 1 (A: counts of
            requests mean different work on different models).
        stable_s: Window of the stable mode.
        panic_s: Window of the panic mode.
        panic_threshold: Panic when the panic window wants this many times the ready instances.
        max_scale_down: Largest factor by which one decision may shrink an endpoint.
        router: Router of the requests.
    """

    target: float = 0.7
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_threshold: float = 2.0
    max_scale_down: float = 2.0
    router: str = "least_wait"

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice(self.router, ROUTERS, "router")
        if not self.target > 0:
            raise ValueError(f"target must be positive, got {self.target}")
        if not self.max_scale_down > 1:
            raise ValueError(f"max_scale_down must be above 1, got {self.max_scale_down}")


class Kpa(RuleAgent[KpaOptions]):
    """``desired = ceil(mean load / target)``; in panic it never scales in.

    Panic lasts until a full stable window has passed without its condition.
    """

    name = "kpa"
    options_type = KpaOptions
    tunable: ClassVar[Tunable] = {
        "target": Range(0.2, 1.0),
        "stable_s": Range(60.0, 1800.0, "log"),
    }
    service_knob = ServiceKnob("target", stingy=1.5, generous=0.05, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        self._stable = Window(self.options.stable_s)
        self._panic = Window(self.options.panic_s)
        self._panicked_s = np.full(len(self.layout.model), -np.inf)

    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances, [E]."""
        o = self.options
        standing: Ints = view.target.sum(axis=1)
        load = busy_instances(view)
        self._stable.add(view.time_s, load)
        self._panic.add(view.time_s, load)
        stable = np.ceil(self._stable.mean() / o.target - 1e-9)
        panic = np.ceil(self._panic.mean() / o.target - 1e-9)
        ready = np.maximum(view.active.sum(axis=1), 1)
        self._panicked_s[panic >= o.panic_threshold * ready] = view.time_s
        panicking = view.time_s - self._panicked_s < o.stable_s
        shrunk = np.maximum(stable, np.floor(standing / o.max_scale_down))
        held = np.maximum(np.maximum(stable, panic), standing)
        wanted: Ints = np.where(panicking, held, shrunk).astype(np.int64)
        return wanted
