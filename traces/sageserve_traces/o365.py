"""`O365`: constants of the workload of the SageServe paper (docs/sources.md, "Workload").

Every number is digitised from the SageServe paper's figures ("D") unless its comment
says "our assumption (A)". Axis order everywhere: class (IW, NIW), model (A, B, C, D), region
(westus, centralus, eastus), tier (IW-F, IW-N, NIW).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from .names import MODELS, REGIONS
from .traffic import IW, FloatArray, Traffic


def _row(text: str) -> list[float]:
    return [float(word) for word in text.split()]


#: Weekday requests per second ``[class, model]``. D's IW 1.0 is an assumption (A).
BASE_RPS: Final[FloatArray] = np.array([[3.4, 3.7, 3.3, 1.0], [0.69, 1.0, 0.63, 0.38]])
#: Share of IW-F in IW: not published, 80 : 20 (A).
IWF_SHARE: Final = 0.8

_IW_AC = _row(
    ".80 .67 .59 .51 .48 .50 .48 .52 .54 .54 .51 .50 "
    ".60 .89 1.37 1.61 1.76 1.80 1.85 1.88 1.70 1.54 1.32 1.03"
)
_IW_C = _row(
    ".76 .65 .56 .47 .40 .40 .38 .36 .35 .35 .35 .33 "
    ".44 .80 1.35 1.72 1.95 2.02 2.07 2.15 1.94 1.71 1.43 1.05"
)
_IW_B = _row(
    ".64 .63 .62 .57 .60 .67 .73 .90 1.06 1.17 1.15 1.12 "
    "1.18 1.28 1.53 1.62 1.49 1.30 1.14 1.09 1.04 .92 .81 .72"
)
_NIW = _row(
    ".89 .80 .87 .75 .70 .85 .93 1.13 1.16 1.10 1.07 1.65 "
    "1.70 .95 1.09 1.30 1.01 .97 .90 .85 .84 .85 .90 .74"
)
#: Mean factor of each hour of the day, UTC ``[class, model, 24]``. A and D take the joint table of
#: A and C (D has none of its own: our assumption (A)), C its own.
DIURNAL: Final[FloatArray] = np.array(
    [[_IW_AC, _IW_B, _IW_C, _IW_AC], [_NIW, _NIW, _NIW, _NIW]], dtype=np.float64
)
#: Factor of each weekday, Monday first ``[class, 7]``.
WEEK: Final[FloatArray] = np.array(
    [[1, 1, 1, 1, 1, 0.3, 0.3], [1, 1, 1, 1, 1.2, 0.85, 0.65]], dtype=np.float64
)

#: Origin region shares ``[class, region]`` and their jitter from day to day.
REGION_SHARES: Final[FloatArray] = np.array([[0.44, 0.30, 0.26], [0.60, 0.15, 0.25]])
REGION_JITTER: Final = 0.05
#: A region never falls below this share of a model's traffic (A).
MIN_REGION_SHARE: Final = 0.02
#: Local phase in hours ``[class, region]``. W +2, C 0, E -1 (A). The hour tables are
#: sums over the regions already, so the phases are centred on their share-weighted mean: as they
#: stand they would delay the whole day by 0.62 h (and put the four-hour means of interactive
#: requests of the digitised week 13.8 % off instead of 12.3 %). Batch work is scheduled, not typed
#: in office hours: it has no local phase, and half an hour earlier than the table it fits Figure 3
#: best (14.2 % instead of 14.7 %; with the interactive phases 15.8 %). Both are ours (A).
_PHASE_H = np.array([2.0, 0.0, -1.0])
PHASE_H: Final[FloatArray] = np.array([_PHASE_H - REGION_SHARES[IW] @ _PHASE_H, np.full(3, -0.5)])

#: AR(1) noise on the log rate with one-minute steps ``[class, model]``: .10 (C) to .25 (A); B in
#: between and D as A (A).
NOISE_SIGMA: Final[FloatArray] = np.array([[0.25, 0.15, 0.10, 0.25], [0.5, 0.5, 0.5, 0.5]])
NOISE_PHI: Final[FloatArray] = np.array([0.25, 0.55])

#: Bursts ``[class, model]``: number a day, longest duration in minutes (shortest 1), median and
#: p90 of the factor. A, C and NIW are read off; D is like A and B like C (A). C's p90 is not
#: published: the same spread as A's (A).
BURSTS_PER_DAY: Final[FloatArray] = np.array([[40.0, 10, 10, 40], [100, 100, 100, 100]])
BURST_MAX_MIN: Final[npt.NDArray[np.int64]] = np.array([[2, 2, 2, 2], [5, 5, 5, 5]])
BURST_MEDIAN: Final[FloatArray] = np.array([[2.3, 1.9, 1.9, 2.3], [2.5, 2.5, 2.5, 2.5]])
_P90_Z = 1.2815515655446004
BURST_SIGMA: Final[FloatArray] = (
    np.array([[math.log(4.4 / 2.3)] * 4, [math.log(5.5 / 2.5)] * 4]) / _P90_Z
)

#: Coefficient of variation of the gamma renewal arrivals inside a minute ``[class]``.
ARRIVAL_CV: Final[FloatArray] = np.array([1.1, 3.0])

#: How days differ (all (A)).
LEVEL_SIGMA: Final = 0.10
SLOW_SIGMA: Final = 0.08
SLOW_PHI: Final = 0.95
SLOW_STEP_MIN: Final = 10
PEAK_SHIFT_SIGMA_H: Final = 20 / 60
SURGES_PER_WEEK: Final = 2
SURGE_HOURS: Final = (1.0, 3.0)
SURGE_FACTOR: Final = (1.5, 2.5)
MIX_PERIOD_DAYS: Final = 14
MIX_FRACTION: Final = (0.2, 0.4)

#: Lognormal (mu, sigma) and clip of tokens ``[class]``; 128k read as 128,000.
PROMPT_MU: Final[FloatArray] = np.array([8.06, 7.7])
PROMPT_SIGMA: Final = 1.18
PROMPT_MAX: Final = 128_000
OUTPUT_MU: Final = 4.54
OUTPUT_SIGMA: Final = 1.32
OUTPUT_MAX: Final = 4096

_ALL: Final = np.ones((2, len(MODELS)))

O365: Final = Traffic(
    name="o365",
    version=2,
    models=MODELS,
    regions=REGIONS,
    base_rps=BASE_RPS,
    iwf_share=IWF_SHARE,
    diurnal=DIURNAL,
    week=WEEK,
    region_shares=REGION_SHARES,
    region_jitter=REGION_JITTER,
    min_region_share=MIN_REGION_SHARE,
    phase_h=PHASE_H,
    noise_sigma=NOISE_SIGMA,
    noise_phi=NOISE_PHI,
    bursts_per_day=BURSTS_PER_DAY,
    burst_max_min=BURST_MAX_MIN,
    burst_median=BURST_MEDIAN,
    burst_sigma=BURST_SIGMA,
    arrival_cv=ARRIVAL_CV,
    prompt_mu=PROMPT_MU[:, None] * _ALL,
    prompt_sigma=PROMPT_SIGMA * _ALL,
    prompt_max=PROMPT_MAX,
    output_mu=OUTPUT_MU * _ALL,
    output_sigma=OUTPUT_SIGMA * _ALL,
    output_max=OUTPUT_MAX,
    level_sigma=LEVEL_SIGMA,
    slow_sigma=SLOW_SIGMA,
    slow_phi=SLOW_PHI,
    slow_step_min=SLOW_STEP_MIN,
    peak_shift_sigma_h=PEAK_SHIFT_SIGMA_H,
    surges_per_week=SURGES_PER_WEEK,
    surge_hours=SURGE_HOURS,
    surge_factor=SURGE_FACTOR,
    mix_period_days=MIX_PERIOD_DAYS,
    mix_fraction=MIX_FRACTION,
)
