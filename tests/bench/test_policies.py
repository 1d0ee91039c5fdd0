"""A router and a discipline of one file outside the packages, used by an agent in a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

import sageserve_bench
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario

USER_FILE = '''
"""A router and a discipline of a user."""

from sageserve_env.policies import register_discipline, register_router

register_router("nearest_of_a_user", {"queue_s": 0.1, "penalty_s": 50.0})
register_discipline("longest_of_a_user", {"prefill_s": -1.0})
'''


def test_an_agent_uses_policies_of_a_file(
    tmp_path: Path, small: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in (ROUTERS, DISCIPLINES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    file = tmp_path / "my_policies.py"
    file.write_text(USER_FILE, "utf-8")
    own = f"reactive:router={file}:nearest_of_a_user;discipline={file}:longest_of_a_user"
    plain = "reactive:router=least_wait;discipline=fcfs"
    rows = sageserve_bench.compare(
        [plain, own], scenario=small, seeds=1, output=tmp_path / "results"
    )
    assert rows["requests"].nunique() == 1 and len(rows) == 2
    service = rows.filter(regex="^(ttft|e2e|slo)_")
    assert (service.iloc[0] != service.iloc[1]).any()
    named = small.replace(routing={"router": f"{file}:nearest_of_a_user"})
    (again,) = sageserve_bench.compare(
        ["static"], scenario=named, seeds=1, output=tmp_path / "named"
    )["requests"]
    assert again == rows["requests"].iloc[0]
