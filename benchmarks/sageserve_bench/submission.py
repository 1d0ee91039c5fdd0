"""A policy of one's own on the traffic of a published comparison, or on a scenario's test seeds."""

from __future__ import annotations

from pathlib import Path

from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.analysis.targets import least_vms
from sageserve_bench.errors import UserError
from sageserve_bench.published import Published, without
from sageserve_bench.results.store import Store
from sageserve_env.scenario import list_scenarios, load_scenario

REFERENCE = "ilp"
SEEDS = 5
"""Test seeds of a scenario of which nothing is published."""


def words_of(name: str, agent: str, published: Published | None) -> list[str]:
    """Return the words of the `sageserve compare` that makes the rows of a submission.

    Args:
        name: Of a published comparison or of a scenario.
        agent: ``FILE:CLASS`` or a specification.
        published: The comparison of that name, if there is one.

    Raises:
        UserError: If the name is neither.
    """
    if published is not None:
        return [*without(list(published.command), "--agents"), "--agents", agent]
    if name not in list_scenarios():
        raise UserError(
            f"{name!r} is neither a published comparison nor a scenario; "
            "sageserve list scenarios names those"
        )
    agents = agent if agent == REFERENCE else f"{agent},{REFERENCE}"
    return ["--scenario", name, "--seeds", str(SEEDS), "--agents", agents]


def beside(published: Published, folder: Path) -> Outcome:
    """Return what the published rows and those in a folder come to together."""
    own = Store(folder).read_rows()
    names = {str(row["scenario"]) for row in own}
    rows = [*(row for row in published.rows if row["scenario"] in names), *own]
    scenario = next(iter(names))
    cluster = load_scenario(scenario) if scenario in list_scenarios() else None
    least = least_vms(cluster) if cluster is not None else 0.0
    return conclude(rows, published.targets(scenario), least_vms=least)
