"""Routers and disciplines: a file each, registered by name; most are weights of named features.

A new one takes one file, in this package (imported below) or outside:

```python
from sageserve_env.policies import register_router

register_router("greedy", {"queue_s": 1.0, "kv": 2.0, "penalty_s": 1.0}, summary="...")
```

The order of the imports is that of the codes.
"""

from sageserve_env.policies import (  # isort: skip
    threshold as threshold,
    shares as shares,
    least_wait as least_wait,
    least_wait_kv as least_wait_kv,
    prefix_affinity as prefix_affinity,
    jsq as jsq,
    session_affinity as session_affinity,
    fcfs as fcfs,
    edf as edf,
    pf as pf,
    dpa as dpa,
    triage as triage,
    balancers as balancers,
)
from sageserve_env.policies.features import (
    DISCIPLINE_FEATURES,
    DISCIPLINE_LIMITS,
    LARGEST_WEIGHT,
    ROUTER_FEATURES,
    ROUTER_LIMITS,
    ROUTING_OPTIONS,
)
from sageserve_env.policies.registry import (
    BALANCERS,
    DISCIPLINES,
    ROUTERS,
    Balancer,
    Discipline,
    Registry,
    Router,
    check_weights,
    register_discipline,
    register_router,
    weight_row,
)

__all__ = [
    "BALANCERS",
    "DISCIPLINES",
    "DISCIPLINE_FEATURES",
    "DISCIPLINE_LIMITS",
    "LARGEST_WEIGHT",
    "ROUTERS",
    "ROUTER_FEATURES",
    "ROUTER_LIMITS",
    "ROUTING_OPTIONS",
    "Balancer",
    "Discipline",
    "Registry",
    "Router",
    "check_weights",
    "register_discipline",
    "register_router",
    "weight_row",
]
