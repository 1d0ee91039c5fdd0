"""Short prompts pass long ones, and what cannot attain stands back once."""

from sageserve_env.policies.registry import register_discipline

# Seconds that a request stands back for each second of its isolated prefill, and for having missed
# its objective: our assumptions; values from 10 to 30 and from 200 to 3,600 serve about alike.
SIZE_WEIGHT = 10.0
LATE_S = 600.0

register_discipline(
    "triage",
    {"arrival_s": 1.0, "objective_s": 1.0, "prefill_s": SIZE_WEIGHT, "late": LATE_S},
    summary=f"earliest deadline plus {SIZE_WEIGHT:g} times the isolated prefill; a request whose "
    f"turn comes too late for its objective stands back by {LATE_S:g} s, once",
)
