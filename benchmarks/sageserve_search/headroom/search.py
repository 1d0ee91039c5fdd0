"""The search with hindsight: days played again and again, their plans edited where that helps.

Models meet only where they compete for VMs, and an edit is felt for an hour or two. So one play of
a day tries many edits at once, one per model and block of the day, and each is judged by what its
model paid and missed within its block, and by the batch work that it left for later. What was
accepted is played together now and then; if that did not help, the plan goes back.

Agents are held to the targets on average over the days, and so is the search: a miss is charged the
same on each of the days, more while a target is missed on average and less while it is exceeded, so
that the search ends at the targets. Where it found nothing for a while it goes on from the best
plans.
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
from sageserve_search.headroom.edits import Edit, Editor, Place
from sageserve_search.headroom.plan import Plan
from sageserve_search.headroom.playing import Day, Floats, Played, value

# An edit is judged by what happens until the end of its block: long ones see late effects, of short
# ones more are tried in a play. A play draws one of these (our assumption).
BLOCKS_S = (9000.0, 3600.0, 1800.0)
_LEAST_BLOCK = 4  # steps of a block
REFRESH = 4  # plays between two of the plan as a whole
PATIENCE = 12  # of these without better plans, after which the search returns to the best
# Steps of the logarithm of a charge: over the spare share of the misses allowed, at most; while a
# target is missed, at least and at most.
_GAIN, _MOST_DOWN = 0.5, 0.15
_LEAST_UP, _MOST_UP = 0.1, 0.35
_LEFT = 2.0  # charge for work that is left, over its VM price (our assumption)
# Of each day the plans are kept that are best at one of these multiples of a miss's charge; what is
# best of every day at one of them is put together.
_CHARGES = np.exp(np.linspace(-1.5, 1.5, 25))

Start = tuple[Plan, Played]


@dataclass
class Best:
    """The cheapest plans so far that attain every target on average, and what a miss was charged.

    Attributes:
        days: Plan of each day and what came of it.
        price: What a miss is charged, by model and tier, [M, K].
        cost_usd: Of all days.
    """

    days: list[Start]
    price: Floats
    cost_usd: float


@dataclass
class OfDay:
    """Where the search of a day stands.

    Attributes:
        plan: The plan that is edited.
        played: What it comes to; parts of it as measured when they were accepted.
        whole: The plan when it was last played as a whole, and what came of it.
        kept: Of the plans that were played as a whole those that are the best at some charge.
        in_parts: Whether the plan is what was better of one that was worse as a whole.
    """

    plan: Plan
    played: Played
    whole: Start
    kept: list[Start]
    in_parts: bool = False


@dataclass
class State:
    """Where a search stands; what is written so that it can go on.

    Attributes:
        days: Of each day.
        price: What a miss is charged, by model and tier, [M, K].
        rng: Source of the edits.
        plays: Plays of each day so far.
        best: The best plans so far; None while none attain.
        waited: Plays of the plans as a whole since they were found.
        helped: Of each kind of edit how often it was tried and accepted.
    """

    days: list[OfDay]
    price: Floats
    rng: np.random.Generator
    plays: int = 0
    best: Best | None = None
    waited: int = 0
    helped: dict[str, tuple[int, int]] = field(default_factory=dict)


class Search:
    """A search on some days of a scenario.

    Args:
        days: The days.
        starts: Of each day the plans of agents, and what came of them.
        targets: What the plans have to attain on average; None for the scenario's.
        price: What a miss is charged at first, by model and tier, [M, K]; None for the scenario's.
        frozen: Knobs that are not edited.
        seed: Of the edits.
        told: Is given a line now and then.
    """

    def __init__(
        self,
        days: Sequence[Day],
        starts: Sequence[Sequence[Start]],
        *,
        targets: Targets | None = None,
        price: Floats | None = None,
        frozen: Sequence[str] = (),
        seed: int = 0,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        scenario = days[0].scenario
        self.days, self.scenario, self.told = days, scenario, told
        self.targets = targets or Targets.of(scenario)
        self.others = [[plan for plan, _ in some] for some in starts]
        self.frozen = tuple(frozen)
        if price is None:
            charges = np.array([max(tier.miss_usd, 1e-6) for tier in scenario.tiers])
            price = np.tile(charges, (len(scenario.models), 1))
        begun = []
        for some in starts:
            plan, played = min(some, key=lambda one: value(one[1], price))
            begun.append(OfDay(plan, played, (plan, played), list(some)))
        self.state = State(begun, price.copy(), np.random.default_rng(seed))
        self._consider()
        steps = {max(_LEAST_BLOCK, round(b / scenario.decision_interval_s)) for b in BLOCKS_S}
        self.blocks = sorted(steps)

    def run(self, plays: int, file: Path | None = None) -> Best | None:
        """Search until every day was played so often; goes on where ``file`` says.

        Returns:
            The cheapest plans that attain; None if there are none.
        """
        if file is not None and file.exists():
            self.state = pickle.loads(file.read_bytes())
        while self.state.plays < plays:
            whole = self.state.plays % REFRESH == REFRESH - 1
            play = self._refresh if whole else self._try
            for d in range(len(self.days)):
                play(d)
            self.state.plays += 1
            if whole:
                self._settle()
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(".part")
                part.write_bytes(pickle.dumps(self.state))
                part.replace(file)
        return self.state.best

    # -- one play -------------------------------------------------------------------------------

    def _try(self, d: int) -> None:
        """Play a day with an edit in every block of every model; keep those that helped."""
        s, here = self.state, self.state.days[d]
        editor = Editor(self.scenario, s.rng, self.others[d], self.frozen, self._weight)
        candidate = here.plan.copy()
        block = int(s.rng.choice(self.blocks))
        places = self._places(d, block)
        kinds = [editor.edit(candidate, place) for place in places]
        played = self.days[d].play(candidate)
        (here.plan, here.played), helped = self._keep(
            (here.plan, here.played), (candidate, played), places, block
        )
        for kind, good in zip(kinds, helped, strict=True):
            tried, so_far = s.helped.get(kind.__name__, (0, 0))
            s.helped[kind.__name__] = (tried + 1, so_far + good)

    def _refresh(self, d: int) -> None:
        """Play a plan as a whole.

        If it is worse than the last one, only the parts that are better stay, and if those are no
        better together either, the plan goes back.
        """
        s, here = self.state, self.state.days[d]
        now = here.plan, self.days[d].play(here.plan)
        every = [*here.kept, now]
        here.kept = [every[i] for i in sorted({_cheapest(every, c * s.price) for c in _CHARGES})]
        if value(now[1], s.price) <= value(here.whole[1], s.price) + 1e-9:
            here.whole, here.in_parts = now, False
        elif not here.in_parts:
            block = self.blocks[-1]
            places = [
                Place(m, start, min(start + block, len(here.plan)))
                for start in range(0, len(here.plan), block)
                for m in range(len(self.scenario.models))
            ]
            (here.plan, here.played), _ = self._keep(here.whole, now, places, block)
            here.in_parts = True
            return
        else:
            here.in_parts = False
        here.plan, here.played = here.whole

    def _keep(
        self, old: Start, new: Start, places: Sequence[Place], block: int
    ) -> tuple[Start, list[bool]]:
        """Return the old plan with the places in which the new one is better, and which those are.

        A place is judged by what its model paid and missed from its start to the end of a block,
        and by the batch work that is left then.
        """
        (plan, before), (other, played) = (old[0].copy(), old[1]), new
        usd, missed, left = before.usd.copy(), before.missed.copy(), before.left.copy()
        price, better = self.state.price, []
        for place in places:
            span, m = slice(place.start, min(place.start + block, len(plan))), place.model
            change = (played.usd[span, m] - usd[span, m]).sum()
            change += ((played.missed[span, m] - missed[span, m]) * price[m]).sum()
            change += _LEFT * (played.left[span, m][-1] - left[span, m][-1])
            better.append(bool(change < -1e-9))
            if better[-1]:
                self._take(plan, other, m, slice(place.start, place.stop))
                usd[span, m], missed[span, m] = played.usd[span, m], played.missed[span, m]
                left[span, m] = played.left[span, m]
        return (plan, Played(usd, missed, played.attained, {}, 0.0, left)), better

    def _settle(self) -> None:
        """Look what all days come to, and charge misses by it."""
        s = self.state
        self._consider()
        self._reprice([one.whole[1] for one in s.days])
        s.waited += 1
        if s.best is not None and s.waited > PATIENCE:
            s.price, s.waited = s.best.price.copy(), 0
            for one, (plan, played) in zip(s.days, s.best.days, strict=True):
                one.plan, one.played, one.whole = plan, played, (plan, played)
                one.in_parts = False
        means = self.targets.means([one.whole[1].metrics for one in s.days])
        best = "none" if s.best is None else round(s.best.cost_usd / len(s.days))
        self.told(f"{s.plays} plays: {figures(means)}, best {best}")

    def _weight(self, kind: Edit) -> float:
        """Return how often a kind of edit is drawn: the more, the more often it helped."""
        tried, helped = self.state.helped.get(kind.__name__, (0, 0))
        return (helped + 5.0) / (tried + 20.0)

    def _places(self, d: int, block: int) -> list[Place]:
        """Return a place per block and model, blocks of so many steps from a random phase on."""
        rng, steps, places = self.state.rng, len(self.state.days[d].plan), []
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

    def _consider(self) -> None:
        """Put together what was kept, and remember it if it is the best that attains.

        At each of some charges of a miss every day gives its best plan.
        """
        s = self.state
        for charge in _CHARGES:
            price = charge * s.price
            days = [one.kept[_cheapest(one.kept, price)] for one in s.days]
            means = self.targets.means([played.metrics for _, played in days])
            cost = means["cost_usd"] * len(days)
            if self.targets.misses(means) or (s.best is not None and cost >= s.best.cost_usd):
                continue
            s.best, s.waited = Best(days, s.price.copy(), cost), 0

    def _reprice(self, played: Sequence[Played]) -> None:
        """Move the charges towards the targets: of tiers, and of models below the least share."""
        s, floor = self.state, self.targets.floors["slo_worst_model"]
        means = self.targets.means([one.metrics for one in played])
        with np.errstate(invalid="ignore"):
            of_model = np.nanmean([one.attained for one in played], axis=0)  # [M, K]
        for k, tier in enumerate(self.scenario.tiers):
            name = f"slo_{tier_key(tier.name)}"
            if name not in means:
                continue
            wanted = self.targets.floors[name]
            spare = (means[name] - wanted) / max(1.0 - wanted, 1e-6)
            up = min(_LEAST_UP - _GAIN * spare, _MOST_UP)
            s.price[:, k] *= np.exp(up if spare < 0 else -min(_GAIN * spare, _MOST_DOWN))
            if tier.interactive and means.get("slo_worst_model", 1.0) < floor:
                s.price[of_model[:, k] < floor, k] *= np.exp(_MOST_UP)


def _cheapest(plans: Sequence[Start], price: Floats) -> int:
    """Return which of some plans of a day costs least, misses at a price."""
    return int(np.argmin([value(played, price) for _, played in plans]))


def figures(means: dict[str, Any]) -> dict[str, float]:
    """Return cost and attainment, rounded."""
    shown = ("cost_usd", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")
    return {name: round(float(means[name]), 4) for name in shown if fell_due(means.get(name))}
