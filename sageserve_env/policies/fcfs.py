"""First come, first served."""

from sageserve_env.policies.registry import register_discipline

register_discipline("fcfs", {"queued_s": 1.0}, summary="in the order of joining the queue")
