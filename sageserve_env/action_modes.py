"""Action modes: the spaces, and how their values become one `ClusterAction`.

``continuous`` - Box(-1, 1), float32. The zero action is the scenario's own behaviour: the initial
fleet, round trips as penalties, its own ceilings. In order, for what is controlled:

* targets, one per endpoint and usable VM type: -1 is the minimum, 0 the initial count c, 1 the most
  that is feasible h (inventory of the region, at most ``max_instances``); linear below 0, and
  geometric above it: ``(c + 1) ((h + 1) / (c + 1))^x - 1``, so that a step changes the fleet by a
  proportion of it. ``joint`` and ``scaling``.
* penalties in seconds per (model, origin, destination) for the ``least_wait`` router: -1 is 0 s,
  0 the round trip, 1 is 2 s, linear between. ``joint``.
* ceilings of utilisation below which an endpoint pulls non-interactive work: -1 is 0 (hold all), 0
  the scenario's, 1 is 1, linear between. ``joint``.
* shares per (model, origin, destination) for the ``shares`` router: softmax over destinations of
  ``4 (x + [destination is home])``; the fleet is scaled by the built-in `reactive` rule.
  ``routing``.

``discrete`` - MultiDiscrete. Targets: 5 choices each, -2 to +2 instances. ``joint`` adds a routing
preset (`ROUTING_PRESETS`) and a ceiling preset (`NIW_PRESETS`); ``routing`` has one choice per
(model, origin): home, even, or all to one region.

``structured`` - Dict with the fields of `ClusterAction`; ``joint`` only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.actions import ClusterAction
from sageserve_env.kernels.buffers import Buffers, usable_pairs
from sageserve_env.kernels.decode import CHOICES, JOINT, ROUTING, SCALING
from sageserve_env.kernels.step import CONTINUOUS, DISCRETE, IN_FORCE
from sageserve_env.options import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario

ACTION_MODES = ("continuous", "discrete", "structured")
CONTROLS = ("joint", "scaling", "routing")
ROUTING_PRESETS = (
    "default: the scenario's router",
    "local: least wait, half a second for leaving home",
    "pooled: least wait, no penalties",
    "threshold: first region below the threshold",
)
NIW_PRESETS = ("default: the scenario's ceilings", "hold: 0", "eager: 0.9")
LARGEST_ROUTING = 10.0  # of the structured space: seconds or unnormalised shares


class ActionMode(ABC):
    """How one action mode reads actions.

    Attributes:
        form: How the step kernel takes the action.
        space: Action space.
        names: What each entry of an action means.
        size: Entries of a continuous action.
        options: Choices of each entry of a discrete action.
    """

    form: int = IN_FORCE
    space: gym.Space[Any]
    names: tuple[str, ...] = ()
    size: int = 0
    options: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __init__(self, scenario: Scenario, control: str) -> None:
        self.scenario = scenario
        self.control = (JOINT, SCALING, ROUTING)[CONTROLS.index(control)]

    @abstractmethod
    def read(self, action: Any, buffers: Buffers) -> ClusterAction | None:
        """Check type and shape, and put the action into the buffers or return what it means.

        Raises:
            ValueError: If the action has the wrong type or shape.
        """

    @abstractmethod
    def refusal(self, action: Any) -> str:
        """Return why the kernel refused an action whose type and shape are right."""


def _target_names(scenario: Scenario) -> list[str]:
    pairs = np.argwhere(usable_pairs(scenario) > 0)
    return [f"{scenario.endpoints[e].name}.target[{scenario.gpus[g]}]" for e, g in pairs]


def _origins(scenario: Scenario) -> list[str]:
    return [f"{m}/{r}" for m in scenario.models for r in scenario.region_names]


class ContinuousMode(ActionMode):
    """Box(-1, 1), see the module."""

    form = CONTINUOUS

    def __init__(self, scenario: Scenario, control: str) -> None:
        super().__init__(scenario, control)
        routes = [f"{o}->{d}" for o in _origins(scenario) for d in scenario.region_names]
        names = [] if control == "routing" else _target_names(scenario)
        if control == "joint":
            names += [f"{route}.penalty" for route in routes]
            names += [f"{e.name}.niw_release" for e in scenario.endpoints]
        elif control == "routing":
            names += [f"{route}.share" for route in routes]
        self.names = tuple(names)
        self.size = len(names)
        self._shape = (self.size,)
        self.space = gym.spaces.Box(-1.0, 1.0, self._shape, np.float32)

    def read(self, action: Any, buffers: Buffers) -> None:
        """Copy a float array of the right shape."""
        if not isinstance(action, np.ndarray) or action.shape != self._shape:
            raise ValueError(f"{self._expected}, got {_describe(action)}")
        if action.dtype != np.float32 and action.dtype != np.float16:
            raise ValueError(f"{self._expected}, got {_describe(action)}")
        buffers.action[:] = action

    @property
    def _expected(self) -> str:
        return f"action: expected a float32 array of shape {self._shape} with values in [-1, 1]"

    def refusal(self, action: Any) -> str:
        """Name the first entry that is outside."""
        bad = int(np.argmax(~((action >= -1.0) & (action <= 1.0))))
        return f"{self._expected}, got {action[bad]} for {self.names[bad]!r} (entry {bad})"


class DiscreteMode(ActionMode):
    """MultiDiscrete, see the module."""

    form = DISCRETE

    def __init__(self, scenario: Scenario, control: str) -> None:
        super().__init__(scenario, control)
        names: list[str] = []
        options: list[int] = []
        if control != "routing":
            names += [name.replace(".target", ".delta") for name in _target_names(scenario)]
            options += [CHOICES] * len(names)
        if control == "joint":
            names += ["routing_preset", "niw_preset"]
            options += [len(ROUTING_PRESETS), len(NIW_PRESETS)]
        elif control == "routing":
            names += [f"{origin}.destination" for origin in _origins(scenario)]
            options += [2 + len(scenario.regions)] * len(names)
        self.names = tuple(names)
        self.options = np.array(options, dtype=np.int64)
        self._shape = self.options.shape
        self.space = gym.spaces.MultiDiscrete(self.options)

    def read(self, action: Any, buffers: Buffers) -> None:
        """Copy an integer array of the right shape."""
        fits = isinstance(action, np.ndarray) and action.shape == self._shape
        if not fits or not np.issubdtype(action.dtype, np.integer):
            raise ValueError(f"{self._expected}, got {_describe(action)}")
        buffers.choice[:] = action

    @property
    def _expected(self) -> str:
        return f"action: expected an integer array of shape {self._shape} within its choices"

    def refusal(self, action: Any) -> str:
        """Name the first entry that is outside."""
        bad = int(np.argmax((action < 0) | (action >= self.options)))
        most = self.options[bad] - 1
        return f"{self._expected}, got {action[bad]} for {self.names[bad]!r} (0 to {most})"


class StructuredMode(ActionMode):
    """Dict of the fields of `ClusterAction`.

    ``instances`` int64 [E, G]; ``router`` and ``discipline`` as indices into `ROUTERS` and
    `DISCIPLINES`; ``routing`` float64 [M, R, R], seconds for ``least_wait`` and ``least_wait_kv``,
    and for ``shares`` weights that are normalised per row (a row of zeros stays at home);
    ``niw_release`` float64 [E].
    """

    def __init__(self, scenario: Scenario, control: str) -> None:
        super().__init__(scenario, control)
        if control != "joint":
            raise ValueError(
                f"action_mode 'structured' decides everything: control must be 'joint', "
                f"got {control!r}"
            )
        m, r, e = len(scenario.models), len(scenario.regions), len(scenario.endpoints)
        region = [scenario.region_names.index(p.region) for p in scenario.endpoints]
        most = np.where(usable_pairs(scenario) > 0, scenario.inventory[region], 0)
        if scenario.max_instances is not None:
            most = np.minimum(most, scenario.max_instances)
        self.space = gym.spaces.Dict(
            {
                "instances": gym.spaces.Box(np.zeros_like(most), most, dtype=np.int64),
                "router": gym.spaces.Discrete(len(ROUTERS)),
                "routing": gym.spaces.Box(0.0, LARGEST_ROUTING, (m, r, r), np.float64),
                "niw_release": gym.spaces.Box(0.0, 1.0, (e,), np.float64),
                "discipline": gym.spaces.Discrete(len(DISCIPLINES)),
            }
        )
        self.names = tuple(self.space.spaces)

    def read(self, action: Any, buffers: Buffers) -> ClusterAction:
        """Check every field and return the decision."""
        spaces = self.space.spaces  # type: ignore[attr-defined]
        if not isinstance(action, Mapping) or set(action) != set(spaces):
            got = sorted(map(str, action)) if isinstance(action, Mapping) else _describe(action)
            raise ValueError(f"action: expected a dict with keys {', '.join(spaces)}, got {got}")
        for key, space in spaces.items():
            value = action[key]
            if isinstance(space, gym.spaces.Box) and not isinstance(value, np.ndarray):
                raise ValueError(f"action: {key}: expected {space}, got {_describe(value)}")
            if not space.contains(value):
                raise ValueError(f"action: {key}: expected {space}, got {_describe(value)}")
        router = ROUTERS[int(action["router"])]
        routing = np.asarray(action["routing"], dtype=np.float64)
        if router == "shares":
            routing = _normalised(routing)
        return ClusterAction(
            np.asarray(action["instances"]),
            router,
            None if router == "threshold" else routing,
            np.asarray(action["niw_release"], dtype=np.float64),
            DISCIPLINES[int(action["discipline"])],
        )

    def refusal(self, action: Any) -> str:
        """Return a text; the simulator refuses nothing that `read` accepts."""
        return f"action: {_describe(action)} was refused"

    def encode(self, action: ClusterAction) -> dict[str, Any]:
        """Return the element of the space that means ``action``, clipped to the space."""
        s = self.scenario
        router = action.router or s.routing.router
        routing = action.routing
        if routing is None:
            one = np.eye(len(s.regions)) if router == "shares" else s.round_trip
            routing = np.broadcast_to(one, (len(s.models), *one.shape))
        release = action.niw_release
        if release is None:
            release = np.full(len(s.endpoints), s.niw.pull_below)
        high = self.space["instances"].high  # type: ignore[index]
        return {
            "instances": np.minimum(action.instances, high).astype(np.int64),
            "router": np.int64(ROUTERS.index(router)),
            "routing": np.clip(routing, 0.0, LARGEST_ROUTING).astype(np.float64),
            "niw_release": np.clip(release, 0.0, 1.0).astype(np.float64),
            "discipline": np.int64(DISCIPLINES.index(action.discipline or s.batching.discipline)),
        }


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum(axis=2, keepdims=True)
    home = np.broadcast_to(np.eye(weights.shape[1]), weights.shape)
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), home)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return f"{type(value).__name__} {value!r}"[:80]


_MODES: dict[str, type[ActionMode]] = {
    "continuous": ContinuousMode,
    "discrete": DiscreteMode,
    "structured": StructuredMode,
}


def make_action_mode(scenario: Scenario, mode: str, control: str) -> ActionMode:
    """Return the action mode of a name.

    Raises:
        ValueError: If a name is unknown or the two do not go together.
    """
    for value, valid, key in ((mode, ACTION_MODES, "action_mode"), (control, CONTROLS, "control")):
        if value not in valid:
            message = unknown_key_message(str(value), list(valid), key)
            raise ValueError(message.replace("unknown key", "unknown value"))
    return _MODES[mode](scenario, control)
