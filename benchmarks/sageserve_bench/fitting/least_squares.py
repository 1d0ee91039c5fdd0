"""Fits of several profiles at once that have the form of their parameters in common.

The logarithms of the parameters of instance i are

    x_i = prior_i + level + slope z_i + own_i

with z_i the centred binary logarithm of its number of GPUs. Level, slope and own part are held near
0 by penalties, so that an instance with few measurements follows its neighbours and the data sheet.
Levenberg-Marquardt on residuals with the weights of a pseudo-Huber loss.
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
ITERATIONS = 15
LEAST_GAIN = 1e-3


@dataclass(frozen=True)
class Spread:
    """Standard deviations of level, slope and own part of each parameter (our assumption)."""

    level: tuple[float, ...]
    slope: tuple[float, ...]
    own: tuple[float, ...]


def fit_together(
    residuals: Sequence[Residuals], priors: Sequence[Floats], z: Sequence[float], spread: Spread
) -> list[Floats]:
    """Fit the parameters of several instances.

    Args:
        residuals: One function for each instance.
        priors: Expected logarithms of its parameters.
        z: Centred binary logarithm of its number of GPUs.
        spread: How far level, slope and own part may go.

    Returns:
        The logarithms of the parameters of each instance.
    """
    count, width = len(residuals), len(priors[0])
    size = width * (2 + count)
    deviations = np.concatenate([spread.level, spread.slope, *[spread.own] * count])
    unknown = np.zeros(size)

    def design(i: int) -> Floats:
        """d x_i / d unknown, [width, size]."""
        block = np.zeros((width, size))
        eye = np.eye(width)
        block[:, :width] = eye
        block[:, width : 2 * width] = z[i] * eye
        block[:, width * (2 + i) : width * (3 + i)] = eye
        return block

    designs = [design(i) for i in range(count)]

    def place(values: Floats) -> list[Floats]:
        return [priors[i] + designs[i] @ values for i in range(count)]

    def loss(values: Floats) -> tuple[float, list[Floats]]:
        each = [f(x) for f, x in zip(residuals, place(values), strict=True)]
        data = sum(float(np.sum(np.sqrt(1.0 + r * r) - 1.0)) for r in each)
        return data + 0.5 * float(np.sum((values / deviations) ** 2)), each

    best, current = loss(unknown)
    damping = 1e-2
    for _ in range(ITERATIONS):
        normal = np.diag(1.0 / deviations**2)
        gradient = unknown / deviations**2
        for f, x, r, d in zip(residuals, place(unknown), current, designs, strict=True):
            jacobian = _differences(f, x, r) @ d
            weight = 1.0 / np.sqrt(1.0 + r * r)
            normal += jacobian.T @ (jacobian * weight[:, None])
            gradient += jacobian.T @ (weight * r)
        gain = 0.0
        for _ in range(6):
            damped = normal + damping * np.diag(np.diag(normal))
            trial = unknown - np.linalg.solve(damped, gradient)
            value, each = loss(trial)
            if value < best:
                gain = best - value
                unknown, best, current = trial, value, each
                damping = max(damping / 5.0, 1e-4)
                break
            damping *= 5.0
        if gain < LEAST_GAIN * best:
            break
    return place(unknown)


def _differences(f: Residuals, x: Floats, at_x: Floats) -> Floats:
    """Return the Jacobian by forward differences; the step passes over the jumps of a replay."""
    columns = []
    for k in range(len(x)):
        moved = x.copy()
        moved[k] += STEP
        columns.append((f(moved) - at_x) / STEP)
    return np.stack(columns, axis=1)
