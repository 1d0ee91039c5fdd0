"""What `sageserve_env.view.ClusterView` counts: its counters in the state, and their survey.

The rows are the fields of the view that are `Counted`. Those of endpoints are columns of
``State.recent``, which has a line for each of the last minutes (`metrics.turn_window`); the others
are fields of ``State.count``. What happens is booked where it happens:

    row = turn_window(s, e, now_s)
    s.recent[e, row, FOUND_TOKENS] += cached
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import NONE
from sageserve_env.simulator.metrics import fresh
from sageserve_env.simulator.state import COUNT, State
from sageserve_env.view import SOURCES, Counted

Ints = NDArray[np.int64]
Array = np.ndarray[Any, Any]

COUNTED: Final[Mapping[str, Counted]] = {
    name: source.counted for name, source in SOURCES.items() if source.counted is not None
}
"""What is counted, by array of the view."""

_BY_ENDPOINT = {name: one for name, one in COUNTED.items() if SOURCES[name].axes == "E"}
_IN_ALL = {name: one for name, one in COUNTED.items() if name not in _BY_ENDPOINT}

RECENT: Final = tuple(
    dict.fromkeys(n for one in _BY_ENDPOINT.values() for n in (one.name, one.over) if n)
)
"""Columns of ``State.recent``."""

FOUND_TOKENS: Final = RECENT.index("found_tokens")  # cached when a request was first admitted
ASKED_TOKENS: Final = RECENT.index("asked_tokens")  # prompt tokens of these requests


def plan(places: Mapping[str, tuple[int, tuple[int, ...]]]) -> dict[str, Ints]:
    """Return where the survey puts what is counted, as ``recent`` and ``total`` of a `Raw`.

    Args:
        places: Place in ``flat`` and shape of every array of a view.

    Raises:
        TypeError: If an array is not counted as `Counted` says.
    """
    recent = [
        (places[name][0], RECENT.index(one.name), RECENT.index(one.over) if one.over else NONE)
        for name, one in _BY_ENDPOINT.items()
    ]
    total = []
    for name, one in _IN_ALL.items():
        axes, (start, shape) = SOURCES[name].axes, places[name]
        assert COUNT.fields is not None
        kind, offset, *_ = COUNT.fields[one.name]
        if one.over or kind != np.int64:
            raise TypeError(f"{name}: expected a whole number of COUNT that nothing divides")
        strides = {axis: int(np.prod(shape[i + 1 :])) for i, axis in enumerate(axes)}
        size, column = int(np.prod(shape)), offset // kind.itemsize
        total.append((start, size, column, *(strides.get(axis, 0) for axis in "MRK")))
    return {
        "recent": np.array(recent, dtype=np.int64).reshape(-1, 3),
        "total": np.array(total, dtype=np.int64).reshape(-1, 6),
    }


@jit
def of_minutes(s: State, e: int, column: int, minute: int, last: int) -> int:
    """Return what was counted in a column of an endpoint's last minutes.

    Args:
        s: State.
        e: Endpoint.
        column: Place in `RECENT`.
        minute: Of the episode, now.
        last: In which the endpoint's windows were turned last.
    """
    found = 0
    for row in range(s.recent.shape[1]):
        if fresh(row, minute, last):
            found += s.recent[e, row, column]
    return found


@jit
def read_counters(s: State, recent: Array, total: Array, flat: Array, now_s: float) -> None:
    """Fill the arrays of a view that are counted, parts of ``flat``, by what `plan` returned."""
    minute = int(now_s / 60.0)
    for i in range(recent.shape[0]):
        start, column, over = recent[i, 0], recent[i, 1], recent[i, 2]
        for e in range(s.recent.shape[0]):
            last = int(s.window_minute[e])
            value = float(of_minutes(s, e, column, minute, last))
            if over != NONE:
                below = of_minutes(s, e, over, minute, last)
                value = value / below if below > 0 else 0.0
            flat[start + e] = value
    models, regions, tiers = s.count.shape
    for i in range(total.shape[0]):
        start, size, column = total[i, 0], total[i, 1], total[i, 2]
        by_model, by_region, by_tier = total[i, 3], total[i, 4], total[i, 5]
        for j in range(size):
            flat[start + j] = 0.0
        for m in range(models):
            for r in range(regions):
                for k in range(tiers):
                    place = start + m * by_model + r * by_region + k * by_tier
                    flat[place] += s.count_words[m, r, k, column]
