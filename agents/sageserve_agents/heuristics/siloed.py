"""`siloed`: separate pools for interactive and batch work, each scaled reactively."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_agents.heuristics.reactive import Reactive, ReactiveOptions
from sageserve_agents.options import option
from sageserve_env.view import ClusterView, Floats


@dataclass(frozen=True)
class SiloedOptions(ReactiveOptions):
    """Options of `Siloed`: as `ReactiveOptions`, and one more.

    Attributes:
        batch_release: Utilisation below which the batch pool takes non-interactive work (A: a
            pool of its own fills up, so that its backlog shows in its utilisation and scales it).
    """

    batch_release: float = option(1.0, low=0)


class Siloed(Reactive):
    """The paper's siloed baseline: no pool takes the other's work (docs/sources.md, "Paper")."""

    name = "siloed"
    pooling = "siloed"
    options_type = SiloedOptions

    def niw_release(self, view: ClusterView) -> Floats | None:
        """Return the ceilings, [E]: batch pools only."""
        assert isinstance(self.options, SiloedOptions)
        pools = self.scenario.pools
        limits = np.array([self.options.batch_release if p == "batch" else 0.0 for p in pools])
        released: Floats = limits[self.endpoints.pool]
        return released
