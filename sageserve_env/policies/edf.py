"""Earliest deadline first."""

from sageserve_env.policies.registry import register_discipline

register_discipline(
    "edf", {"arrival_s": 1.0, "objective_s": 1.0}, summary="earliest arrival plus objective"
)
