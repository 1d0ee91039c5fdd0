"""Forms: how the numbers of an action become values of a knob.

A form makes the `Entries` of one knob; the kernel ``kernels/decode.py`` carries them out. The row
of a knob in `sageserve_env.knobs` says which forms it has.

Continuous, each number from -1 to 1, 0 being the neutral value ``c`` between ``low`` and ``high``:

* ``COUNT``: linear from ``low`` to c below 0, geometric above it,
  ``(c + 1) ((high + 1) / (c + 1))^x - 1``, so that a step changes the fleet by a proportion of it;
  rounded to the nearest whole number.
* ``CHANGE``: the value in force plus x c, rounded, within ``low`` and ``high``; 0 keeps what is in
  force.
* ``LINEAR``: linear from ``low`` to c below 0, and from c to ``high`` above it.
* ``LIMIT``: a limit that may be infinite. Where c is finite, c (1 + x) up to 0 and c / (1 - x)
  above it, so 0 at -1 and no limit at 1. Where c is infinite, with a scale ``low``,
  low (1 + x) / -x below 0, so 0 at -1 and ``low`` at -1/2, and no limit from 0 on.
* ``LOAD``: a multiple of an endpoint's load in instances, which is its utilisation times its active
  instances, or, where it has none, the prompt tokens a second of its region in the last minute over
  what an instance sustains (`sageserve_env.capacity`). Of it, the share c at 0, nothing at -1,
  linear between them, and c 3^x above 0; rounded. Before anything was measured the load is what the
  value in force stands for.
* ``SHARE``: softmax over a group of entries of ``4 (x + c)``.

Discrete:

* ``STEP``: the value in force changed by -2 to +2, within ``low`` and ``high``.
* ``CHOICE``: a row of a table of presets, which may also say which router takes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COUNT, CHANGE, LINEAR, LIMIT, SHARE, STEP, CHOICE, LOAD = range(8)

SHARE_SHARPNESS = 4.0
LOAD_RANGE = 3.0  # of the multiple of the load, upwards (our assumption)
LARGEST_DELTA = 2
CHOICES = 2 * LARGEST_DELTA + 1


class Preset(NamedTuple):
    """One choice of a discrete entry: values for its places, and the router that takes them."""

    values: Floats  # [P]
    router: str | None = None  # None keeps the router in force


@dataclass(frozen=True)
class Entries:
    """Entries of an action that belong to one knob, N of them.

    Attributes:
        form: One of the codes above.
        names: What each entry means, [N].
        at: Indices into the knob's array that an entry sets, [N, P, 3]; unused axes are 0, and P
            is 1 except for ``CHOICE``.
        low: Smallest value, [N]; of ``LIMIT``, the scale.
        centre: Neutral value, [N]; see the form.
        high: Largest value, [N].
        group: ``SHARE``: that many entries in a row add up to 1.
        presets: ``CHOICE``: the choices, the same number for every entry, [N][choices].
    """

    form: int
    names: tuple[str, ...]
    at: Ints
    low: Floats = field(default_factory=lambda: np.zeros(0))
    centre: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))
    group: int = 1
    presets: tuple[tuple[Preset, ...], ...] = ()

    @property
    def options(self) -> int:
        """Return the number of choices of a discrete entry."""
        return CHOICES if self.form == STEP else len(self.presets[0]) if self.presets else 0


def places(array: NDArray[np.bool_]) -> Ints:
    """Return the indices of the true entries of an array of up to three axes, [N, 1, 3]."""
    found = np.argwhere(array)
    out = np.zeros((len(found), 1, 3), dtype=np.int64)
    out[:, 0, : array.ndim] = found
    return out
