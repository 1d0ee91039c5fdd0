"""`kpa`: the Knative pod autoscaler with its stable and panic windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import Window, busy_instances, measured
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Floats, Ints


@dataclass(frozen=True)
class KpaOptions(StackOptions):
    """Options of `Kpa`; the defaults are Knative's (docs/sources.md, "Other systems").

    Attributes:
        target: Share of an instance's concurrency to use (0.7). Concurrency is measured as load:
            an instance that is asked for all it can sustain has a concurrency of 1 (A: counts of
            requests mean different work on different models).
        stable_s: Window of the stable mode.
        panic_s: Window of the panic mode.
        panic_threshold: Panic when the panic window wants this many times the ready instances.
        max_scale_down: Largest factor by which one decision may shrink what is ready.
    """

    target: float = option(0.7, above=0)
    stable_s: float = option(60.0, above=0)
    panic_s: float = option(6.0, above=0)
    panic_threshold: float = option(2.0, above=1)
    max_scale_down: float = option(2.0, above=1)


class Kpa(RuleAgent[KpaOptions]):
    """``desired = ceil(mean load / target)``; in panic it never scales in.

    Panic lasts until a full stable window has passed without its condition. As in Knative an
    endpoint with more than one instance begins in panic, so that it keeps them until a stable
    window has been seen, and without a metric the count stays.
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
        self._panicked_s: Floats | None = None

    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances, [E]."""
        o = self.options
        standing: Ints = view.target.sum(axis=1)
        ready = view.active.sum(axis=1)
        if self._panicked_s is None:
            self._panicked_s = np.where(ready > 1, view.time_s, -np.inf)
        known = measured(view, self.scenario)
        if not known.any():
            return standing
        load = busy_instances(view)
        self._stable.add(view.time_s, load)
        self._panic.add(view.time_s, load)
        stable = np.ceil(self._stable.mean() / o.target - 1e-9)
        panic = np.ceil(self._panic.mean() / o.target - 1e-9)
        ready = np.maximum(ready, 1)
        self._panicked_s[panic >= o.panic_threshold * ready] = view.time_s
        panicking = view.time_s - self._panicked_s < o.stable_s
        shrunk = np.maximum(stable, np.floor(ready / o.max_scale_down))
        held = np.maximum(np.maximum(stable, panic), standing)
        wanted: Ints = np.where(panicking, held, shrunk).astype(np.int64)
        return np.where(known, wanted, standing)
