"""The one decision type that every agent and every action space maps to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.knobs import KNOBS
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario


@dataclass(frozen=True)
class ClusterAction:
    """What an agent decides at one decision time; None keeps what is in force otherwise.

    Meaning, unit and bounds of each field are those of its row in `sageserve_env.knobs`.

    Attributes:
        instances: Target instances per endpoint and VM type, int64 [E, G]. Targets are clipped to
            ``[min_instances, max_instances]`` per endpoint; what the inventory cannot provide is
            reported as unmet and retried while the target stands.
        router: A name of `sageserve_env.policies.ROUTERS`.
        routing: float64 [M, R, R], origin by destination. With ``shares`` a row-stochastic
            matrix, with routers that weigh ``penalty_s`` penalties in seconds (default: the round
            trip), else unused. None keeps the default (all traffic stays at home, or round trips).
        niw_release: Utilisation below which an endpoint pulls non-interactive work, float64 [E];
            two requests are pulled at 0.1 below. At least 0, which holds all of it.
        discipline: A name of `sageserve_env.policies.DISCIPLINES`. Applies to requests that are
            queued from now on.
        router_weights: float64 [M, F], weights of `ROUTER_FEATURES` per model in place of the
            router's own. Only for a router that is weights.
        discipline_weights: float64 [M, D], weights of `DISCIPLINE_FEATURES` per model in place of
            the discipline's own.
        admission: float64 [M, K], expected wait in seconds above which a gateway refuses a request
            of the model and tier; infinity admits all.
    """

    instances: NDArray[np.int64]
    router: str | None = None
    routing: NDArray[np.float64] | None = None
    niw_release: NDArray[np.float64] | None = None
    discipline: str | None = None
    router_weights: NDArray[np.float64] | None = None
    discipline_weights: NDArray[np.float64] | None = None
    admission: NDArray[np.float64] | None = None

    def validate(self, scenario: Scenario) -> ClusterAction:
        """Return the action with canonical array types.

        Raises:
            ValueError: If a shape, type or value is wrong; the message says what was expected.
        """
        values = {}
        for knob in KNOBS:
            value = getattr(self, knob.name)
            if value is not None or knob.name == "instances":
                values[knob.name] = knob.check(value, scenario)
        action = ClusterAction(**values)
        router = ROUTERS.spec(action.router or scenario.routing.router)
        if action.routing is not None and router.routing == "shares":
            if not np.allclose(action.routing.sum(axis=2), 1.0, atol=1e-6):
                raise ValueError(f"routing: with router {router.name!r} every row must sum to 1")
        if action.router_weights is not None and not router.weights:
            raise ValueError(f"router_weights: the router {router.name!r} weighs nothing")
        return action
