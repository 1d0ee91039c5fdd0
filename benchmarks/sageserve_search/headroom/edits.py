"""Edits of a plan: small changes of what one model is given for a while.

An edit changes a plan in place between two steps and says nothing when it has nothing to change.
Every kind belongs to a knob; a search with a frozen knob leaves its kinds out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.entries import default_discipline_weights
from sageserve_env.policies import DISCIPLINES, LARGEST_WEIGHT
from sageserve_env.scenario import Scenario
from sageserve_search.headroom.plan import Plan

_SHARE = 0.25  # of a fleet, the most that one edit removes (our assumption)
_RELEASES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
_WAITS = (np.inf, 1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.0)  # times the objective


@dataclass(frozen=True)
class Place:
    """Where an edit works: a model in steps ``[start, stop)``."""

    model: int
    start: int
    stop: int


Edit = Callable[["Editor", Plan, Place], None]


class Editor:
    """Makes random edits.

    Args:
        scenario: The cluster.
        rng: Source of the edits.
        others: Plans from which parts may be taken.
        frozen: Knobs that stay as they are.
        weight: How often a kind is drawn, beside the others; default is alike.
    """

    def __init__(
        self,
        scenario: Scenario,
        rng: np.random.Generator,
        others: Sequence[Plan] = (),
        frozen: Sequence[str] = (),
        weight: Callable[[Edit], float] = lambda kind: 1.0,
    ) -> None:
        self.scenario, self.rng, self.others = scenario, rng, others
        self.kinds = [kind for knob, kinds in KINDS if knob not in frozen for kind in kinds]
        weights = np.array([weight(kind) for kind in self.kinds])
        self._until = np.cumsum(weights / weights.sum())
        model = np.array([scenario.models.index(e.model) for e in scenario.endpoints])
        self.region = np.array([scenario.region_names.index(e.region) for e in scenario.endpoints])
        self.orders = [default_discipline_weights(scenario, name)[0] for name in DISCIPLINES]
        self.of_model = [np.flatnonzero(model == m) for m in range(len(scenario.models))]

    def edit(self, plan: Plan, place: Place) -> Edit:
        """Change a plan in place by a random edit of the model; returns its kind."""
        at = np.searchsorted(self._until[:-1], self.rng.random(), side="right")
        kind = self.kinds[int(at)]
        kind(self, plan, place)
        return kind

    def pick(self, m: int, *, used: bool, plan: Plan, place: Place) -> tuple[int, int] | None:
        """Return an (endpoint, VM type) of a model, one that is in use there or any usable one."""
        rows = self.of_model[m]
        usable = self.scenario.usable[rows]
        if used:
            usable = usable & (plan.arrays["instances"][place.start : place.stop, rows] > 0).any(0)
        found = np.argwhere(usable)
        if not len(found):
            return None
        e, g = found[self.rng.integers(len(found))]
        return int(rows[e]), int(g)

    def room(self, plan: Plan, place: Place, e: int, g: int) -> bool:
        """Return whether one more VM of a type is there throughout."""
        here = self.region == self.region[e]
        asked = plan.arrays["instances"][place.start : place.stop, here, g].sum(axis=1)
        return bool((asked < self.scenario.inventory[self.region[e], g]).all())


def add(editor: Editor, plan: Plan, place: Place) -> None:
    """One more instance."""
    at = editor.pick(place.model, used=False, plan=plan, place=place)
    if at is not None and editor.room(plan, place, *at):
        plan.arrays["instances"][place.start : place.stop, at[0], at[1]] += 1


def remove(editor: Editor, plan: Plan, place: Place) -> None:
    """Fewer instances where there are some: one, or up to a quarter of a large fleet."""
    at = editor.pick(place.model, used=True, plan=plan, place=place)
    if at is not None:
        counts = plan.arrays["instances"][place.start : place.stop, at[0], at[1]]
        fewer = 1 + int(editor.rng.random() * _SHARE * counts.mean())
        np.maximum(counts - fewer, 0, out=counts)


def move(editor: Editor, plan: Plan, place: Place) -> None:
    """One instance to another region or VM type."""
    old = editor.pick(place.model, used=True, plan=plan, place=place)
    new = editor.pick(place.model, used=False, plan=plan, place=place)
    if old is None or new is None or old == new or not editor.room(plan, place, *new):
        return
    counts = plan.arrays["instances"][place.start : place.stop]
    moved = np.minimum(counts[:, old[0], old[1]], 1)
    counts[:, old[0], old[1]] -= moved
    counts[:, new[0], new[1]] += moved


def shift(editor: Editor, plan: Plan, place: Place) -> None:
    """The same counts one or two steps earlier or later."""
    by = int(editor.rng.choice([-2, -1, 1, 2]))
    rows = editor.of_model[place.model]
    counts = plan.arrays["instances"]
    steps = np.clip(np.arange(place.start, place.stop) + by, 0, len(plan) - 1)
    counts[place.start : place.stop, rows] = counts[steps][:, rows]


def stretch(editor: Editor, plan: Plan, place: Place) -> None:
    """One change of the counts of an endpoint one or two steps earlier or later."""
    at = editor.pick(place.model, used=True, plan=plan, place=place)
    if at is None:
        return
    counts = plan.arrays["instances"][place.start : place.stop, at[0], at[1]]
    changes = np.flatnonzero(np.diff(counts)) + 1
    if not len(changes):
        return
    step, by = int(editor.rng.choice(changes)), int(editor.rng.choice([1, 2]))
    if editor.rng.random() < 0.5:
        counts[step : step + by] = counts[step - 1]
    else:
        counts[max(step - by, 0) : step] = counts[step]


def splice(editor: Editor, plan: Plan, place: Place) -> None:
    """What another plan does there."""
    if not editor.others:
        return
    other = editor.others[int(editor.rng.integers(len(editor.others)))]
    rows, span = editor.of_model[place.model], slice(place.start, place.stop)
    plan.arrays["instances"][span, rows] = other.arrays["instances"][span, rows]


def release(editor: Editor, plan: Plan, place: Place) -> None:
    """Another ceiling for non-interactive work, in one region or all."""
    rows = editor.of_model[place.model]
    if editor.rng.random() < 0.5:
        rows = rows[editor.rng.integers(len(rows)) :][:1]
    value = _RELEASES[editor.rng.integers(len(_RELEASES))]
    plan.arrays["niw_release"][place.start : place.stop, rows] = value


def admit(editor: Editor, plan: Plan, place: Place) -> None:
    """Another limit of the expected wait of a tier."""
    k = int(editor.rng.integers(len(editor.scenario.tiers)))
    factor = _WAITS[editor.rng.integers(len(_WAITS))]
    limit = factor * editor.scenario.tiers[k].objective_s
    plan.arrays["admission"][place.start : place.stop, place.model, k] = limit


def penalise(editor: Editor, plan: Plan, place: Place) -> None:
    """Another penalty from an origin, or from all, to a region."""
    regions = len(editor.scenario.regions)
    table = plan.arrays["routing"][place.start : place.stop, place.model]
    to = int(editor.rng.integers(regions))
    origin = slice(None) if editor.rng.random() < 0.5 else int(editor.rng.integers(regions))
    table[:, origin, to] = np.clip(table[:, origin, to] + editor.rng.normal(0.0, 0.3), 0.0, 5.0)


def reweigh(editor: Editor, plan: Plan, place: Place) -> None:
    """A weight of the router doubled or halved."""
    if "router_weights" not in plan.arrays:
        return
    table = plan.arrays["router_weights"][place.start : place.stop, place.model]
    _scale(editor, table)


def reorder(editor: Editor, plan: Plan, place: Place) -> None:
    """The order of another discipline, or a weight of the order doubled or halved."""
    table = plan.arrays["discipline_weights"][place.start : place.stop, place.model]
    if editor.rng.random() < 0.5:
        table[:] = editor.orders[editor.rng.integers(len(editor.orders))]
        return
    _scale(editor, table)


def _scale(editor: Editor, table: NDArray[Any]) -> None:
    """Double or halve one of the weights that are not 0, once or twice."""
    used = np.flatnonzero(table.any(axis=0))
    if len(used):
        table[:, used[editor.rng.integers(len(used))]] *= editor.rng.choice([0.25, 0.5, 2.0, 4.0])
        np.clip(table, -LARGEST_WEIGHT, LARGEST_WEIGHT, out=table)


#: Knob, and its kinds of edits.
KINDS: tuple[tuple[str, tuple[Edit, ...]], ...] = (
    ("scaling", (add, remove, shift, stretch, splice)),
    ("hardware", (move,)),
    ("batch", (release,)),
    ("admission", (admit,)),
    ("routing", (penalise, reweigh)),
    ("discipline", (reorder,)),
)
