"""Latent processes of a generated workload: the rate of every minute of any day, past or to come.

A day's rates depend on (seed, day) only, so that they can be computed in any order, for the stream
as for the history before it. Day 0 is the day in which the trace starts; negative days are past.
"""

from __future__ import annotations

import numpy as np

from .traffic import CLASSES, IW, FloatArray, Traffic

MINUTES = 1440
_INDEX_OFFSET = 1 << 20  # keeps the entropy of past days non-negative

# One independent stream of random numbers per purpose.
WEEKDAY, LEVEL, SLOW, NOISE, BURST, SURGE, MIX = range(101, 108)
COUNTS, ROWS, HISTORY, TOKENS, FLASH, JOBS, SIZES = range(108, 115)


def stream(purpose: int, seed: int, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose, seed and day (or week, block) index."""
    entropy = np.random.SeedSequence([purpose, seed, index + _INDEX_OFFSET])
    return np.random.Generator(np.random.PCG64DXSM(entropy))


def day_rates(traffic: Traffic, seed: int, day: int, weekday: int, scale: float) -> FloatArray:
    """Return the mean requests per minute of a day, ``float64 [1440, class, model, region]``.

    rate = scale x base x week factor x diurnal x region share x (daily level x slow factor),
    mixed over the models, x surge x flash crowd x jobs x (noise + bursts), see `Traffic`.
    """
    level, shift_h, shares = _day_draws(traffic, seed, day)
    rates = _diurnal(traffic, shift_h)
    rates *= shares
    rates *= (traffic.base_rps * traffic.week[:, weekday, None] * (60 * scale))[:, :, None]
    slow = np.repeat(_slow(traffic, seed, day), traffic.slow_step_min, axis=0) * level
    rates *= slow[:, None, :, None]
    rates = _mix(traffic, seed, day, rates)
    _surge(traffic, seed, day, rates)
    _flash(traffic, seed, day, rates)
    _jobs(traffic, seed, day, rates)
    noise = _noise(traffic, seed, day) + _bursts(traffic, seed, day)
    noise /= 1 + traffic.burst_excess
    rates *= noise[..., None]
    return rates


def _day_draws(traffic: Traffic, seed: int, day: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = stream(LEVEL, seed, day)
    sigma = traffic.level_sigma
    level: FloatArray = np.exp(sigma * rng.standard_normal(len(traffic.models)) - sigma**2 / 2)
    shift_h = rng.standard_normal(len(traffic.models)) * traffic.peak_shift_sigma_h
    jitter = traffic.region_jitter * rng.standard_normal(
        (CLASSES, len(traffic.models), len(traffic.regions))
    )
    shares = np.maximum(traffic.region_shares[:, None] + jitter, traffic.min_region_share)
    return level, np.asarray(shift_h), shares / shares.sum(axis=-1, keepdims=True)


def _diurnal(traffic: Traffic, shift_h: FloatArray) -> FloatArray:
    """Interpolate the hour tables at minute centres, shifted by phase and peak shift."""
    minutes = (np.arange(MINUTES) + 0.5) / 60
    centres = np.arange(-1, 25) + 0.5
    factor = np.empty((MINUTES, CLASSES, len(traffic.models), len(traffic.regions)))
    for c in range(CLASSES):
        for m in range(len(traffic.models)):
            table = traffic.diurnal[c, m]
            wrapped = np.concatenate([table[-1:], table, table[:1]])
            for r in range(len(traffic.regions)):
                hour = (minutes - traffic.phase_h[c, r] - shift_h[m]) % 24
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


def _slow(traffic: Traffic, seed: int, day: int) -> FloatArray:
    sigma = traffic.slow_sigma
    unit = _ar1(
        SLOW, seed, day, (MINUTES // traffic.slow_step_min, len(traffic.models)), traffic.slow_phi
    )
    factor: FloatArray = np.exp(sigma * unit - sigma**2 / 2)
    return factor


def _noise(traffic: Traffic, seed: int, day: int) -> FloatArray:
    sigma = traffic.noise_sigma
    unit = _ar1(
        NOISE, seed, day, (MINUTES, CLASSES, len(traffic.models)), traffic.noise_phi[:, None]
    )
    factor: FloatArray = np.exp(sigma * unit - sigma**2 / 2)
    return factor


def _bursts(traffic: Traffic, seed: int, day: int) -> FloatArray:
    """Return what bursts add, in units of the rate between bursts, ``[1440, class, model]``."""
    rng = stream(BURST, seed, day)
    added = np.zeros((MINUTES, CLASSES, len(traffic.models)))
    counts = rng.poisson(traffic.bursts_per_day)
    for c in range(CLASSES):
        for m in range(len(traffic.models)):
            n = int(counts[c, m])
            start = rng.integers(0, MINUTES, n)
            length = rng.integers(1, traffic.burst_max_min[c, m] + 1, n)
            sigma, median = traffic.burst_sigma[c, m], traffic.burst_median[c, m]
            extra = median * np.exp(sigma * rng.standard_normal(n)) - 1
            for offset in range(int(traffic.burst_max_min[c, m])):
                on = length > offset
                minute = (start[on] + offset) % MINUTES  # wraps: the mean stays exact
                np.add.at(added[:, c, m], minute, np.maximum(extra[on], 0.0))
    return added


def _surge(traffic: Traffic, seed: int, day: int, rates: FloatArray) -> None:
    """Multiply the surges of this and the last week into ``rates``."""
    for week in (day // 7 - 1, day // 7):
        rng = stream(SURGE, seed, week)
        for _ in range(traffic.surges_per_week):
            start = (7 * week - day) * MINUTES + int(rng.integers(0, 7 * MINUTES))
            length = int(60 * rng.uniform(*traffic.surge_hours))
            factor = rng.uniform(*traffic.surge_factor)
            model, region = (
                int(rng.integers(len(traffic.models))),
                int(rng.integers(len(traffic.regions))),
            )
            low, high = max(start, 0), min(start + length, MINUTES)
            if low < high:
                rates[low:high, :, model, region] *= factor


def _flash(traffic: Traffic, seed: int, day: int, rates: FloatArray) -> None:
    """Multiply the flash crowds of this and the last day into ``rates``.

    A crowd comes at once and leaves at once; what it multiplies is interactive traffic.
    """
    if traffic.flash_per_day <= 0:
        return
    for at in (day - 1, day):
        rng = stream(FLASH, seed, at)
        for _ in range(int(rng.poisson(traffic.flash_per_day))):
            start = (at - day) * MINUTES + int(rng.integers(0, MINUTES))
            length = round(rng.uniform(*traffic.flash_minutes))
            factor = rng.uniform(*traffic.flash_factor)
            model = int(rng.integers(len(traffic.models)))
            region = int(rng.integers(len(traffic.regions)))
            low, high = max(start, 0), min(start + length, MINUTES)
            if low < high:
                rates[low:high, IW, model, region] *= factor


def _jobs(traffic: Traffic, seed: int, day: int, rates: FloatArray) -> None:
    """Multiply what the jobs of this and the last day bring into ``rates``.

    A job comes at the same quarter of an hour every day; how much it brings varies. What it
    multiplies is interactive traffic.
    """
    shape = (len(traffic.models), len(traffic.regions), traffic.jobs_per_day)
    rng = stream(JOBS, seed)
    start = 15 * rng.integers(0, MINUTES // 15, shape)
    length = np.round(rng.uniform(*traffic.job_minutes, shape)).astype(np.int64)
    more = rng.uniform(*traffic.job_factor, shape) - 1.0
    sigma = traffic.job_sigma
    for at in (day - 1, day):
        size = np.exp(sigma * stream(SIZES, seed, at).standard_normal(shape) - sigma**2 / 2)
        for job in np.ndindex(shape):
            model, region, _ = job
            first = (at - day) * MINUTES + int(start[job])
            low, high = max(first, 0), min(first + int(length[job]), MINUTES)
            if low < high:
                rates[low:high, IW, model, region] *= 1.0 + more[job] * size[job]


def _mix(traffic: Traffic, seed: int, day: int, rates: FloatArray) -> FloatArray:
    """Move part of one model's traffic to another, for good, once in two weeks.

    The base table holds on day 0. An event after it moves a fraction of one model's traffic to
    another; an event before it is one that led to the base table, so that the past differs. One
    model alone has nobody to give to.
    """
    if len(traffic.models) < 2:
        return rates
    day_start, period = day * MINUTES, traffic.mix_period_days * MINUTES
    fortnight = day_start // period
    matrix = np.eye(len(traffic.models))
    if fortnight >= 0:
        for k in range(fortnight):
            matrix = matrix @ _mix_event(traffic, seed, k)[1]
        at, event = _mix_event(traffic, seed, fortnight)
        before, after = matrix, matrix @ event
    else:
        for k in range(-1, fortnight, -1):
            matrix = matrix @ _mix_event(traffic, seed, k)[1]
        at, event = _mix_event(traffic, seed, fortnight)
        before, after = matrix @ event, matrix
    cut = min(max(at - day_start, 0), MINUTES)
    mixed = np.empty_like(rates)
    for part, by in ((slice(0, cut), before), (slice(cut, MINUTES), after)):
        if np.array_equal(by, np.eye(len(traffic.models))):
            mixed[part] = rates[part]
        else:
            mixed[part] = np.einsum("tcsr,sd->tcdr", rates[part], by)
    return mixed


def _mix_event(traffic: Traffic, seed: int, fortnight: int) -> tuple[int, FloatArray]:
    """Return minute (from day 0) and matrix ``[from, to]`` of a fortnight's mix change."""
    rng = stream(MIX, seed, fortnight)
    period = traffic.mix_period_days * MINUTES
    at = fortnight * period + int(rng.integers(0, period))
    fraction = rng.uniform(*traffic.mix_fraction)
    base = traffic.base_rps[IW]
    pairs = [
        (i, j) for i in range(len(traffic.models)) for j in range(len(traffic.models)) if i != j
    ]
    if fortnight < 0:
        # Before the event a part q of model i's traffic of today was j's, and the event took
        # `fraction` of what j had then: q r_i = fraction (r_j + q r_i).
        most = traffic.mix_fraction[1] / (1 - traffic.mix_fraction[1])
        pairs = [(i, j) for i, j in pairs if most * base[j] / base[i] <= 0.8]
    i, j = pairs[int(rng.integers(len(pairs)))]
    if fortnight < 0:
        fraction = fraction / (1 - fraction) * base[j] / base[i]
    matrix = np.eye(len(traffic.models))
    matrix[i, i], matrix[i, j] = 1 - fraction, fraction
    return at, matrix
