"""The tables of policies in the documentation."""

from __future__ import annotations

from lab.policy_tables import policy_tables
from sageserve_env.policies import BALANCERS, DISCIPLINES, ROUTERS


def test_every_name_has_a_row() -> None:
    tables = policy_tables()
    for registry in (ROUTERS, DISCIPLINES, BALANCERS):
        for name in registry:
            assert f"| `{name}` | " in tables
