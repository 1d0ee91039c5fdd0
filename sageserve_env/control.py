"""Who decides what: from ``control`` and ``policy`` to the knobs of a learner and fixed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sageserve_env._config import unknown_key_message
from sageserve_env.actions import ClusterAction
from sageserve_env.entries import (
    Context,
    default_discipline_weights,
    default_router_weights,
    initial_fleet,
    routing_matrix,
)
from sageserve_env.forms import Entries
from sageserve_env.knobs import BY_NAME, KNOBS, TARGET_FORMS, Knob
from sageserve_env.policies import DISCIPLINE_FEATURES, ROUTER_FEATURES, ROUTERS, check_weights
from sageserve_env.scenario import Scenario

JOINT = "joint"
CONTROLS = (JOINT, *dict.fromkeys(knob.control for knob in KNOBS))
ACTION_MODES = ("continuous", "discrete", "structured")


@dataclass(frozen=True)
class Decided:
    """What a learner decides, and what is in force otherwise.

    Attributes:
        scenario: The cluster.
        router: Router in force.
        discipline: Discipline in force.
        knobs: What the learner decides; in continuous and discrete actions with `entries`.
        entries: Entries of continuous or discrete actions, for each of ``knobs`` that has some.
        fixed: Values that ``policy`` fixes, by the name of the knob.
    """

    scenario: Scenario
    router: str
    discipline: str
    knobs: tuple[Knob, ...]
    entries: tuple[tuple[Knob, Entries], ...]
    fixed: Mapping[str, Any]

    def value(self, knob: Knob) -> Any:
        """Return what is in force of a knob where the learner does not decide."""
        if knob.name in self.fixed:
            return self.fixed[knob.name]
        if knob.name == "discipline_weights":
            return default_discipline_weights(self.scenario, self.discipline)
        return knob.neutral(self.scenario, self.router)

    def decides(self, name: str) -> bool:
        """Return whether the learner decides a knob."""
        return any(knob.name == name for knob in self.knobs)


def decided(
    scenario: Scenario,
    mode: str = "continuous",
    control: str = JOINT,
    policy: Mapping[str, Any] | None = None,
    targets: str = "absolute",
) -> Decided:
    """Return who decides what.

    Args:
        scenario: The cluster.
        mode: ``continuous``, ``discrete`` or ``structured``.
        control: ``joint`` for all that has an effect, or words of `CONTROLS` joined by ``+``.
        policy: Fixed values by the name of the knob; one number stands for a whole array, and
            weights by feature for those in force with these changes.
        targets: Form of the targets in continuous actions, a name of `TARGET_FORMS`; discrete
            entries are always changes.

    Raises:
        ValueError: If a word or value cannot be used, or a knob is decided and fixed.
    """
    require(mode, ACTION_MODES, "action_mode")
    require(targets, TARGET_FORMS, "targets")
    if targets != "absolute" and mode == "structured":
        raise ValueError(f"targets: {targets!r}: structured actions hold the targets themselves")
    words = _words(control)
    fixed = _fixed(scenario, policy)
    router = fixed.get("router", scenario.routing.router)
    if words == ("routing",) and "router" not in fixed and mode != "structured":
        router = "shares"
    discipline = fixed.get("discipline", scenario.batching.discipline)
    context = Context(scenario, router, "router" in fixed, targets, discipline)
    knobs: list[Knob] = []
    entries: list[tuple[Knob, Entries]] = []
    for knob in KNOBS:
        if not (knob.joint.holds(scenario) if words == (JOINT,) else knob.control in words):
            continue
        if knob.name in fixed:
            if words == (JOINT,) or knob.choices:
                continue
            raise ValueError(
                f"policy: {knob.name} is decided by control={control!r}; name it in one of them"
            )
        if mode == "structured":
            if knob.name != "routing" or "router" not in fixed or routing_matrix(router):
                knobs.append(knob)
            continue
        form = knob.continuous if mode == "continuous" else knob.discrete
        made = None if form is None else form(context)
        if made is not None:
            knobs.append(knob)
            entries.append((knob, made))
    _require_each_word(words, knobs, mode, router)
    return Decided(scenario, router, discipline, tuple(knobs), tuple(entries), fixed)


def require(value: Any, valid: Sequence[str], key: str) -> None:
    """Raise ``ValueError`` if a value is not one of the valid ones, naming the nearest."""
    if not isinstance(value, str) or value not in valid:
        message = unknown_key_message(str(value), list(valid), key)
        raise ValueError(message.replace("unknown key", "unknown value"))


def _words(control: Any) -> tuple[str, ...]:
    words = tuple(word.strip() for word in control.split("+")) if isinstance(control, str) else ()
    for word in words or (control,):
        require(word, CONTROLS, "control")
    if len(set(words)) < len(words):
        raise ValueError(f"control: a word occurs twice in {control!r}")
    if JOINT in words and len(words) > 1:
        raise ValueError(f"control: 'joint' is everything and stands alone, got {control!r}")
    return words


def _fixed(scenario: Scenario, policy: Any) -> dict[str, Any]:
    if policy is None:
        return {}
    if not isinstance(policy, Mapping):
        raise ValueError(f"policy: expected a dict from knobs to values, got {policy!r}")
    fixed: dict[str, Any] = {}
    for name in policy:
        if name not in BY_NAME:
            raise ValueError(unknown_key_message(str(name), list(BY_NAME), "policy"))
    values: dict[str, Any] = {"instances": initial_fleet(scenario)}
    try:
        for name, value in sorted(policy.items(), key=lambda item: not BY_NAME[item[0]].choices):
            knob = BY_NAME[name]
            if knob.control == "weights" and isinstance(value, Mapping):
                value = _changed(name, value, fixed, scenario)
            fixed[name] = knob.fixed(value, scenario)
        values.update(fixed)
        ClusterAction(**values).validate(scenario)
    except ValueError as error:
        raise ValueError(f"policy: {error}") from None
    return fixed


def _changed(
    name: str, changes: Mapping[str, float], fixed: Mapping[str, Any], scenario: Scenario
) -> Any:
    """Return the weights of the fixed router or discipline, with changes for every model."""
    features, weights = _weights(name, fixed, scenario)
    changes = {str(feature): weight for feature, weight in changes.items()}
    check_weights(changes, features, name)
    for feature, weight in changes.items():
        weights[:, list(features).index(feature)] = weight
    return weights


def _weights(
    name: str, fixed: Mapping[str, Any], scenario: Scenario
) -> tuple[Mapping[str, str], Any]:
    """Return features and weights of the fixed router or discipline, else the scenario's."""
    if name == "router_weights":
        router = fixed.get("router", scenario.routing.router)
        return ROUTER_FEATURES, default_router_weights(scenario, router)
    discipline = fixed.get("discipline", scenario.batching.discipline)
    return DISCIPLINE_FEATURES, default_discipline_weights(scenario, discipline)


def _require_each_word(words: tuple[str, ...], knobs: list[Knob], mode: str, router: str) -> None:
    """Raise ``ValueError`` for a word of ``control`` that gives the learner nothing to decide."""
    having = {knob.control for knob in knobs}
    for word in words:
        if word == JOINT or word in having:
            continue
        if word == "routing":
            takers = ", ".join(name for name in ROUTERS if routing_matrix(name))
            raise ValueError(
                f"control: with router {router!r} there is no routing to decide in "
                f"action_mode={mode!r}; choose one of {takers} by policy={{'router': ...}}"
            )
        raise ValueError(
            f"control: {word!r} has no entries in action_mode={mode!r}; fix it by policy, or use "
            "action_mode='structured'"
        )
