"""The search with hindsight: a day is played forward, and in each part is kept what helped.

A sweep goes through every day with the plan that is best at what a miss is charged now
(`headroom.sweep`).

Agents are held to the targets on average over the days, and so is the search: a miss is charged the
same on each of the days, more while a target is missed on average and less while it is exceeded, so
that the search ends at the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.analysis.targets import Targets, fell_due
from sageserve_env.simulator.summary import tier_key
from sageserve_search.headroom.parts import read_part, write_part
from sageserve_search.headroom.plan import Plan
from sageserve_search.headroom.playing import Day, Floats, Played, value
from sageserve_search.headroom.sweep import FURTHER, Helped, Helpers, Sweep, add_up

# Lengths of a part, of which a sweep draws one, and how long after its end a trial is judged beside
# the slowest start; all our assumption.
PARTS_S = (1800.0, 2400.0)
AHEAD_S = 1800.0
_LEAST_PART = 4  # steps (A)
TRIALS = 14  # of a part, with one edit of every model each (A)
_FADING = 0.5  # what an edit gained a sweep ago counts so much (A)
# A charge moves in steps of its logarithm: _GAIN times that of the misses over those allowed, and
# at least _LEAST_UP while a target is missed (A). Steps are capped; where a charge turns its cap is
# multiplied by _SLOWER, else by _FASTER, as in resilient propagation (docs/sources.md, "Headroom").
_GAIN, _LEAST_UP = 1.5, 0.1
_LEAST_CAP, _MOST_CAP, _SLOWER, _FASTER = 0.2, 1.0, 0.5, 1.5
# Shares of the scenario's charges that are tried before the first sweep where nothing tells more
# (A).
_OPENINGS = (0.25, 0.35, 0.5, 0.7, 1.0)
_FIRST_CAP = 2.0  # of how far the logarithm of a charge is stepped down before the first sweep (A)
_TINY = 1e-6  # share of misses that is as good as none
_LEAST_CHARGE = 0.02  # of the scenario's, so that no target is forgotten (A)
# Kept of each day are the plans that are cheapest at one of these multiples of the charges, for all
# tiers or with one tier's charge scaled again by one of `_OF_ONE`; at each such price the cheapest
# plans of all days are put together.
_CHARGES = np.exp(np.linspace(-2.5, 2.5, 41))
_OF_ONE = np.exp([-2.0, -1.0, 1.0, 2.0])

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
        kept: Of the plans that were played, with what they came to, those that are the best at some
            charge.
    """

    kept: list[Start]

    def best(self, price: Floats) -> Start:
        """Return the plan that is best at a price of misses."""
        return min(self.kept, key=lambda one: value(one[1], price))


@dataclass
class State:
    """Where a search stands; what is written so that it can go on.

    Attributes:
        days: Of each day.
        price: What a miss is charged, by model and tier, [M, K].
        caps: Largest step of the logarithm of each charge, [M, K].
        stepped: Its last step, [M, K].
        rng: Source of the edits.
        plays: Simulated days, of each day, so far.
        best: The best plans so far; None while none attain.
        helped: Of each kind of edit how often it was tried and how many dollars it gained; what is
            a sweep ago counts less.
    """

    days: list[OfDay]
    price: Floats
    caps: Floats
    stepped: Floats
    rng: np.random.Generator
    plays: float = 0.0
    best: Best | None = None
    helped: Helped = field(default_factory=dict)


