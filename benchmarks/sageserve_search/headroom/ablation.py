"""What each knob is worth to the best agent: it plays with one knob at its neutral value.

Its service knob is turned until the agent serves as much as it did with all knobs, so that the
bills may be compared. What the agent decides on the other knobs stays its own, without a new
search of its options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sageserve_agents import make_agent
from sageserve_bench.analysis.targets import Targets
from sageserve_bench.runs.pools import Stepped, run_jobs
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_search.calibration import calibrate
from sageserve_search.headroom.parts import read_part, write_part
from sageserve_search.headroom.plan import plan_of
from sageserve_search.headroom.playing import Day, Played
from sageserve_search.headroom.search import figures
from sageserve_search.headroom.starts import neighbours
from sageserve_search.headroom.sweep import Helpers
from sageserve_search.headroom.worth import HARDWARE, knobs_of, one_type, put_back
from sageserve_search.probing import Probe

Kept = Callable[[Day, str, str], Path | None]
"""Says in which file it is kept how an agent, by its specification, played a day without a knob."""


@dataclass(frozen=True)
class Ablation:
    """An agent on some days without one knob, at any value of its service knob.

    Attributes:
        days: The days.
        knob: What is put back to its neutral value.
        targets: What the agent attained with all knobs.
        file: Where a play is kept.
        helpers: Processes among which the days are divided.
    """

    days: Sequence[Day]
    knob: str
    targets: Targets
    file: Kept
    helpers: Helpers = field(default_factory=Helpers)

    def __call__(self, spec: str) -> Probe:
        """Return what comes of a setting of the agent."""
        files = [self.file(day, spec, self.knob) for day in self.days]
        found = [read_part(file, Played) for file in files]
        left = [d for d, played in enumerate(found) if played is None]
        jobs = [_Job(self.days[d].scenario, self.days[d].seed, spec, self.knob) for d in left]

        def finished(index: int, played: Played) -> None:
            write_part(files[left[index]], played)
            found[left[index]] = played

        run_jobs(
            _play,
            jobs,
            self.helpers.backend,
            finished=finished,
            stepped=lambda index, steps: None,
            named=lambda job: f"{job.spec} on seed {job.seed}",
        )
        means = self.targets.means([played.metrics for played in found if played is not None])
        return Probe(spec, means, self.targets.margin(means), self.targets.misses(means))


def ablated(
    days: Sequence[Day],
    spec: str,
    played: Sequence[Played],
    probes: int,
    file: Kept,
    told: Callable[[str], None] = lambda line: None,
    helpers: Helpers | None = None,
) -> dict[str, dict[str, Any]] | None:
    """Return by how much the bill of an agent rises without each knob at the same service.

    Args:
        days: The days.
        spec: The agent.
        played: What came of it with all knobs.
        probes: Values of its service knob that are tried at most.
        file: Where a play is kept.
        told: Is given a line now and then.
        helpers: Processes among which the days are divided; None for this one.

    Returns:
        By knob ``more``, the share of the bill between the two settings nearest to that service, or
        None where none attains it; and the setting nearest to it: ``spec``, ``usd``, ``service``.
        None for an agent whose service knob cannot be turned.

    Raises:
        UserError: If a process dies again and again.
    """
    if not neighbours(spec, days[0].scenario):
        return None
    targets = Targets.of(days[0].scenario)
    means = targets.means([one.metrics for one in played])
    targets = targets.as_good_as(means)
    found: dict[str, dict[str, Any]] = {}
    for knob in knobs_of(days[0].scenario):
        play = Ablation(days, knob, targets, file, helpers or Helpers())
        tried = calibrate(spec, play, max_probes=probes).probes
        near = min(tried, key=lambda one: abs(one.margin))
        bill = bill_at_target(tried)
        more = None if bill is None else bill / means["cost_usd"] - 1.0
        found[knob] = {"more": more, "spec": near.spec, "usd": near.cost_usd}
        found[knob]["service"] = figures(near.means)
        shown = "never attains" if more is None else f"{100 * more:.1f} % more"
        told(f"{spec} without {knob}: {shown}")
    return found


def bill_at_target(tried: Sequence[Probe]) -> float | None:
    """Return the bill at a margin of 0: between the nearest settings on both sides of it.

    The logarithm of the bill grows about evenly with the margin. Where every setting attains, the
    least bill; None where none does.
    """
    above = [one for one in tried if one.margin >= 0.0]
    below = [one for one in tried if one.margin < 0.0]
    if not above:
        return None
    if not below:
        return min(one.cost_usd for one in above)
    high = min(above, key=lambda one: one.margin)
    low = max(below, key=lambda one: one.margin)
    share = -low.margin / (high.margin - low.margin)
    return math.exp((1.0 - share) * math.log(low.cost_usd) + share * math.log(high.cost_usd))


@dataclass(frozen=True)
class _Job:
    scenario: Scenario
    seed: int
    spec: str
    knob: str


def _play(job: _Job, stepped: Stepped) -> Played:
    """Let an agent play a day without a knob; says nothing of its steps."""

    def changed(action: ClusterAction) -> ClusterAction:
        return put_back(plan_of([action], day.scenario), day, job.knob).action(0)

    alone = job.knob == HARDWARE
    day = Day(one_type(job.scenario) if alone else job.scenario, job.seed)
    try:
        agent = make_agent(job.spec, scenario=day.scenario)
        return day.play_agent(agent, job.spec, None if alone else changed)[0]
    finally:
        day.close()
