"""Weighted round robin over regions, a kernel of the simulator (``simulator/by_shares.py``)."""

from sageserve_env.policies.registry import ROUTERS, Router

ROUTERS.add(
    Router(
        "shares",
        "smooth weighted round robin over the rows of `routing` [M, R, R]; then the balancer",
        routing="shares",
    )
)
