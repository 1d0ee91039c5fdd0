"""From a `ClusterView` to the environment's observation, and from its actions to decisions.

A network that was trained in `SageServeEnv` sees its observations and answers in its actions. An
agent is given a view instead, which `sageserve_env.observe` scales as the environment does; `Codec`
adds the actions, with the entries of `sageserve_env.entries` and the formulas of
`sageserve_env.forms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.actions import ClusterAction
from sageserve_env.control import Decided, decided
from sageserve_env.forms import (
    CHOICE,
    CHOICES,
    COUNT,
    LARGEST_DELTA,
    LIMIT,
    LOAD,
    LOAD_RANGE,
    SHARE,
    SHARE_SHARPNESS,
    STEP,
    Entries,
)
from sageserve_env.kernels.decode import limit_of, linear_of, target_of
from sageserve_env.observe import Layout, Observation, Observer
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView, Floats, Ints

Masks = NDArray[np.bool_]


def decided_in(scenario: Scenario, keywords: Mapping[str, Any]) -> Decided:
    """Return what is decided with arguments of `SageServeEnv`.

    Raises:
        ValueError: If the targets are not: an agent has to set them.
    """
    what = decided(
        scenario,
        keywords.get("action_mode", "continuous"),
        keywords.get("control", "joint"),
        keywords.get("policy"),
        keywords.get("targets", "absolute"),
    )
    if not what.decides("instances"):
        raise ValueError("an agent sets targets, which are not decided there")
    return what


class Codec:
    """Observations and actions of one scenario, without an environment.

    Args:
        scenario: The cluster.
        view: A view of it, for the throughput of its instances.
        keywords: Arguments of `SageServeEnv` in which a policy was trained.

    Raises:
        ValueError: If an agent cannot decide in that form.
    """

    def __init__(self, scenario: Scenario, view: ClusterView, keywords: Mapping[str, Any]) -> None:
        self.scenario = scenario
        self.decided = decided_in(scenario, keywords)
        self._observer = Observer(scenario, view.theta, keywords.get("observation_mode", "flat"))
        models = [scenario.models.index(p.model) for p in scenario.endpoints]
        regions = [scenario.region_names.index(p.region) for p in scenario.endpoints]
        self._model, self._region = np.array(models), np.array(regions)

    @property
    def layout(self) -> Layout:
        """Return names and space of the observation."""
        return self._observer.layout

    def observation(self, view: ClusterView) -> Observation:
        """Return the observation of a view, as the environment gives it."""
        return self._observer.observation(view)

    # -- action ---------------------------------------------------------------------------------

    def action(
        self, view: ClusterView, numbers: NDArray[Any], headroom: float = 1.0
    ) -> ClusterAction:
        """Return the decision that an action means.

        Args:
            view: What is decided on; changes and multiples refer to it.
            numbers: Element of the environment's action space, [N].
            headroom: Factor on continuous targets before they are rounded.
        """
        values: dict[str, Any] = dict(self.decided.fixed)
        first = 0
        for knob, made in self.decided.entries:
            part = np.asarray(numbers[first : first + len(made.names)])
            first += len(part)
            values[knob.name] = array = np.array(self.decided.value(knob))
            if knob.name == "instances":
                array[:] = 0
                wanted = self._targets(view, made, part, headroom)
                array[made.at[:, 0, 0], made.at[:, 0, 1]] = wanted
            elif made.form == CHOICE:
                for at, presets, i in zip(made.at, made.presets, part, strict=True):
                    array[tuple(at[:, : array.ndim].T)] = presets[int(i)].values
                    if presets[int(i)].router is not None:
                        values["router"] = presets[int(i)].router
            else:
                array[tuple(made.at[:, 0, : array.ndim].T)] = _numbers(made, part)
        return ClusterAction(**values)

    def mask(self, view: ClusterView) -> Masks:
        """Return which discrete choices lead somewhere, flat (see ``action_masks``)."""
        parts = [
            self._steps(view, made).ravel()
            if made.form == STEP
            else np.ones(len(made.names) * made.options, dtype=np.bool_)
            for _, made in self.decided.entries
        ]
        return np.concatenate(parts)

    def likeliest(self, view: ClusterView, logits: NDArray[Any]) -> Ints:
        """Return the choice of each entry with the highest logit of those that lead somewhere."""
        masked = np.where(self.mask(view), logits, -np.inf)
        options = [made.options for _, made in self.decided.entries for _ in made.names]
        parts = np.split(masked, np.cumsum(options)[:-1])
        return np.array([int(part.argmax()) for part in parts], dtype=np.int64)

    def _targets(
        self, view: ClusterView, made: Entries, part: NDArray[Any], headroom: float
    ) -> Ints:
        e, g = made.at[:, 0, 0], made.at[:, 0, 1]
        now = view.target[e, g]
        if made.form == STEP:
            changed: Ints = np.clip(now + part - LARGEST_DELTA, made.low, made.high).astype(
                np.int64
            )
            return changed
        x = part.astype(np.float64)
        if made.form == COUNT:
            rows = zip(x, made.low, made.centre, made.high, strict=True)
            wanted = np.array([target_of(a, int(b), int(c), int(d)) for a, b, c, d in rows])
        elif made.form == LOAD:
            share = made.centre * np.where(x <= 0.0, 1.0 + x, LOAD_RANGE**x)
            wanted = self._load(view, e, g, now / made.centre) * share
        else:
            wanted = now + x * made.centre
        whole = np.floor(headroom * wanted + 0.5)
        targets: Ints = np.clip(whole, made.low, made.high).astype(np.int64)
        return targets

    def _load(self, view: ClusterView, e: Ints, g: Ints, otherwise: Floats) -> Floats:
        """Return the load of endpoints in instances, [N]; see `sageserve_env.forms`."""
        busy = (view.utilisation * view.active.sum(axis=1))[e]
        m, r = self._model[e], self._region[e]
        theta = view.theta[m, g]
        unknown = (view.time_s <= 0.0) | (theta <= 0.0)
        arriving = view.prompt_rate[0].sum(axis=2)[m, r] / np.where(theta > 0.0, theta, 1.0)
        load: Floats = np.where(busy > 0.0, busy, np.where(unknown, otherwise, arriving))
        return load

    def _steps(self, view: ClusterView, made: Entries) -> Masks:
        """Return which changes of targets lead somewhere, [N, choices]."""
        s, e, g = self.scenario, made.at[:, 0, 0], made.at[:, 0, 1]
        room = view.free_vms[self._region[e], g] + view.draining[e, g] - view.unmet[e, g]
        delta = np.arange(CHOICES) - LARGEST_DELTA
        wanted = view.target[e, g][:, None] + delta
        total = view.target.sum(axis=1)[e][:, None] + delta
        fits = (wanted >= made.low[:, None]) & (wanted <= made.high[:, None])
        fits &= total >= s.min_instances
        if s.max_instances is not None:
            fits &= total <= s.max_instances
        masks: Masks = (delta == 0) | (fits & ((delta < 0) | (delta <= room[:, None])))
        return masks


def _numbers(made: Entries, part: NDArray[Any]) -> Floats:
    """Return the values of continuous entries that are no targets, [N]."""
    x = part.astype(np.float64)
    if made.form == SHARE:
        weights = np.exp(SHARE_SHARPNESS * (x + made.centre)).reshape(-1, made.group)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True)).ravel()
    rows = zip(x, made.low, made.centre, made.high, strict=True)
    if made.form == LIMIT:
        return np.array([limit_of(a, low, centre) for a, low, centre, _ in rows])
    return np.array([linear_of(*row) for row in rows])
