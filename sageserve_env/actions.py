"""The one decision type that every agent and every action space maps to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.options import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario


@dataclass(frozen=True)
class ClusterAction:
    """What an agent decides at one decision time.

    Attributes:
        instances: Target instances per endpoint and VM type, int64 [E, G]. Targets are clipped to
            ``[min_instances, max_instances]`` per endpoint; what the inventory cannot provide is
            reported as unmet and retried while the target stands.
        router: ``threshold``, ``shares``, ``least_wait``, ``least_wait_kv`` or None for the
            scenario's router.
        routing: float64 [M, R, R], origin by destination. With ``shares`` a row-stochastic
            matrix; with both least-wait routers penalties in seconds (default: the round trip);
            not used by ``threshold``. None keeps the default (all traffic stays at home, or round
            trips).
        niw_release: Utilisation below which an endpoint pulls non-interactive work, float64 [E];
            two requests are pulled at 0.1 below. At least 0, which holds all of it; None keeps
            the scenario's thresholds.
        discipline: ``fcfs``, ``edf``, ``pf``, ``dpa``, ``triage`` or None for the scenario's.
            Applies to requests that are queued from now on.
    """

    instances: NDArray[np.int64]
    router: str | None = None
    routing: NDArray[np.float64] | None = None
    niw_release: NDArray[np.float64] | None = None
    discipline: str | None = None

    def validate(self, scenario: Scenario) -> ClusterAction:
        """Return the action with canonical array types.

        Raises:
            ValueError: If a shape, type or value is wrong; the message says what was expected.
        """
        e, g = len(scenario.endpoints), len(scenario.gpus)
        m, r = len(scenario.models), len(scenario.regions)
        targets = np.asarray(self.instances)
        if targets.shape != (e, g):
            raise ValueError(f"instances: expected shape ({e}, {g}), got {targets.shape}")
        if not np.issubdtype(targets.dtype, np.integer):
            raise ValueError(f"instances: expected integers, got {targets.dtype}")
        if (targets < 0).any():
            raise ValueError("instances: expected targets of at least 0")
        if self.router is not None and self.router not in ROUTERS:
            raise ValueError(f"router: expected one of {', '.join(ROUTERS)}, got {self.router!r}")
        if self.discipline is not None and self.discipline not in DISCIPLINES:
            raise ValueError(
                f"discipline: expected one of {', '.join(DISCIPLINES)}, got {self.discipline!r}"
            )
        routing = _floats(self.routing, (m, r, r), "routing")
        if routing is not None and (routing < 0).any():
            raise ValueError("routing: expected values of at least 0")
        if routing is not None and (self.router or scenario.routing.router) == "shares":
            if not np.allclose(routing.sum(axis=2), 1.0, atol=1e-6):
                raise ValueError("routing: with router 'shares' every row must sum to 1")
        release = _floats(self.niw_release, (e,), "niw_release")
        if release is not None and (release < 0).any():
            raise ValueError("niw_release: expected utilisations of at least 0")
        return ClusterAction(
            targets.astype(np.int64), self.router, routing, release, self.discipline
        )


def _floats(
    value: NDArray[np.float64] | None, shape: tuple[int, ...], name: str
) -> NDArray[np.float64] | None:
    if value is None:
        return None
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array
