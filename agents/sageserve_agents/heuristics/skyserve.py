"""`skyserve`: SkyServe's request-rate autoscaler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sageserve_agents.demand import DAY_S, DemandTracker
from sageserve_agents.heuristics.signals import Persistence, interactive_requests_per_s
from sageserve_agents.options import option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.view import ClusterView, Floats, Ints

_REQUEST_TOKENS = 2000.0  # (A) prompt tokens of a request before any was seen


@dataclass(frozen=True)
class SkyServeOptions(StackOptions):
    """Options of `SkyServe`; the delays are SkyServe's (docs/sources.md, "Other systems").

    Attributes:
        target_load: Requests per second of an instance, as a share of theta over the mean prompt
            length (A: SkyServe leaves the number to the user).
        upscale_delay_s: A scale-out must be wanted for this long.
        downscale_delay_s: A scale-in must be wanted for this long.
    """

    target_load: float = option(0.5, above=0)
    upscale_delay_s: float = option(300.0, low=0)
    downscale_delay_s: float = option(1200.0, low=0)


class SkyServe(RuleAgent[SkyServeOptions]):
    """``desired = ceil(qps / target)`` over a minute, once it has been wanted for long enough.

    Each region counts the interactive requests that originate in it.
    """

    name = "skyserve"
    options_type = SkyServeOptions
    tunable: ClassVar[Tunable] = {
        "target_load": Range(0.2, 1.2),
        "upscale_delay_s": Range(0.0, 900.0),
        "downscale_delay_s": Range(120.0, 3600.0, "log"),
    }
    service_knob = ServiceKnob("target_load", stingy=3.0, generous=0.1, log=True)

    def start(self) -> None:
        """Forget the last episode."""
        self._tracker = DemandTracker(self.history, 300.0)
        self._out = Persistence(len(self.endpoints.model))
        self._in = Persistence(len(self.endpoints.model))
        self._tokens: Floats | None = None

    def desired(self, view: ClusterView) -> Ints:
        """Return the wanted instances, [E]."""
        o = self.options
        if self._tracker.update(view) or self._tokens is None:
            self._tokens = self._tokens_per_request()
        standing: Ints = view.target.sum(axis=1)
        per_instance = o.target_load * self.endpoints.best_theta(view.theta) / self._tokens
        rate = interactive_requests_per_s(view, self.endpoints) * self.stack.load_factor[:, None]
        wanted = np.ceil(rate / per_instance[:, None] - 1e-9).astype(np.int64).reshape(-1)
        out = self._out.update(view.time_s, wanted > standing) >= o.upscale_delay_s
        into = self._in.update(view.time_s, wanted < standing) >= o.downscale_delay_s
        result: Ints = np.where(out | into, wanted, standing)
        return result

    def _tokens_per_request(self) -> Floats:
        """Return mean prompt tokens of an interactive request over the last day, [M]."""
        mask = self.endpoints.interactive
        requests = self._tracker.recent(DAY_S, "requests")[..., mask].sum(axis=(1, 2))
        tokens = self._tracker.recent(DAY_S)[..., mask].sum(axis=(1, 2))
        seen = requests > 0
        mean: Floats = np.where(seen, tokens / np.where(seen, requests, 1.0), _REQUEST_TOKENS)
        return np.maximum(mean, 1.0)
