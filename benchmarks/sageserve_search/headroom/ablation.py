"""What each knob is worth to the best agent: it plays with one knob at its neutral value.

Its service knob is turned towards the margin that the agent had with all knobs, in all targets, and
the bill at that margin is read off between the nearest settings. What the agent decides on the
other knobs stays its own, without a new search of its options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sageserve_agents import make_agent
from sageserve_bench.analysis.targets import MOST_MARGIN, Targets
from sageserve_bench.runs.pools import Backend, Stepped, run_jobs
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_search.calibration import MARGIN_TOLERANCE, Calibration, calibrate
from sageserve_search.headroom.parts import read_part, write_part
from sageserve_search.headroom.plan import plan_of
from sageserve_search.headroom.playing import Day, Played
from sageserve_search.headroom.starts import neighbours
from sageserve_search.headroom.worth import (
    HARDWARE,
    knobs_of,
    neutral_types,
    one_type,
    put_back,
)
from sageserve_search.knob import knob_of
from sageserve_search.probing import Probe, with_options

BETWEEN, AT_MOST, NEVER, UNKNOWN = "between", "at most", "never attains", "not found"

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
        backend: Processes among which the days are divided.
    """

    days: Sequence[Day]
    knob: str
    targets: Targets
    file: Kept
    backend: Backend

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
            self.backend,
            finished=finished,
            stepped=lambda index, steps: None,
            named=lambda job: f"{job.spec} on seed {job.seed}",
        )
        return Probe.of(spec, self.targets, [one.metrics for one in found if one is not None])


def ablated(
    days: Sequence[Day],
    spec: str,
    played: Sequence[Played],
    probes: int,
    file: Kept,
    told: Callable[[str], None] = lambda line: None,
    backend: Backend | None = None,
) -> dict[str, dict[str, Any]] | None:
    """Return by how much the bill of an agent rises without each knob, at the same service.

    Args:
        days: The days.
        spec: The agent.
        played: What came of it with all knobs.
        probes: Values of its service knob that are tried at most.
        file: Where a play is kept.
        told: Is given a line now and then.
        backend: Processes among which the days are divided; None for this one.

    Returns:
        By knob ``more``, by how much the bill rises, as a share; ``said``, how far that is known
        (`Bill`); and all settings, with bill and margin. None for an agent whose service knob
        cannot be turned. The knob of hardware is left out where models differ in their neutral VM
        type, as an agent would have a choice of them.

    Raises:
        UserError: If a process dies again and again.
    """
    scenario = days[0].scenario
    knob = knob_of(spec)
    if knob is None or not neighbours(spec, scenario):
        told(f"{spec} has no service knob to turn: what knobs are worth to it is left out")
        return None
    asked = Targets.of(scenario)
    means = asked.means([one.metrics for one in played])
    asked = asked.as_good_as(means)
    found: dict[str, dict[str, Any]] = {}
    for name in knobs_of(scenario):
        if name == HARDWARE and len(set(neutral_types(scenario))) > 1:
            continue
        play = Ablation(days, name, asked, file, backend or Backend())
        calibration = calibrate(spec, play, knob=knob, max_probes=probes, scenario=scenario)
        bill = Bill.of(calibration)
        found[name] = {
            "more": None if bill.usd is None else bill.usd / means["cost_usd"] - 1.0,
            "said": bill.said,
            "probes": calibration.to_dict()["probes"],
        }
        told(f"{spec} without {name}: {shown(found[name])}")
    return found


def shown(one: Mapping[str, Any]) -> str:
    """Return what a knob is worth as text."""
    if one["more"] is None:
        return str(one["said"])
    return f"{'at most ' * (one['said'] == AT_MOST)}{100 * one['more']:.1f} %"


@dataclass(frozen=True)
class Bill:
    """The bill at the service that is asked for.

    Attributes:
        usd: Dollars; None where no setting attains.
        said: `BETWEEN` two settings or at one, `AT_MOST` where none on the other side counts,
            `NEVER` where none attains although the most generous was tried, `UNKNOWN` where the
            tries ended before.
    """

    usd: float | None
    said: str

    @classmethod
    def of(cls, calibration: Calibration) -> Bill:
        """Return the bill at a margin of 0.

        The logarithm of the bill grows about evenly with the margin. Between the nearest settings
        on both sides it is no more than the least of those that attain; margins that are cut off
        do not count, and one that is as good as exact needs no other side.
        """
        probes = calibration.probes
        above = [one for one in probes if one.margin >= 0.0]
        below = [one for one in probes if -MOST_MARGIN < one.margin < 0.0]
        if not above:
            knob = calibration.knob
            last = with_options(calibration.agent, {knob.option: knob.at(1.0)})
            return cls(None, NEVER if any(one.spec == last for one in probes) else UNKNOWN)
        least = min(one.cost_usd for one in above)
        high = min(above, key=lambda one: one.margin)
        if high.margin < MARGIN_TOLERANCE:
            return cls(least, BETWEEN)
        if not below or high.margin >= MOST_MARGIN:
            return cls(least, AT_MOST)
        low = max(below, key=lambda one: one.margin)
        share = -low.margin / (high.margin - low.margin)
        usd = math.exp((1.0 - share) * math.log(low.cost_usd) + share * math.log(high.cost_usd))
        return cls(min(usd, least), BETWEEN)


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
