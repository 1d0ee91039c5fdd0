"""Fits of several profiles at once that have the form of their parameters in common.

The logarithms of the parameters of instance i are

    x_i = prior_i + level + slope z_i + own_i

with z_i the centred binary logarithm of its number of GPUs. Level, slope and own part are held near
0 by penalties, so that an instance with few measurements follows its neighbours and the data sheet.
The loss is SciPy's ``soft_l1``: quadratic near 0, linear for outliers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Residuals = Callable[[Floats], Floats]
"""From the logarithms of the parameters to residuals in units of their expected size."""

STEP = 0.02
EVALUATIONS = 25


@dataclass(frozen=True)
class Spread:
    """Standard deviations of level, slope and own part of each parameter (our assumption)."""

    level: tuple[float, ...]
    slope: tuple[float, ...]
    own: tuple[float, ...]


def fit_together(
    residuals: Sequence[Residuals],
    priors: Sequence[Floats],
    z: Sequence[float],
    spread: Spread,
    evaluations: int = EVALUATIONS,
    step: float = STEP,
) -> list[Floats]:
    """Fit the parameters of several instances.

    Args:
        residuals: One function for each instance.
        priors: Expected logarithms of its parameters.
        z: Centred binary logarithm of its number of GPUs.
        spread: How far level, slope and own part may go.
        evaluations: Most evaluations of all residuals, without those for derivatives.
        step: Of the forward differences; it should pass over the jumps of a replay.

    Returns:
        The logarithms of the parameters of each instance.
    """
    from scipy.optimize import least_squares

    count, width = len(residuals), len(priors[0])
    deviations = np.concatenate([spread.level, spread.slope, *[spread.own] * count])

    def places(unknown: Floats) -> list[Floats]:
        level, slope, *own = unknown.reshape(-1, width)
        return [p + level + t * slope + o for p, t, o in zip(priors, z, own, strict=True)]

    def errors(unknown: Floats) -> Floats:
        each = [f(x) for f, x in zip(residuals, places(unknown), strict=True)]
        return np.concatenate([*each, unknown / deviations])

    def jacobian(unknown: Floats) -> Floats:
        blocks = []
        for i, (f, x) in enumerate(zip(residuals, places(unknown), strict=True)):
            by_x = _differences(f, x, step)
            block = np.zeros((len(by_x), len(unknown)))
            own = slice(width * (2 + i), width * (3 + i))
            block[:, :width], block[:, width : 2 * width], block[:, own] = by_x, z[i] * by_x, by_x
            blocks.append(block)
        return np.concatenate([*blocks, np.diag(1.0 / deviations)])

    found = least_squares(
        errors,
        np.zeros(len(deviations)),
        jac=jacobian,
        loss="soft_l1",
        x_scale=deviations,
        max_nfev=evaluations,
        xtol=1e-5,
        ftol=1e-5,
    )
    return places(found.x)


def _differences(f: Residuals, x: Floats, step: float) -> Floats:
    """Return the Jacobian by forward differences."""
    at_x = f(x)
    columns = []
    for k in range(len(x)):
        moved = x.copy()
        moved[k] += step
        columns.append((f(moved) - at_x) / step)
    return np.stack(columns, axis=1)
