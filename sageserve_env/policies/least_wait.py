"""The least expected wait over all instances of all regions."""

from sageserve_env.policies.registry import register_router

register_router(
    "least_wait",
    {"queue_s": 1.0, "running": "running_penalty_s", "penalty_s": 1.0},
    summary="least queued prompt seconds, plus `routing.running_penalty_s` per running sequence "
    "and the penalty of the region",
)
