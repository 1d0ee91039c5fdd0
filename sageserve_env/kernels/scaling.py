"""The scaling of an observation: every entry is a sum of surveyed numbers, scaled and clipped.

The entries are compiled from the table of features (`sageserve_env.observe`), so this kernel knows
none of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sageserve_env.simulator._handle import Handle
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.survey import Raw

Array = np.ndarray[Any, Any]

# how a number is scaled
LINEAR, RATIO, LOG, SINE, COSINE = range(5)

_F8, _F4, _I8 = (np.dtype(t) for t in (np.float64, np.float32, np.int64))


class Scaling(Handle):
    """The entries of a flat observation; N entries, T terms."""

    first: Array  # i8 [N + 1]: first term of each entry
    term: Array  # i8 [T]: place in ``Raw.flat``
    kind: Array  # i8 [N]: LINEAR, RATIO, ...
    unit: Array  # f8 [N]: what 1 stands for before the scale
    full: Array  # f8 [N]: log1p of what is 1 after a LOG scale
    low: Array  # f8 [N]
    high: Array  # f8 [N]
    observation: Array  # f4 [N]

    FIELDS = (
        ("first", _I8, 1),
        ("term", _I8, 1),
        ("kind", _I8, 1),
        ("unit", _F8, 1),
        ("full", _F8, 1),
        ("low", _F8, 1),
        ("high", _F8, 1),
        ("observation", _F4, 1),
    )


@jit
def scale(raw: Raw, p: Scaling) -> None:
    """Fill ``p.observation`` from surveyed arrays."""
    for i in range(p.kind.shape[0]):
        x = 0.0
        for j in range(p.first[i], p.first[i + 1]):
            x += raw.flat[p.term[j]]
        x /= p.unit[i]
        kind = p.kind[i]
        if kind == RATIO:
            x = max(0.0, x)
            x = x / (1.0 + x)
        elif kind == LOG:
            x = math.log1p(max(0.0, x)) / p.full[i]
        elif kind == SINE:
            x = math.sin(2.0 * math.pi * x)
        elif kind == COSINE:
            x = math.cos(2.0 * math.pi * x)
        p.observation[i] = min(p.high[i], max(p.low[i], x))
