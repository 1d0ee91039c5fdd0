"""Where the simulator keeps each knob: the only place that knows it.

Every decision, from `ClusterAction` or from the numbers of an action, is put into force here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.knobs import BY_NAME
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import INFINITY
from sageserve_env.simulator.state import State

INSTANCES = BY_NAME["instances"].code
ROUTING = BY_NAME["routing"].code
NIW_RELEASE = BY_NAME["niw_release"].code
ROUTER_WEIGHTS = BY_NAME["router_weights"].code
DISCIPLINE_WEIGHTS = BY_NAME["discipline_weights"].code
ADMISSION = BY_NAME["admission"].code


@jit
def put(s: State, knob: int, i: int, j: int, k: int, value: float) -> None:
    """Put one value of a knob with axes into force; indices of axes it lacks are 0."""
    if knob == INSTANCES:
        s.target[i, j] = int(value)
    elif knob == ROUTING:
        s.routing[i, j, k] = value
    elif knob == NIW_RELEASE:
        s.endpoint[i].release = value
    elif knob == ROUTER_WEIGHTS:
        s.weight[i, j] = value
    elif knob == DISCIPLINE_WEIGHTS:
        s.order[i, j] = value
    elif knob == ADMISSION:
        s.admission[i, j] = value
        if value < INFINITY:
            s.config[0].admission = 1


@jit
def in_force(s: State, knob: int, i: int, j: int, k: int) -> float:
    """Return the value in force of a knob with axes."""
    if knob == INSTANCES:
        return float(s.target[i, j])
    if knob == ROUTING:
        return float(s.routing[i, j, k])
    if knob == ROUTER_WEIGHTS:
        return float(s.weight[i, j])
    if knob == DISCIPLINE_WEIGHTS:
        return float(s.order[i, j])
    if knob == ADMISSION:
        return float(s.admission[i, j])
    return float(s.endpoint[i].release)


@jit
def put_array(s: State, knob: int, values: NDArray[np.float64]) -> None:
    """Put a whole array of a knob into force, given with three axes."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                put(s, knob, i, j, k, values[i, j, k])
