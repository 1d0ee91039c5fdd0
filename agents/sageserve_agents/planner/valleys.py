"""When batch work is planned: in the valleys of the interactive load that is forecast."""

from __future__ import annotations

import numpy as np

from sageserve_env.view import Floats

MOST_AHEAD_S = 28_800.0  # (A) valleys further away are not waited for
CROWDED_CEILING = 0.4  # (A) utilisation up to which endpoints take batch work above the level


def level_of(load: Floats, work: float) -> float:
    """Return the level up to which work fills the valleys of a load.

    The level L with ``sum max(L - load, 0) = work``.

    Args:
        load: Load by bin, [T]; T at least 1.
        work: Work in the unit of the load times a bin, at least 0.
    """
    rising = np.sort(load)
    count = np.arange(1, len(rising) + 1)
    levels = (work + np.cumsum(rising)) / count  # if the first so many bins are filled
    filled = int((levels >= rising).nonzero()[0][-1])
    return float(levels[filled])


def filled(rates: Floats, backlog: Floats, left_s: Floats, bin_s: float) -> tuple[Floats, Floats]:
    """Return the level of each model, [M], and the batch work by bin that fills up to it, [T, M].

    Args:
        rates: Interactive prompt tokens per second that are forecast, [T, M].
        backlog: Prompt tokens of the batch work that is held, [M].
        left_s: Seconds in which it is to be done, [M].
        bin_s: Seconds of a bin.
    """
    levels, planned = np.zeros(rates.shape[1]), np.zeros_like(rates)
    for m, tokens in enumerate(backlog):
        bins = min(max(1, int(left_s[m] // bin_s)), len(rates))
        levels[m] = level_of(rates[:bins, m], float(tokens) / bin_s)
        if tokens > 0:
            planned[:bins, m] = np.maximum(levels[m] - rates[:bins, m], 0.0)
    return levels, planned
