"""The search with hindsight: a day played again and again, its plan edited where that helps.

Models meet only where they compete for VMs, and an edit is felt for an hour or two. So one play of
the day tries many edits at once, one per model and block of the day, and each is judged by what its
model paid and missed within its block, and by the batch work that it left for later. What was
accepted is played together now and then; if that did not help, the plan goes back. Misses are
charged at multipliers that rise while a target is missed and fall while it is exceeded, so that the
search ends at the targets; where it found nothing for a while it goes on from the best plan.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sageserve_bench.analysis.targets import Targets, fell_due
from sageserve_env.simulator.summary import tier_key
from sageserve_search.headroom.edits import Editor, Place
from sageserve_search.headroom.plan import Plan
from sageserve_search.headroom.playing import Day, Floats, Played, value

# An edit is judged by what happens until the end of its block: long ones see late effects, of short
# ones more are tried in a play. A play draws one of these (our assumption).
BLOCKS_S = (9000.0, 3600.0, 1800.0)
_LEAST_BLOCK = 4  # steps of a block
REFRESH = 4  # plays between two of the plan as a whole
PATIENCE = 12  # of these without a better plan, after which the search returns to the best
# Steps of the logarithm of a charge: over the spare share of the misses allowed, at most; while a
# target is missed, at least and at most.
_GAIN, _MOST_DOWN = 0.5, 0.15
_LEAST_UP, _MOST_UP = 0.1, 0.35
_LEFT = 2.0  # charge for work that is left, over its VM price (our assumption)


@dataclass
class Best:
    """The cheapest plan so far that attains every target, and what a miss was charged then."""

    plan: Plan
    played: Played
    price: Floats
    cost_usd: float

    @property
    def service(self) -> dict[str, float]:
        """Cost and attainment."""
        return _figures(self.played.metrics)


@dataclass
class State:
    """Where a search stands; what is written so that it can go on.

    Attributes:
        plan: The plan that is edited.
        played: What it comes to; parts of it as measured when they were accepted.
        whole: The plan when it was last played as a whole, and what came of it.
        price: What a miss is charged, by model and tier, [M, K].
        plays: Plays of the day so far.
        best: The best plan so far; None while no plan attains.
        waited: Plays of the plan as a whole since it was found.
        rng: Source of the edits.
        log: Cost and attainment of every whole play.
    """

    plan: Plan
    played: Played
    whole: tuple[Plan, Played]
    price: Floats
    rng: np.random.Generator
    plays: int = 0
    best: Best | None = None
    waited: int = 0
    log: list[dict[str, float]] = field(default_factory=list)


class Search:
    """A search on one day.

    Args:
        day: The day.
        starts: Plans of agents on that day, and what came of them.
        targets: What a plan has to attain; None for the scenario's.
        price: What a miss is charged at first, by model and tier, [M, K]; None for the scenario's.
        frozen: Knobs that are not edited.
        seed: Of the edits.
        told: Is given a line now and then.
    """

    def __init__(
        self,
        day: Day,
        starts: Sequence[tuple[Plan, Played]],
        *,
        targets: Targets | None = None,
        price: Floats | None = None,
        frozen: Sequence[str] = (),
        seed: int = 0,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        scenario = day.scenario
        self.day, self.scenario, self.told = day, scenario, told
        self.targets = targets or Targets.of(scenario)
        self.others = [plan for plan, _ in starts]
        self.frozen = tuple(frozen)
        if price is None:
            charges = np.array([max(tier.miss_usd, 1e-6) for tier in scenario.tiers])
            price = np.tile(charges, (len(scenario.models), 1))
        plan, played = min(starts, key=lambda one: value(one[1], price))
        self.state = State(plan, played, (plan, played), price.copy(), np.random.default_rng(seed))
        for one in starts:
            self._consider(*one)
        steps = {max(_LEAST_BLOCK, round(b / scenario.decision_interval_s)) for b in BLOCKS_S}
        self.blocks = sorted(steps)

    def run(self, plays: int, file: Path | None = None) -> Best | None:
        """Search until the day was played so often; goes on where ``file`` says.

        Returns:
            The cheapest plan that attains; None if there is none.
        """
        if file is not None and file.exists():
            self.state = pickle.loads(file.read_bytes())
        while self.state.plays < plays:
            if self.state.plays % REFRESH == REFRESH - 1:
                self._refresh()
            else:
                self._try()
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(".part")
                part.write_bytes(pickle.dumps(self.state))
                part.replace(file)
        return self.state.best

    # -- one play -------------------------------------------------------------------------------

    def _try(self) -> None:
        s = self.state
        editor = Editor(self.scenario, s.rng, self.others, self.frozen)
        candidate = s.plan.copy()
        block = int(s.rng.choice(self.blocks))
        places = self._places(s.rng, block)
        for place in places:
            editor.edit(candidate, place)
        played = self.day.play(candidate)
        s.plays += 1
        self._consider(candidate, played)
        plan, usd, missed = s.plan.copy(), s.played.usd.copy(), s.played.missed.copy()
        left = s.played.left.copy()
        for place in places:
            span = slice(place.start, min(place.start + block, len(plan)))
            m = place.model
            change = (played.usd[span, m] - usd[span, m]).sum()
            change += ((played.missed[span, m] - missed[span, m]) * s.price[m]).sum()
            change += _LEFT * (played.left[span, m][-1] - left[span, m][-1])
            if change < -1e-9:
                self._take(plan, candidate, m, slice(place.start, place.stop))
                usd[span, m], missed[span, m] = played.usd[span, m], played.missed[span, m]
                left[span, m] = played.left[span, m]
        s.plan, s.played = plan, Played(usd, missed, played.attained, {}, 0.0, left)

    def _refresh(self) -> None:
        """Play the plan as a whole; go back if it is worse than the last one."""
        s = self.state
        played = self.day.play(s.plan)
        s.plays += 1
        self._consider(s.plan, played)
        if value(played, s.price) <= value(s.whole[1], s.price) + 1e-9:
            s.whole = s.plan, played
        else:
            s.plan, played = s.whole
        s.played = played
        self._reprice(s.whole[1])
        s.waited += 1
        if s.best is not None and s.waited > PATIENCE:
            s.plan, s.played, s.price, s.waited = s.best.plan, s.best.played, s.best.price.copy(), 0
            s.whole = s.plan, s.played
        s.log.append({"plays": s.plays, **_figures(s.whole[1].metrics)})
        self.told(
            f"{s.plays} plays: {_figures(s.whole[1].metrics)}, best "
            f"{'none' if s.best is None else round(s.best.cost_usd)}"
        )

    def _places(self, rng: np.random.Generator, block: int) -> list[Place]:
        """Return a place per block and model, blocks of so many steps from a random phase on."""
        steps, places = len(self.state.plan), []
        phase = int(rng.integers(block))
        longest = max(1, int(0.6 * block))
        for begin in range(phase - block, steps, block):
            for m in range(len(self.scenario.models)):
                start = max(begin + int(rng.integers(0, max(1, block // 6))), 0)
                stop = min(start + int(rng.integers(1, longest + 1)), begin + block, steps)
                if stop > start:
                    places.append(Place(m, start, stop))
        return places

    def _take(self, plan: Plan, other: Plan, m: int, span: slice) -> None:
        """Copy what another plan decides for a model."""
        endpoints = [
            e for e, p in enumerate(self.scenario.endpoints) if p.model == self.scenario.models[m]
        ]
        for name, array in plan.arrays.items():
            at: Any = endpoints if name in ("instances", "niw_release") else m
            array[span, at] = other.arrays[name][span, at]

    def _consider(self, plan: Plan, played: Played) -> None:
        """Keep a plan that attains if it is the cheapest."""
        if self.targets.misses(self.targets.means([played.metrics])):
            return
        cost, best = float(played.metrics["cost_usd"]), self.state.best
        if best is None or cost < best.cost_usd:
            self.state.best = Best(plan.copy(), played, self.state.price.copy(), cost)
            self.state.waited = 0

    def _reprice(self, played: Played) -> None:
        """Move the charges towards the targets: of tiers, and of models below the least share."""
        price, floor = self.state.price, self.targets.floors["slo_worst_model"]
        for k, tier in enumerate(self.scenario.tiers):
            name = f"slo_{tier_key(tier.name)}"
            reached: Any = played.metrics.get(name)
            if not fell_due(reached):
                continue
            wanted = self.targets.floors[name]
            spare = (reached - wanted) / max(1.0 - wanted, 1e-6)
            up = min(_LEAST_UP - _GAIN * spare, _MOST_UP)
            price[:, k] *= np.exp(up if spare < 0 else -min(_GAIN * spare, _MOST_DOWN))
            if tier.interactive:
                price[played.attained[:, k] < floor, k] *= np.exp(_MOST_UP)


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    shown = ("cost_usd", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")
    return {name: round(float(metrics[name]), 4) for name in shown if fell_due(metrics.get(name))}
