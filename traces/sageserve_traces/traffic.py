"""`Traffic`: the law of a generated workload, as one table of constants.

Axes: class (interactive IW, non-interactive NIW), M models, R regions, tier (IW-F, IW-N, NIW).
The mean number of requests a minute is

    scale x base x week factor x diurnal x region share x (daily level x slow factor),
    mixed over the models, x surge x flash crowd x scheduled jobs x (noise + bursts)

where every random factor but surges, flash crowds and jobs has mean one. `o365_tables.O365` is the
workload of the SageServe paper; `global_tables` has the one of three continents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from .names import TIERS

FloatArray = npt.NDArray[np.float64]

IW: Final = 0
NIW: Final = 1
CLASSES: Final = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Traffic:
    """The law of a generated workload.

    Attributes:
        name: Name of the trace.
        version: Changes whenever the same seed gives other requests.
        models: Model names, M of them.
        regions: Region names, R of them.
        base_rps: Weekday requests per second at scale 1, ``[class, M]``.
        iwf_share: Share of IW-F in the interactive requests.
        diurnal: Mean factor of each hour of the day (UTC), ``[class, M, 24]``.
        week: Factor of each weekday, Monday first, ``[class, 7]``.
        region_shares: Shares of the origin regions, ``[class, R]``.
        region_jitter: Standard deviation of a share from day to day.
        min_region_share: A region never falls below this share of a model's traffic.
        phase_h: Hours by which a region is later than the hour table, ``[class, R]``.
        noise_sigma: AR(1) noise on the log rate with one-minute steps, ``[class, M]``.
        noise_phi: Its coefficient, ``[class]``.
        bursts_per_day: Mean number of bursts, ``[class, M]``.
        burst_max_min: Longest duration in minutes (the shortest is 1), ``[class, M]``.
        burst_median: Median of a burst's factor, ``[class, M]``.
        burst_sigma: Its lognormal sigma, ``[class, M]``.
        arrival_cv: Coefficient of variation of the gamma renewal arrivals in a minute, ``[class]``.
        prompt_mu: Lognormal mu of prompt tokens, ``[class, M]``.
        prompt_sigma: Lognormal sigma, ``[class, M]``.
        prompt_max: Clip.
        output_mu: Lognormal mu of output tokens, ``[class, M]``.
        output_sigma: Lognormal sigma, ``[class, M]``.
        output_max: Clip.
        level_sigma: Lognormal sigma of a model's level from day to day.
        slow_sigma: Lognormal sigma of the slow factor.
        slow_phi: Its AR(1) coefficient.
        slow_step_min: Its step in minutes.
        peak_shift_sigma_h: Standard deviation of the peak hour from day to day.
        surges_per_week: Surges of one model in one region.
        surge_hours: Shortest and longest.
        surge_factor: Least and largest factor.
        mix_period_days: Once in so many days part of a model's traffic moves to another for good.
        mix_fraction: Least and largest part.
        flash_per_day: Mean number of flash crowds a day, each in one model and region and within
            ``flash_hours_utc``.
        flash_minutes: Shortest and longest.
        flash_factor: Least and largest factor.
        jobs_per_day: Scheduled jobs of each model in each region, at the same times every day.
        job_minutes: Shortest and longest.
        job_factor: Least and largest factor in the mean over days.
        job_sigma: Lognormal sigma, from day to day, of what a job brings.
    """

    name: str
    version: int
    models: tuple[str, ...]
    regions: tuple[str, ...]
    base_rps: FloatArray
    iwf_share: float
    diurnal: FloatArray
    week: FloatArray
    region_shares: FloatArray
    region_jitter: float
    min_region_share: float
    phase_h: FloatArray
    noise_sigma: FloatArray
    noise_phi: FloatArray
    bursts_per_day: FloatArray
    burst_max_min: npt.NDArray[np.int64]
    burst_median: FloatArray
    burst_sigma: FloatArray
    arrival_cv: FloatArray
    prompt_mu: FloatArray
    prompt_sigma: FloatArray
    prompt_max: int
    output_mu: FloatArray
    output_sigma: FloatArray
    output_max: int
    level_sigma: float
    slow_sigma: float
    slow_phi: float
    slow_step_min: int
    peak_shift_sigma_h: float
    surges_per_week: int
    surge_hours: tuple[float, float]
    surge_factor: tuple[float, float]
    mix_period_days: int
    mix_fraction: tuple[float, float]
    flash_per_day: float = 0.0
    flash_minutes: tuple[float, float] = (10.0, 30.0)
    flash_factor: tuple[float, float] = (3.0, 6.0)
    jobs_per_day: int = 0
    job_minutes: tuple[float, float] = (30.0, 120.0)
    job_factor: tuple[float, float] = (2.0, 4.0)
    job_sigma: float = 0.2

    @property
    def tiers(self) -> tuple[str, ...]:
        """The three tiers."""
        return TIERS

    @cached_property
    def tier_of_class(self) -> FloatArray:
        """Tier shares of each class, ``[class, tier]``."""
        return np.array([[self.iwf_share, 1 - self.iwf_share, 0.0], [0.0, 0.0, 1.0]])

    @cached_property
    def burst_excess(self) -> FloatArray:
        """What bursts add to the mean rate, as a share of the rate between bursts, ``[class, M]``.

        Minutes in bursts a minute x E[max(F - 1, 0)]. Base rates are means of series that contain
        the bursts, so the rate between bursts is the base rate over one plus this.
        """
        log_median = np.log(self.burst_median)
        excess = np.empty_like(self.burst_sigma)
        for at in np.ndindex(excess.shape):
            c, m = at
            sigma, low = float(self.burst_sigma[at]), float(log_median[at])
            mean = math.exp(low + sigma**2 / 2)
            over = mean * normal_cdf((low + sigma**2) / sigma) - normal_cdf(low / sigma)
            minutes = self.bursts_per_day[c, m] * (1 + self.burst_max_min[c, m]) / 2 / 1440
            excess[at] = float(minutes * over)
        return excess

    def expected_requests(self, days: int, start_weekday: int, scale: float = 1.0) -> float:
        """Return the mean number of requests of whole days without surges, crowds and jobs."""
        weekdays = (start_weekday + np.arange(days)) % 7
        rate = self.base_rps.sum(axis=1) @ self.week[:, weekdays]
        return float(scale * 86400 * rate.sum())


def normal_cdf(x: float) -> float:
    """Return the distribution function of the standard normal."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def clipped_lognormal_moments(mu: float, sigma: float, high: float) -> tuple[float, float]:
    """Return mean and standard deviation of ``min(exp(N(mu, sigma)), high)``, in closed form."""
    z = (math.log(high) - mu) / sigma
    tail = 1 - normal_cdf(z)
    first = math.exp(mu + sigma**2 / 2) * normal_cdf(z - sigma) + high * tail
    second = math.exp(2 * mu + 2 * sigma**2) * normal_cdf(z - 2 * sigma) + high**2 * tail
    return first, math.sqrt(second - first**2)
