"""`Plan`: what is decided at every step of a day, as arrays that a search can edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.runs.actionlog import ActionLog, Recorder
from sageserve_env.actions import ClusterAction
from sageserve_env.knobs import BY_NAME, KNOBS
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario

Array = NDArray[Any]
NAMES = tuple(knob.name for knob in KNOBS if knob.choices)
ARRAYS = tuple(knob.name for knob in KNOBS if not knob.choices)
_PRICE = "price"  # in a file of plans


@dataclass(frozen=True)
class Plan:
    """The decisions of an episode of T steps.

    Attributes:
        names: Router and discipline of the whole episode.
        arrays: Every other knob, ``[T, ...]`` by name.
    """

    names: dict[str, str]
    arrays: dict[str, Array]

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.arrays["instances"])

    def action(self, step: int) -> ClusterAction:
        """Return the decision of a step."""
        values: dict[str, Any] = {name: array[step] for name, array in self.arrays.items()}
        return ClusterAction(**values | self.names)

    def copy(self) -> Plan:
        """Return a plan whose arrays may be changed."""
        return replace(self, arrays={name: array.copy() for name, array in self.arrays.items()})


def plan_of(actions: Sequence[ClusterAction], scenario: Scenario) -> Plan:
    """Return the plan that an agent's decisions were.

    A name that changes within the episode is taken from its last decision.
    """
    last = actions[-1]
    names = {name: getattr(last, name) or BY_NAME[name].neutral(scenario, "") for name in NAMES}
    router = names["router"]
    arrays = {}
    for name in ARRAYS:
        if name == "router_weights" and not ROUTERS.spec(router).weights:
            continue
        neutral = neutral_of(name, scenario, names)
        rows = [getattr(action, name) for action in actions]
        arrays[name] = np.stack([neutral if row is None else np.asarray(row) for row in rows])
    return Plan(names, arrays)


def neutral_of(name: str, scenario: Scenario, names: dict[str, str]) -> Array:
    """Return what is in force where nobody decides a knob."""
    if name == "discipline_weights":  # whose neutral value follows the discipline
        scenario = scenario.replace(batching={"discipline": names["discipline"]})
    return np.asarray(BY_NAME[name].neutral(scenario, names["router"]))


def write_plans(path: Path, plans: Mapping[int, Plan], price: Array) -> None:
    """Write plans by seed to an archive of decisions, as that of a comparison.

    Args:
        path: File, replaced.
        plans: The plans.
        price: What a miss was charged when they were found, [M, K].
    """
    flat: dict[str, Array] = {_PRICE: price}
    for seed, plan in plans.items():
        recorder = Recorder()
        for step in range(len(plan)):
            recorder.note(plan.action(step))
        flat |= {f"{seed}/{name}": array for name, array in recorder.log().arrays().items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **flat)


def read_price(path: Path) -> Array | None:
    """Read what a miss was charged when the plans of a file were found; None if it does not say."""
    with np.load(path, allow_pickle=False) as file:
        return file[_PRICE] if _PRICE in file.files else None


def read_plan(path: Path, seed: int, scenario: Scenario) -> Plan:
    """Read a plan that `write_plans` wrote."""
    log = ActionLog.load(path, str(seed))
    return plan_of([log.action(step) for step in range(len(log))], scenario)
