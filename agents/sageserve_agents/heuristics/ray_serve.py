"""`ray-serve`: Ray Serve's autoscaler on ongoing requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.heuristics.signals import Persistence, Window, ongoing_requests
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Ints


@dataclass(frozen=True)
class RayServeOptions(StackOptions):
    """Options of `RayServe`; the delays are Ray's defaults (docs/sources.md, "Other systems").

    Attributes:
        target_ongoing: Requests in flight per instance to keep. Ray's default of 2 is for
            replicas that serve one at a time; a batching instance of 8 GPUs holds tens (A).
        look_back_s: Requests in flight are averaged over this time.
        upscale_delay_s: A scale-out must be wanted for this long.
        downscale_delay_s: A scale-in must be wanted for this long.
    """

    target_ongoing: float = option(12.0, above=0)
    look_back_s: float = option(30.0, low=0)
    upscale_delay_s: float = option(30.0, low=0)
    downscale_delay_s: float = option(600.0, low=0)


class RayServe(RuleAgent[RayServeOptions]):
    """``desired = ceil(ongoing / target)`` once it has been wanted for long enough."""

    name = "ray-serve"
    options_type = RayServeOptions
    tunable: ClassVar[Tunable] = {
        "target_ongoing": Range(2.0, 64.0, "log"),
        "upscale_delay_s": Range(0.0, 300.0),
        "downscale_delay_s": Range(60.0, 3600.0, "log"),
    }
    service_knob = ServiceKnob("target_ongoing", stingy=200.0, generous=0.5, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        self._ongoing = Window(self.options.look_back_s)
        self._out = Persistence(len(self.endpoints.model))
        self._in = Persistence(len(self.endpoints.model))

    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances, [E]."""
        o = self.options
        standing: Ints = view.target.sum(axis=1)
        self._ongoing.add(view.time_s, ongoing_requests(view) * self.stack.pressed)
        wanted = np.ceil(self._ongoing.mean() / o.target_ongoing - 1e-9).astype(np.int64)
        out = self._out.update(view.time_s, wanted > standing) >= o.upscale_delay_s
        into = self._in.update(view.time_s, wanted < standing) >= o.downscale_delay_s
        result: Ints = np.where(out | into, wanted, standing)
        return result
