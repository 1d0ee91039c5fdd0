"""Latent processes of the O365 workload: the rate of every minute of any day, past or to come.

A day's rates depend on (seed, day) only, so that they can be computed in any order, for the stream
as for the history before it. Day 0 is the day in which the trace starts; negative days are past.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import o365_tables as tables

FloatArray = npt.NDArray[np.float64]

MINUTES = 1440
_CLASSES, _MODELS = tables.BASE_RPS.shape
_REGIONS = tables.REGION_SHARES.shape[1]
_SLOW_STEPS = MINUTES // tables.SLOW_STEP_MIN
_INDEX_OFFSET = 1 << 20  # keeps the entropy of past days non-negative

# One independent stream of random numbers per purpose.
WEEKDAY, LEVEL, SLOW, NOISE, BURST, SURGE, MIX, COUNTS, ROWS, HISTORY, TOKENS = range(101, 112)


def stream(purpose: int, seed: int, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose, seed and day (or week, block) index."""
    entropy = np.random.SeedSequence([purpose, seed, index + _INDEX_OFFSET])
    return np.random.Generator(np.random.PCG64DXSM(entropy))


def day_rates(seed: int, day: int, weekday: int, scale: float) -> FloatArray:
    """Return the mean requests per minute of a day, ``float64 [1440, class, model, region]``.

    rate = scale x base x week factor x diurnal x region share x (daily level x slow factor)
    x surge, mixed over the models, x (noise + bursts); every random factor has mean one.
    """
    level, shift_h, shares = _day_draws(seed, day)
    rates = _diurnal(shift_h)
    rates *= shares
    rates *= (tables.BASE_RPS * tables.WEEK[:, weekday, None] * (60 * scale))[:, :, None]
    slow = np.repeat(_slow(seed, day), tables.SLOW_STEP_MIN, axis=0) * level
    rates *= slow[:, None, :, None]
    rates = _mix(seed, day, rates)
    _surge(seed, day, rates)
    noise = _noise(seed, day) + _bursts(seed, day)
    noise /= 1 + tables.BURST_EXCESS
    rates *= noise[..., None]
    return rates


