"""A sweep through a day: it is played forward, and in each part is kept what helped.

At the start of a part trials are played from there, one after the other: the plan with a random
edit of every model in that part, until some time after its end. A model's edit stays if it comes
cheaper by what it paid and missed until then, and by the batch work that it left. Then the part is
played as it is decided now, and the next one begins from exactly what came of it, so that what a
trial found is not lost to a change before it. As models meet where they compete for VMs, and what
saves a VM may let a queue grow that is seen later, what was kept of all trials is played once
together until longer after the end, and put back where that comes dearer than what was before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents import make_agent
from sageserve_agents.registry import is_file, parse_spec
from sageserve_bench.runs.pools import Backend, Stepped, run_jobs
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.edits import Edit, Editor, Place
from sageserve_search.headroom.plan import Plan
from sageserve_search.headroom.playing import Day, Floats, Played, Reached

# Kinds of edits are drawn by what a trial gained: as if each had gained the mean in _PRIOR trials
# before, and at least _LEAST_WEIGHT of the mean (A).
_PRIOR, _LEAST_WEIGHT = 20.0, 0.2
_WHOLE = 0.15  # share of the edits that last the whole part (A)
# What was kept of all trials is judged together so many times as long after the part's end (A).
FURTHER = 4
_LEFT = 2.0  # charge for work that is left, over its VM price (our assumption)

Helped = dict[str, tuple[float, float]]
"""Of each kind of edit how often it was tried and how many dollars it gained."""


@dataclass(frozen=True)
class Helpers:
    """Processes among which days are divided; what they find does not depend on how many they are.

    Attributes:
        backend: How many.
        agents: Those that were asked: their files are imported in each, as a policy that one
            registers may be in a plan.
    """

    backend: Backend = field(default_factory=Backend)
    agents: tuple[str, ...] = ()

    def sweep(self, days: Sequence[Day], sweeps: Sequence[Sweep]) -> list[Swept]:
        """Do a sweep of each day.

        Raises:
            UserError: If a process dies again and again.
        """
        if self.backend.workers == 1 or len(days) == 1:
            return [one.through(day) for day, one in zip(days, sweeps, strict=True)]
        files = tuple(spec for spec in self.agents if is_file(parse_spec(spec)[0]))
        found: dict[int, Swept] = {}
        run_jobs(
            _elsewhere,
            [(day.scenario, day.seed, files, one) for day, one in zip(days, sweeps, strict=True)],
            self.backend,
            finished=found.__setitem__,
            stepped=lambda index, steps: None,
            named=lambda job: f"seed {job[1]}",
        )
        return [found[d] for d in range(len(days))]


@dataclass(frozen=True)
class Swept:
    """What came of a sweep.

    Attributes:
        plan: The plan with what helped.
        played: What came of it.
        helped: What the sweep tried and gained.
        steps: How many steps were played.
    """

    plan: Plan
    played: Played
    helped: Helped
    steps: int


@dataclass(frozen=True)
class Sweep:
    """A sweep that is to be done; a plain value that can go to another process.

    Attributes:
        plan: With which it begins.
        others: Plans from which parts may be taken.
        price: What a miss is charged, by model and tier, [M, K].
        frozen: Knobs that are not edited.
        helped: What helped before.
        part: Length of a part in steps.
        trials: Of a part, with one edit of every model each.
        ahead: Steps after the end of a part in which a trial is judged.
        seed: Of the edits.
    """

    plan: Plan
    others: Sequence[Plan]
    price: Floats
    frozen: tuple[str, ...]
    helped: Mapping[str, tuple[float, float]]
    part: int
    trials: int
    ahead: int
    seed: int

    def through(self, day: Day) -> Swept:
        """Go through a day."""
        rng, plan = np.random.default_rng(self.seed), self.plan.copy()
        helped: Helped = {}

        def weight(kind: Edit) -> float:
            return weight_of(kind, [self.helped, helped])

        steps, played = len(plan), 0
        mark = None
        bounds = [0, *range(int(rng.integers(1, self.part + 1)), steps, self.part), steps]
        for start, stop in pairwise(bounds):
            until = min(stop + self.ahead, steps)
            before, far = plan.copy(), min(stop + FURTHER * self.ahead, steps)
            least, kept = self._charged(day.go_on(mark, plan, start, until)), False
            for _ in range(self.trials):
                trial = plan.copy()
                editor = Editor(day.scenario, rng, self.others, self.frozen, weight)
                edits = _edit(editor, trial, start, stop)
                charged = self._charged(day.go_on(mark, trial, start, until))
                for m in map(int, np.flatnonzero(charged < least - 1e-9)):
                    _take(plan, trial, editor.of_model[m], m, slice(start, stop))
                    kept = True
                gain = np.maximum(least - charged, 0.0)
                least = np.minimum(least, charged)
                add_up(helped, [(kind.__name__, 1.0, float(gain[m])) for kind, m in edits])
            played += (1 + self.trials) * (until - start) + stop - start
            if kept:
                bills = [
                    self._charged(day.go_on(mark, p, start, far)).sum() for p in (before, plan)
                ]
                played += 2 * (far - start)
                if bills[1] > bills[0]:
                    plan = before
            if stop < steps:
                day.go_on(mark, plan, start, stop)
                mark = day.mark()
        return Swept(plan, day.play(plan), helped, played + steps)

    def _charged(self, reached: Reached) -> Floats:
        """Return what each model has paid, missed and left, in dollars."""
        missed = (reached.missed * self.price).sum(axis=1)
        return np.asarray(reached.usd + missed + _LEFT * reached.left)


def _edit(editor: Editor, plan: Plan, start: int, stop: int) -> list[tuple[Edit, int]]:
    """Edit a plan for every model somewhere in a part; returns kinds of edits and models."""
    rng, edits = editor.rng, []
    for m in range(len(editor.of_model)):
        begin = int(rng.integers(start, stop))
        end = int(rng.integers(begin + 1, stop + 1))
        if rng.random() < _WHOLE:
            begin, end = start, stop
        edits.append((editor.edit(plan, Place(m, begin, end)), m))
    return edits


def _take(plan: Plan, other: Plan, endpoints: NDArray[np.int64], m: int, span: slice) -> None:
    """Copy what another plan decides for a model with these endpoints."""
    for name, array in plan.arrays.items():
        at: Any = endpoints if name in ("instances", "niw_release") else m
        array[span, at] = other.arrays[name][span, at]


def _elsewhere(job: tuple[Scenario, int, tuple[str, ...], Sweep], stepped: Stepped) -> Swept:
    """Do a sweep in a process of a pool, on a day of its own; says nothing of its steps."""
    scenario, seed, files, sweep = job
    for spec in files:
        make_agent(spec, scenario=scenario)
    day = Day(scenario, seed)
    try:
        return sweep.through(day)
    finally:
        day.close()


def add_up(helped: Helped, more: Sequence[tuple[str, float, float]]) -> None:
    """Count trials of kinds of edits and what they gained."""
    for kind, tried, gained in more:
        before = helped.get(kind, (0.0, 0.0))
        helped[kind] = before[0] + tried, before[1] + gained


def weight_of(kind: Edit, helped: Sequence[Mapping[str, tuple[float, float]]]) -> float:
    """Return how often a kind of edit is drawn: by what a trial of it gained of late."""
    every = [one for some in helped for one in some.values()]
    mean = sum(g for _, g in every) / max(sum(t for t, _ in every), 1.0)
    if mean <= 0:
        return 1.0
    own = [some.get(kind.__name__, (0.0, 0.0)) for some in helped]
    tried, gained = sum(t for t, _ in own), sum(g for _, g in own)
    return max((gained + _PRIOR * mean) / (tried + _PRIOR), _LEAST_WEIGHT * mean)
