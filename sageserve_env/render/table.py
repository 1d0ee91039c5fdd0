"""The ``ansi`` render mode: one line per endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sageserve_env.render.history import History
    from sageserve_env.simulator.simulator import Simulator


def table(simulator: Simulator, history: History) -> str:
    """Return the state of the cluster as text."""
    scenario, view = simulator.scenario, simulator.view()
    minutes = int(view.time_s // 60)
    shares = history.attainment[-1]
    slo = "  ".join(
        f"{name} {'-' if np.isnan(share) else f'{100 * share:.1f} %'}"
        for name, share in zip(scenario.tier_names, shares, strict=True)
    )
    width = max(len(e.name) for e in scenario.endpoints)
    lines = [
        f"{scenario.name}  {minutes // 60:02d}:{minutes % 60:02d}  "
        f"${history.cost_usd[-1]:,.2f}  attained: {slo}",
        f"{'endpoint':{width}}  target active pending drain unmet   load     kv  queued running"
        "  p95/slo",
    ]
    for e, endpoint in enumerate(scenario.endpoints):
        lines.append(
            f"{endpoint.name:{width}}  {view.target[e].sum():6d} {view.active[e].sum():6d}"
            f" {view.pending[e].sum():7d} {view.draining[e].sum():5d} {view.unmet[e].sum():5d}"
            f" {view.utilisation[e]:6.2f} {view.kv_utilisation[e]:6.2f}"
            f" {view.queued_requests[e]:7d} {view.running[e]:7d} {view.ttft_p95_ratio[e]:8.2f}"
        )
    for r, region in enumerate(scenario.region_names):
        lines.append(
            f"{region}: {view.idle_vms[r].sum()} idle, {view.spot_vms[:, r].sum()} spot of "
            f"{view.inventory[r].sum()} VMs"
        )
    held = ", ".join(
        f"{name} {count}" for name, count in zip(scenario.models, view.niw_backlog, strict=True)
    )
    lines.append(f"batch work held: {held}")
    return "\n".join(lines) + "\n"
