"""Join the shortest queue of all regions, however far."""

from sageserve_env.policies.registry import register_router

register_router(
    "jsq",
    {"pending_tokens": 1.0},
    summary="fewest pending tokens over all instances of all regions",
    routing="unused",
)
