"""The paper's router, a kernel of the simulator (``simulator/by_threshold.py``)."""

from sageserve_env.policies.registry import ROUTERS, Router

ROUTERS.add(
    Router(
        "threshold",
        "the first region in the order of preference whose utilisation is below "
        "`routing.threshold`, else the least utilised; then the balancer",
        routing="unused",
    )
)
