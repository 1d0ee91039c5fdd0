"""The least expected wait that also shuns instances whose KV memory is filling."""

from sageserve_env.policies.registry import register_router

# Seconds for a full KV memory: our assumption; values from 1 to 15 serve about alike.
KV_WAIT_S = 4.0

register_router(
    "least_wait_kv",
    {"queue_s": 1.0, "running": "running_penalty_s", "kv": KV_WAIT_S, "penalty_s": 1.0},
    summary=f"`least_wait`, plus {KV_WAIT_S:g} s for a full KV memory",
)
