"""The least expected wait, less the prefill that a cached prefix saves."""

from sageserve_env.policies.registry import register_router

register_router(
    "prefix_affinity",
    {"queue_s": 1.0, "running": "running_penalty_s", "penalty_s": 1.0, "prefix_s": -1.0},
    summary="`least_wait`, less the prefill seconds that the instance's prefix cache saves; the "
    "same as `least_wait` where there is no prefix cache",
)
