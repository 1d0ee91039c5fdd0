"""Where most of the prompt is cached, whoever waits there; the least expected wait of equals."""

from sageserve_env.policies.registry import register_router

#: Seconds of wait that a saved second of prefill is worth: our assumption.
STICKINESS = -20.0

register_router(
    "session_affinity",
    {"queue_s": 1.0, "running": "running_penalty_s", "penalty_s": 1.0, "prefix_s": STICKINESS},
    summary="sticks to the instance that has most of the prompt cached; `least_wait` of equals",
)
