"""Action modes: the spaces, and how their values become a decision.

What can be decided, its forms and its bounds are rows of `sageserve_env.knobs`; the formulas are in
`sageserve_env.forms`. A mode puts the entries of the knobs that the learner decides into one space:

* ``continuous``: ``Box(-1, 1, float32)``; the zero action is the scenario's own behaviour (with
  shares, 4 to the base e^-4 short of all traffic at home).
* ``discrete``: ``MultiDiscrete``.
* ``structured``: ``Dict`` of the fields of `ClusterAction` that are decided.

Values of any numeric type, in arrays or lists, are taken if they lie in the space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env.actions import ClusterAction
from sageserve_env.control import Decided
from sageserve_env.entries import routing_matrix
from sageserve_env.forms import CHANGE, LARGEST_DELTA, STEP
from sageserve_env.kernels.decoder import Decoder, build_decoder
from sageserve_env.kernels.step import CONTINUOUS, DISCRETE, IN_FORCE
from sageserve_env.knobs import KNOBS, Knob
from sageserve_env.policies import ROUTERS

Rule = Callable[[], NDArray[np.int64]]


class ActionMode(ABC):
    """How one action mode reads actions.

    Args:
        decided: What the learner decides.
        clip: Move numbers that are outside the space to its nearest, instead of refusing them.

    Attributes:
        form: How the step kernel takes the action.
        space: Action space.
        names: What each entry of an action means.
        owners: Region that decides each entry, -1 where no single one does, int64 [N].
        changes: Entries that change what is in force instead of setting it, bool [N].
        no_change: Value of such an entry that keeps what is in force.
        decoder: Tables of the kernels, which also hold the action.
    """

    form: int = IN_FORCE
    space: gym.Space[Any]
    no_change: int = 0

    def __init__(self, decided: Decided, clip: bool = False) -> None:
        self.decided = decided
        self.clip = clip
        self.decoder: Decoder = build_decoder(decided)
        self.names = tuple(name for _, made in decided.entries for name in made.names)
        owners = [knob.owners(decided.scenario, made.at) for knob, made in decided.entries]
        self.owners: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *owners])
        forms = [made.form for _, made in decided.entries for _ in made.names]
        self.changes: NDArray[np.bool_] = np.isin(forms, (STEP, CHANGE))

    @abstractmethod
    def read(self, action: Any, rule: Rule) -> ClusterAction | None:
        """Check type and shape, and put the action into the decoder or return what it means.

        Args:
            action: What was given to ``step``.
            rule: Returns the targets of the reactive rule, for what nobody decides.

        Raises:
            ValueError: If the action has the wrong type or shape.
        """

    @abstractmethod
    def refusal(self) -> str:
        """Return why the kernel refused an action whose type and shape are right."""

    def completed(self, action: ClusterAction) -> ClusterAction:
        """Return a decision with what ``policy`` fixes where it says None.

        Raises:
            ValueError: If it is no `ClusterAction`.
        """
        if not isinstance(action, ClusterAction):
            raise ValueError(f"action: expected a ClusterAction, got {type(action).__name__}")
        if not self.decided.fixed:
            return action
        values = {knob.name: getattr(action, knob.name) for knob in KNOBS}
        for name, value in self.decided.fixed.items():
            if values[name] is None:
                values[name] = value
        return ClusterAction(**values)


class ContinuousMode(ActionMode):
    """Box(-1, 1), see the module."""

    form = CONTINUOUS

    def __init__(self, decided: Decided, clip: bool = False) -> None:
        super().__init__(decided, clip)
        self._shape = (len(self.names),)
        self.space = gym.spaces.Box(-1.0, 1.0, self._shape, np.float32)

    def read(self, action: Any, rule: Rule) -> None:
        """Copy numbers of the right shape."""
        array = _array(action)
        if array.shape != self._shape or array.dtype.kind not in "fiu":
            raise ValueError(f"{self._expected}, got {_describe(action)}")
        self.decoder.action[:] = np.clip(array, -1.0, 1.0) if self.clip else array

    @property
    def _expected(self) -> str:
        return f"action: expected numbers of shape {self._shape} in [-1, 1]"

    def refusal(self) -> str:
        """Name the first entry that is outside."""
        action = self.decoder.action
        bad = int(np.argmax(~((action >= -1.0) & (action <= 1.0))))
        hint = "" if self.clip or np.isnan(action[bad]) else "; clip_actions=True clips"
        return f"{self._expected}, got {action[bad]} for {self.names[bad]!r} (entry {bad}){hint}"


class DiscreteMode(ActionMode):
    """MultiDiscrete, see the module."""

    form = DISCRETE
    no_change = LARGEST_DELTA

    def __init__(self, decided: Decided, clip: bool = False) -> None:
        super().__init__(decided, clip)
        options = [made.options for _, made in decided.entries for _ in made.names]
        self.options = np.array(options, dtype=np.int64)
        self._shape = self.options.shape
        self.space = gym.spaces.MultiDiscrete(self.options)

    def read(self, action: Any, rule: Rule) -> None:
        """Copy whole numbers of the right shape."""
        array = _array(action)
        if array.shape != self._shape or array.dtype.kind not in "iu":
            raise ValueError(f"{self._expected}, got {_describe(action)}")
        self.decoder.choice[:] = np.clip(array, 0, self.options - 1) if self.clip else array

    @property
    def _expected(self) -> str:
        return f"action: expected integers of shape {self._shape} within the choices"

    def refusal(self) -> str:
        """Name the first entry that is outside."""
        choice = self.decoder.choice
        bad = int(np.argmax((choice < 0) | (choice >= self.options)))
        most = self.options[bad] - 1
        return f"{self._expected}, got {choice[bad]} for {self.names[bad]!r} (0 to {most})"


class StructuredMode(ActionMode):
    """Dict of the fields of `ClusterAction` that are decided.

    Names are given as indices into their choices. ``routing`` is seconds or, for ``shares``,
    weights that are normalised per row (a row of zeros stays at home).
    """

    def __init__(self, decided: Decided, clip: bool = False) -> None:
        super().__init__(decided, clip)
        self.spaces = {knob.name: _space(knob, decided) for knob in decided.knobs}
        self.space = gym.spaces.Dict(self.spaces)
        self.names = tuple(self.spaces)

    def read(self, action: Any, rule: Rule) -> ClusterAction:
        """Check every field and return the decision."""
        if not isinstance(action, Mapping) or set(action) != set(self.spaces):
            got = sorted(map(str, action)) if isinstance(action, Mapping) else _describe(action)
            raise ValueError(
                f"action: expected a dict with keys {', '.join(self.spaces)}, got {got}"
            )
        values: dict[str, Any] = {}
        for knob in self.decided.knobs:
            space = self.spaces[knob.name]
            value = element_of(space, action[knob.name], self.clip)
            if value is None:
                got = _describe(action[knob.name])
                raise ValueError(f"action: {knob.name}: expected {space}, got {got}")
            values[knob.name] = knob.choices[int(value)] if knob.choices else value
        values = {**self.decided.fixed, **values}
        if "instances" not in values:
            values["instances"] = rule()
        router = values.get("router", self.decided.router)
        if self.decided.decides("router_weights") and not ROUTERS.spec(router).weights:
            del values["router_weights"]
        if self.decided.decides("routing"):
            matrix = routing_matrix(router)
            if matrix == "shares":
                values["routing"] = _normalised(values["routing"])
            elif matrix is None:
                del values["routing"]
        return ClusterAction(**values)

    def refusal(self) -> str:
        """Return a text; the simulator refuses nothing that `read` accepts."""
        return "action: was refused"

    def encode(self, action: ClusterAction) -> dict[str, Any]:
        """Return the element of the space that means ``action``, clipped to the space."""
        router = action.router or self.decided.router
        encoded: dict[str, Any] = {}
        for knob in self.decided.knobs:
            value = getattr(action, knob.name)
            if value is None:
                value = knob.neutral(self.decided.scenario, router)
            space = self.spaces[knob.name]
            if isinstance(space, gym.spaces.Box):
                encoded[knob.name] = np.clip(value, space.low, space.high).astype(space.dtype)
            else:
                encoded[knob.name] = np.int64(knob.choices.index(value))
        return encoded


def _space(knob: Knob, decided: Decided) -> gym.Space[Any]:
    """Return the space of a field of structured actions."""
    if knob.choices:
        return gym.spaces.Discrete(len(knob.choices))
    shape = knob.shape(decided.scenario)
    low, high = np.full(shape, knob.low), np.broadcast_to(knob.high(decided.scenario), shape)
    if np.isinf(knob.low):  # as far below 0 as above it, and to the value in force by itself
        low = np.minimum(-high, knob.neutral(decided.scenario, decided.router))
    if knob.integer:
        return gym.spaces.Box(low.astype(np.int64), high.astype(np.int64), dtype=np.int64)
    return gym.spaces.Box(low, high.astype(np.float64), dtype=np.float64)


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum(axis=2, keepdims=True)
    home = np.broadcast_to(np.eye(weights.shape[1]), weights.shape)
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), home)


def element_of(space: gym.Space[Any], value: Any, clip: bool = False) -> Any:
    """Return the element of a space that a value means, None if it means none.

    Args:
        space: What the value should be an element of; batches of spaces are spaces too.
        value: Numbers in arrays, lists, or dictionaries of them.
        clip: Move numbers that are outside to the nearest of the space.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(value, Mapping) or set(value) != set(space.spaces):
            return None
        parts = {key: element_of(part, value[key], clip) for key, part in space.items()}
        return None if any(part is None for part in parts.values()) else parts
    array = _array(value)
    whole = space.dtype is not None and space.dtype.kind in "iu"
    if array.shape != space.shape or array.dtype.kind not in ("iu" if whole else "fiu"):
        return None
    if clip and isinstance(space, gym.spaces.Box):
        array = np.clip(array, space.low, space.high)
    elif clip and isinstance(space, gym.spaces.MultiDiscrete):
        array = np.clip(array, space.start, space.start + space.nvec - 1)
    element = array.astype(space.dtype)[()]
    return element if space.contains(element) else None


def _array(value: Any) -> NDArray[Any]:
    """Return a value as an array; of objects if it is no regular one."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.array(None)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return f"{type(value).__name__} {value!r}"[:80]


_MODES: dict[str, type[ActionMode]] = {
    "continuous": ContinuousMode,
    "discrete": DiscreteMode,
    "structured": StructuredMode,
}


def make_action_mode(mode: str, decided: Decided, clip: bool = False) -> ActionMode:
    """Return the action mode of a name, for what `control.decided` says is decided."""
    return _MODES[mode](decided, clip)
