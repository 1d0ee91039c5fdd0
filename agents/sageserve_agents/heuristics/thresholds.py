"""The paper's threshold rule, shared by every agent that scales reactively."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.view import ClusterView, Ints

NEVER_S = -1e18


class ThresholdRule:
    """Out above one utilisation, in below another, one instance per endpoint and decision.

    After a scale-out there is no other for that endpoint until it is up (docs/sources.md, "Paper"):
    the rule waits while an instance is pending or unmet, so that slow starts do not cascade. A
    scale-in that would push the utilisation of the rest over the threshold for scaling out is not
    done (no 2-1-2 oscillation).

    Args:
        endpoints: Number of endpoints E.
        out_above: Utilisation above which an instance is added.
        in_below: Utilisation below which one is removed.
        cooldown_s: Least time between two changes of an endpoint.
    """

    def __init__(
        self, endpoints: int, out_above: float, in_below: float, cooldown_s: float
    ) -> None:
        self.out_above = out_above
        self.in_below = in_below
        self.cooldown_s = cooldown_s
        self._changed_s = np.full(endpoints, NEVER_S)

    def step(self, view: ClusterView, known: NDArray[np.bool_]) -> Ints:
        """Return the change of each endpoint's target, -1, 0 or +1, int64 [E].

        Args:
            view: What is seen.
            known: Where the utilisation has been measured, [E]; elsewhere nothing changes.
        """
        load = view.utilisation
        standing = view.target.sum(axis=1)
        active = view.active.sum(axis=1)
        waiting = (view.pending.sum(axis=1) > 0) | (view.unmet.sum(axis=1) > 0)
        ready = known & (view.time_s - self._changed_s >= self.cooldown_s - 1e-9)
        out = ready & (load > self.out_above) & ~waiting
        rest = np.maximum(active - 1, 0)
        last = np.where(load > 0, np.inf, 0.0)  # without the last instance
        after = np.where(rest > 0, load * active / np.maximum(rest, 1), last)
        into = ready & (load < self.in_below) & (standing > 0) & (after <= self.out_above)
        change: Ints = out.astype(np.int64) - (into & ~out).astype(np.int64)
        self._changed_s[change != 0] = view.time_s
        return change
