"""Priority first."""

from sageserve_env.policies.registry import register_discipline

# Seconds between two priorities: more than any two requests in a queue lie apart.
PRIORITY_S = 1e9

register_discipline(
    "pf",
    {"priority": PRIORITY_S, "queued_s": 1.0},
    summary="by the priority of the tier, then in the order of joining the queue",
)