class Search:
    """A search on some days of a scenario.

    Args:
        days: The days.
        starts: Of each day the plans of agents, and what came of them.
        targets: What the plans have to attain on average; None for the scenario's.
        price: What a miss is charged at first, by model and tier, [M, K]; None for a part of the
            scenario's charges.
        share: That part; None for the least of some at which the agents' plans attain.
        frozen: Knobs that are not edited.
        seed: Of the edits.
        told: Is given a line now and then.
        helpers: Processes among which the days, of the traces of their seeds, are divided; None for
            this one.
    """

    def __init__(
        self,
        days: Sequence[Day],
        starts: Sequence[Sequence[Start]],
        *,
        targets: Targets | None = None,
        price: Floats | None = None,
        share: float | None = None,
        frozen: Sequence[str] = (),
        seed: int = 0,
        told: Callable[[str], None] = lambda line: None,
        helpers: Helpers | None = None,
    ) -> None:
        scenario = days[0].scenario
        self.days, self.scenario, self.told = days, scenario, told
        self.helpers = helpers or Helpers()
        self.targets = targets or Targets.of(scenario)
        self.others = [[plan for plan, _ in some] for some in starts]
        self.frozen = tuple(frozen)
        charges = np.array([max(tier.miss_usd, 1e-6) for tier in scenario.tiers])
        self._least = _LEAST_CHARGE * charges
        begun = [OfDay(list(some)) for some in starts]
        first = np.tile(charges, (len(scenario.models), 1)) if price is None else price.copy()
        caps, stepped = np.full_like(first, _MOST_CAP), np.zeros_like(first)
        self.state = State(begun, first, caps, stepped, np.random.default_rng(seed))
        self._consider()
        if price is None:
            self._open(_OPENINGS if share is None else (share,))
        step_s = scenario.decision_interval_s
        self.parts = sorted({max(_LEAST_PART, round(part / step_s)) for part in PARTS_S})
        starts_s = scenario.start_s[np.isfinite(scenario.start_s)]
        self.ahead = math.ceil((AHEAD_S + float(starts_s.max(initial=0.0))) / step_s)

    def run(self, plays: int, file: Path | None = None) -> Best | None:
        """Search until as much was simulated as so many plays of each day; goes on from ``file``.

        A sweep is not begun that would be cut off; where not even the first would be whole it makes
        do with fewer trials.

        Returns:
            The cheapest plans that attain; None if there are none.

        Raises:
            UserError: If a helper dies again and again.
        """
        self.state = read_part(file, State) or self.state
        while (trials := self._affords(plays - self.state.plays)) > 0:
            part = int(self.state.rng.choice(self.parts))
            steps = self._sweep(part, trials)
            self.state.plays += steps / sum(len(one.kept[0][0]) for one in self.state.days)
            self._settle()
            write_part(file, self.state)
        return self.state.best

    def _affords(self, plays: float) -> int:
        """Return how many trials of a part a sweep may have that costs at most so many plays."""
        ahead = self.ahead / self.parts[0]
        of_trial, together = 1.0 + ahead, 2.0 * (1.0 + FURTHER * ahead)
        trials = min(TRIALS, int((plays - 2.0 - together) / of_trial) - 1)
        return trials if trials == TRIALS or not self.state.plays else 0

    def _sweep(self, part: int, trials: int) -> int:
        """Go through all days in parts of so many steps; returns how many steps were played."""
        s = self.state
        sweeps = [
            Sweep(
                here.best(s.price)[0],
                others,
                s.price,
                self.frozen,
                s.helped,
                part,
                trials,
                self.ahead,
                int(s.rng.integers(2**63)),
            )
            for here, others in zip(s.days, self.others, strict=True)
        ]
        swept = self.helpers.sweep(self.days, sweeps)
        prices = self._prices()
        for here, one in zip(s.days, swept, strict=True):
            every = [*here.kept, (one.plan, one.played)]
            here.kept = [every[i] for i in np.unique(_cheapest(every, prices))]
            add_up(s.helped, [(kind, *counts) for kind, counts in one.helped.items()])
        return sum(one.steps for one in swept)

    def _settle(self) -> None:
        """Look what all days come to, and charge misses by it."""
        s = self.state
        self._consider()
        means = self._reprice()
        best = "none" if s.best is None else round(s.best.cost_usd / len(s.days))
        s.helped = {kind: (_FADING * t, _FADING * g) for kind, (t, g) in s.helped.items()}
        self.told(f"{s.plays:.0f} plays: {figures(means)}, best {best}")

    def _prices(self) -> Floats:
        """Return what a miss might be charged around what it is charged now, [P, M, K]."""
        tiers = self.state.price.shape[1]
        factors = [np.ones(tiers)]
        factors += [np.where(np.arange(tiers) == k, f, 1.0) for k in range(tiers) for f in _OF_ONE]
        multiples = (_CHARGES[:, None, None] * np.stack(factors)).reshape(-1, 1, tiers)
        return np.asarray(multiples * self.state.price)

    def _consider(self) -> None:
        """Put together what was kept, and remember it if it is the best that attains.

        At each of some charges of a miss every day gives its best plan.
        """
        s, prices = self.state, self._prices()
        chosen = np.stack([_cheapest(one.kept, prices) for one in s.days], axis=1)  # [P, D]
        for of_day in np.unique(chosen, axis=0):
            days = [one.kept[i] for one, i in zip(s.days, of_day, strict=True)]
            means = self.targets.means([played.metrics for _, played in days])
            cost = means["cost_usd"] * len(days)
            if not self.targets.misses(means) and (s.best is None or cost < s.best.cost_usd):
                s.best = Best(days, s.price.copy(), cost)

    def _open(self, shares: Sequence[float]) -> None:
        """Charge at first the least share at which the best of the agents' plans attain.

        Where they do at none, the last; less where they exceed a target.
        """
        s = self.state
        for share in shares:
            opening = share * s.price
            days = [one.best(opening)[1] for one in s.days]
            if not self.targets.misses(self.targets.means([played.metrics for played in days])):
                break
        steps, _ = self._steps(days)
        s.price = np.maximum(opening * np.exp(np.clip(steps, -_FIRST_CAP, 0.0)), self._least)
        if s.best is not None:  # put together before there were charges to go by
            s.best.price = s.price.copy()

    def _reprice(self) -> dict[str, float]:
        """Move the charges towards the targets: of tiers, and of models below the least share.

        Returns:
            What all days come to on average.
        """
        s = self.state
        steps, means = self._steps([one.best(s.price)[1] for one in s.days])
        change = np.where(steps * s.stepped < 0, _SLOWER, _FASTER)
        s.caps = np.clip(change * s.caps, _LEAST_CAP, _MOST_CAP)
        s.stepped = np.clip(steps, -s.caps, s.caps)
        s.price = np.maximum(s.price * np.exp(s.stepped), self._least)
        return means

    def _steps(self, days: Sequence[Played]) -> tuple[Floats, dict[str, float]]:
        """Return steps of the logarithms of the charges, [M, K], and the means of the days."""
        means = self.targets.means([played.metrics for played in days])
        steps = np.zeros_like(self.state.price)
        for k, tier in enumerate(self.scenario.tiers):
            name = f"slo_{tier_key(tier.name)}"
            if name in means:
                steps[:, k] = _step(means[name], self.targets.floors[name])
        floor = self.targets.floors["slo_worst_model"]
        least = means.get("slo_worst_model", 1.0)
        if least < floor:
            attained = np.ma.masked_invalid([played.attained for played in days])  # [D, M, K]
            of_model = attained.mean(axis=0).filled(1.0)
            of_model[:, [not tier.interactive for tier in self.scenario.tiers]] = 1.0
            low = {(int(m), int(k)) for m, k in np.argwhere(of_model < floor)}
            for m, k in low or {divmod(int(of_model.argmin()), of_model.shape[1])}:
                below = min(float(of_model[m, k]), least)  # the least may change from day to day
                steps[m, k] = max(steps[m, k], _step(below, floor))
        return steps, means


def _step(attained: float, floor: float) -> float:
    """Return what the logarithm of a charge should move by for a share of requests in time."""
    missed, allowed = 1.0 - attained, 1.0 - floor
    ratio = math.log(max(missed, _TINY) / max(allowed, _TINY))
    return max(_GAIN * ratio, _LEAST_UP if missed > allowed else -math.inf)


def _cheapest(plans: Sequence[Start], prices: Floats) -> NDArray[np.int64]:
    """Return which of some plans of a day costs least at each of some prices of misses, [P]."""
    bills = [[value(played, price) for _, played in plans] for price in prices]
    return np.asarray(np.argmin(bills, axis=1), dtype=np.int64)


def figures(means: Mapping[str, Any]) -> dict[str, float]:
    """Return cost and attainment, rounded."""
    shown = ("cost_usd", "slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")
    return {name: round(float(means[name]), 4) for name in shown if fell_due(means.get(name))}
