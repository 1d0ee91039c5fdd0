"""Balancers, kernels of the simulator (``simulator/balancing.py``).

They choose the instance for routers that choose an endpoint only, and for non-interactive work
that an endpoint pulls.
"""

from sageserve_env.policies.registry import BALANCERS, Balancer

for _name, _summary in (
    ("jsq", "fewest pending tokens"),
    ("round_robin", "in turn"),
    ("least_kv", "least reserved KV memory as a share"),
    ("power_of_two", "fewer pending tokens of two drawn at random"),
):
    BALANCERS.add(Balancer(_name, _summary))
