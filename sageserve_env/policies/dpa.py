"""Deadline and priority aware."""

from sageserve_env.policies.registry import register_discipline

# Arrival + (1 + priority) x objective, so that both a near deadline and a high priority help: our
# reading of the paper's "deadline and priority aware", which it does not define.
register_discipline(
    "dpa",
    {"arrival_s": 1.0, "objective_s": 1.0, "priority_objective_s": 1.0},
    summary="earliest arrival plus (1 + priority) times objective",
)