def _day_draws(seed: int, day: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = stream(LEVEL, seed, day)
    sigma = tables.LEVEL_SIGMA
    level: FloatArray = np.exp(sigma * rng.standard_normal(_MODELS) - sigma**2 / 2)
    shift_h = rng.standard_normal(_MODELS) * tables.PEAK_SHIFT_SIGMA_H
    jitter = tables.REGION_JITTER * rng.standard_normal((_CLASSES, _MODELS, _REGIONS))
    shares = np.maximum(tables.REGION_SHARES[:, None] + jitter, tables.MIN_REGION_SHARE)
    return level, np.asarray(shift_h), shares / shares.sum(axis=-1, keepdims=True)


def _diurnal(shift_h: FloatArray) -> FloatArray:
    """Interpolate the hour tables at minute centres, shifted by phase and peak shift."""
    minutes = (np.arange(MINUTES) + 0.5) / 60
    centres = np.arange(-1, 25) + 0.5
    factor = np.empty((MINUTES, _CLASSES, _MODELS, _REGIONS))
    for c in range(_CLASSES):
        for m in range(_MODELS):
            table = tables.DIURNAL[c, m]
            wrapped = np.concatenate([table[-1:], table, table[:1]])
            for r in range(_REGIONS):
                hour = (minutes - tables.PHASE_H[c, r] - shift_h[m]) % 24
                factor[:, c, m, r] = np.interp(hour, centres, wrapped)
    return factor


def _ar1(
    purpose: int, seed: int, day: int, shape: tuple[int, ...], phi: float | FloatArray
) -> FloatArray:
    """Return a day of a stationary unit-variance AR(1), continued from the day before.

    The filter runs over the innovations of the day before too and starts from nothing: with at
    least 144 steps a day the truncation is below 1e-3 of a standard deviation.
    """
    steps = shape[0]
    innovations = [stream(purpose, seed, d).standard_normal(shape) for d in (day - 1, day)]
    values = np.concatenate(innovations) * np.sqrt(1 - np.square(phi))
    power, lag = np.asarray(phi, dtype=np.float64), 1
    while lag < steps and power.max() > 1e-12:  # a scan by doubling: log2(steps) passes
        values[lag:] += power * values[:-lag].copy()
        power, lag = power * power, 2 * lag
    today: FloatArray = values[steps:]
    return today


def _slow(seed: int, day: int) -> FloatArray:
    sigma = tables.SLOW_SIGMA
    unit = _ar1(SLOW, seed, day, (_SLOW_STEPS, _MODELS), tables.SLOW_PHI)
    factor: FloatArray = np.exp(sigma * unit - sigma**2 / 2)
    return factor


def _noise(seed: int, day: int) -> FloatArray:
    sigma = tables.NOISE_SIGMA
    unit = _ar1(NOISE, seed, day, (MINUTES, _CLASSES, _MODELS), tables.NOISE_PHI[:, None])
    factor: FloatArray = np.exp(sigma * unit - sigma**2 / 2)
    return factor


def _bursts(seed: int, day: int) -> FloatArray:
    """Return what bursts add, in units of the rate between bursts, ``[1440, class, model]``."""
    rng = stream(BURST, seed, day)
    added = np.zeros((MINUTES, _CLASSES, _MODELS))
    counts = rng.poisson(tables.BURSTS_PER_DAY)
    for c in range(_CLASSES):
        for m in range(_MODELS):
            n = int(counts[c, m])
            start = rng.integers(0, MINUTES, n)
            length = rng.integers(1, tables.BURST_MAX_MIN[c, m] + 1, n)
            sigma, median = tables.BURST_SIGMA[c, m], tables.BURST_MEDIAN[c, m]
            extra = median * np.exp(sigma * rng.standard_normal(n)) - 1
            for offset in range(int(tables.BURST_MAX_MIN[c, m])):
                on = length > offset
                minute = (start[on] + offset) % MINUTES  # wraps: the mean stays exact
                np.add.at(added[:, c, m], minute, np.maximum(extra[on], 0.0))
    return added


def _surge(seed: int, day: int, rates: FloatArray) -> None:
    """Multiply the surges of this and the last week into ``rates``."""
    for week in (day // 7 - 1, day // 7):
        rng = stream(SURGE, seed, week)
        for _ in range(tables.SURGES_PER_WEEK):
            start = (7 * week - day) * MINUTES + int(rng.integers(0, 7 * MINUTES))
            length = int(60 * rng.uniform(*tables.SURGE_HOURS))
            factor = rng.uniform(*tables.SURGE_FACTOR)
            model, region = int(rng.integers(_MODELS)), int(rng.integers(_REGIONS))
            low, high = max(start, 0), min(start + length, MINUTES)
            if low < high:
                rates[low:high, :, model, region] *= factor


def _mix(seed: int, day: int, rates: FloatArray) -> FloatArray:
    """Move part of one model's traffic to another, for good, once in two weeks.

    The base table holds on day 0. An event after it moves a fraction of one model's traffic to
    another; an event before it is one that led to the base table, so that the past differs.
    """
    day_start, period = day * MINUTES, tables.MIX_PERIOD_DAYS * MINUTES
    fortnight = day_start // period
    matrix = np.eye(_MODELS)
    if fortnight >= 0:
        for k in range(fortnight):
            matrix = matrix @ _mix_event(seed, k)[1]
        at, event = _mix_event(seed, fortnight)
        before, after = matrix, matrix @ event
    else:
        for k in range(-1, fortnight, -1):
            matrix = matrix @ _mix_event(seed, k)[1]
        at, event = _mix_event(seed, fortnight)
        before, after = matrix @ event, matrix
    cut = min(max(at - day_start, 0), MINUTES)
    mixed = np.empty_like(rates)
    for part, by in ((slice(0, cut), before), (slice(cut, MINUTES), after)):
        if np.array_equal(by, np.eye(_MODELS)):
            mixed[part] = rates[part]
        else:
            mixed[part] = np.einsum("tcsr,sd->tcdr", rates[part], by)
    return mixed


def _mix_event(seed: int, fortnight: int) -> tuple[int, FloatArray]:
    """Return minute (from day 0) and matrix ``[from, to]`` of a fortnight's mix change."""
    rng = stream(MIX, seed, fortnight)
    period = tables.MIX_PERIOD_DAYS * MINUTES
    at = fortnight * period + int(rng.integers(0, period))
    fraction = rng.uniform(*tables.MIX_FRACTION)
    base = tables.BASE_RPS[tables.IW]
    pairs = [(i, j) for i in range(_MODELS) for j in range(_MODELS) if i != j]
    if fortnight < 0:
        # Before the event a part q of model i's traffic of today was j's, and the event took
        # `fraction` of what j had then: q r_i = fraction (r_j + q r_i).
        most = tables.MIX_FRACTION[1] / (1 - tables.MIX_FRACTION[1])
        pairs = [(i, j) for i, j in pairs if most * base[j] / base[i] <= 0.8]
    i, j = pairs[int(rng.integers(len(pairs)))]
    if fortnight < 0:
        fraction = fraction / (1 - fraction) * base[j] / base[i]
    matrix = np.eye(_MODELS)
    matrix[i, i], matrix[i, j] = 1 - fraction, fraction
    return at, matrix
