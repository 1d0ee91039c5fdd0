"""The tables of calibrated options."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.calibrated_tables import calibrated_table
from sageserve_bench.errors import UserError

SHIPPED = """
agents:
  kpa: {target: 0.9}
  ilp: {rho: 1.1, admission: 10}
measured:
  kpa: {seeds: 8, slo_iwf: 0.96, slo_worst_model: 0.92, cost_usd: 5000.4}
  ilp: {seeds: 8, slo_iwf: 0.955, slo_iwn: 1.0, slo_worst_model: 0.91, cost_usd: 4000.0}
"""


def test_agents_stand_by_cost_with_their_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no measured options"):
        calibrated_table("mine", tmp_path)
    (tmp_path / "mine.yaml").write_text(SHIPPED)
    rows = calibrated_table("mine", tmp_path).splitlines()[2:]
    assert rows == [
        "| `ilp` | 4,000 | 95.5 | 100.0 | - | 91.0 | 8 | `rho=1.1; admission=10` |",
        "| `kpa` | 5,000 | 96.0 | - | - | 92.0 | 8 | `target=0.9` |",
    ]
