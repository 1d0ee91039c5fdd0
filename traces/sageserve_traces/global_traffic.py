"""`GLOBAL`: a workload of three continents and four models of 2026.

The shape of a day, how days differ and how minutes vary are those of the O365 workload
(`o365`). What is ours, each our assumption (A):

* Base rates: some 35 requests a second on a weekday at scale 1, three million a day.
* Regions: the O365 hours are those of North America; the same local hours come 7 h earlier in
  Europe and 10 h later in East Asia. Shares 45, 30 and 25 %.
* Tokens: lognormal, medians by what a model of that kind is used for: a small model for chat
  (Azure's conversation trace has a median prompt of 1,020 and output of 129 tokens), a dense
  32B for code (Azure's coding trace: 1,469 and 13, but agents write more), a 70B for documents,
  a reasoning model for long answers. Batch work has prompts as long and answers half as long
  again.
* Scheduled jobs (`GLOBAL_SCHEDULED`): applications that call a model by the clock, as operators
  scale by (KEDA's cron scaler, scheduled scaling of AWS). Each model has two a day in each
  region, which begin at the same quarter of an hour every day and bring, for 30 to 120 minutes,
  3 to 5 times its interactive traffic there, from day to day with a log standard deviation of
  0.2; where two overlap their factors multiply. When they come is drawn for each trace, so that
  it has to be read from its history. There is twice as much batch work, some 28 % of the
  requests; in the O365 workload it is 18 % of them on weekdays and 40 % at weekends.
* Flash crowds (`GLOBAL_FLASH`): eight a day, each 10 to 30 minutes of 3 to 6 times the
  interactive traffic of one model in one region. Its scheduled jobs are smaller, 2 to 4 times
  that traffic, and there is half as much batch work again.
* `PAIR`: a small service of the same kind, America and Europe and two of the models. Texts are
  of more equal length, as one application sends them, answers are long, and it varies more than
  the sum of many services: levels of days 20 % apart, slow swings of 15 %, one surge of a model
  and region a day. From minute to minute its rate has a log standard deviation of 0.4 and an
  autocorrelation of 0.92; the prompt tokens of Azure's conversation trace have 0.33 and 0.89,
  those of its coding trace 0.99 and 0.07 (one-minute sums of the hour published in 2023).
* `SOLO`: the first model of `PAIR`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import numpy as np

from .o365 import O365
from .traffic import FloatArray, Traffic

MODELS: Final = ("llama-3.1-8b", "qwen3-32b", "llama-3.1-70b", "gpt-oss-120b")
REGIONS: Final = ("america", "europe", "asia")

#: Columns of O365's tables that the models take their hours and bursts from: C is the broadest
#: service and the smoothest, A the burstier one.
_LIKE: Final = [2, 0, 0, 2]
_BATCH_LONGER: Final = math.log(1.5)


def _log(*medians: float) -> FloatArray:
    return np.log(np.array(medians, dtype=np.float64))


GLOBAL: Final[Traffic] = dataclasses.replace(
    O365,
    name="global",
    version=2,
    models=MODELS,
    regions=REGIONS,
    base_rps=np.array([[8.0, 10.0, 8.0, 8.0], [1.5, 3.0, 2.5, 2.0]]),
    diurnal=O365.diurnal[:, _LIKE],
    region_shares=np.array([[0.45, 0.30, 0.25], [0.45, 0.30, 0.25]]),
    phase_h=np.array([[0.0, -7.0, 10.0], [0.0, -7.0, 10.0]]),
    noise_sigma=O365.noise_sigma[:, _LIKE],
    bursts_per_day=O365.bursts_per_day[:, _LIKE],
    burst_max_min=O365.burst_max_min[:, _LIKE],
    burst_median=O365.burst_median[:, _LIKE],
    burst_sigma=O365.burst_sigma[:, _LIKE],
    prompt_mu=np.stack([_log(1000, 2500, 3000, 2000)] * 2),
    prompt_sigma=np.full((2, len(MODELS)), 0.8),
    prompt_max=24_000,
    output_mu=np.stack([_log(150, 300, 200, 600), _log(150, 300, 200, 600) + _BATCH_LONGER]),
    output_sigma=np.full((2, len(MODELS)), 0.9),
    output_max=4096,
)

GLOBAL_SCHEDULED: Final[Traffic] = dataclasses.replace(
    GLOBAL,
    name="global-scheduled",
    version=3,
    base_rps=GLOBAL.base_rps * [[1.0], [2.0]],
    jobs_per_day=2,
    job_factor=(3.0, 5.0),
)

GLOBAL_FLASH: Final[Traffic] = dataclasses.replace(
    GLOBAL_SCHEDULED,
    name="global-flash",
    version=4,
    base_rps=GLOBAL.base_rps * [[1.0], [1.5]],
    job_factor=(2.0, 4.0),
    flash_per_day=8.0,
)

PAIR: Final[Traffic] = dataclasses.replace(
    GLOBAL,
    name="pair",
    version=3,
    models=("llama-3.1-70b", "gpt-oss-120b"),
    regions=("america", "europe"),
    base_rps=np.array([[2.6, 4.0], [0.5, 0.8]]),
    diurnal=O365.diurnal[:, [2, 0]],
    region_shares=np.array([[0.55, 0.45], [0.55, 0.45]]),
    phase_h=np.array([[0.0, -7.0], [0.0, -7.0]]),
    noise_sigma=np.array([[0.4, 0.4], [0.5, 0.5]]),
    noise_phi=np.array([0.92, O365.noise_phi[1]]),
    bursts_per_day=O365.bursts_per_day[:, [2, 2]],
    burst_max_min=O365.burst_max_min[:, [2, 2]],
    burst_median=O365.burst_median[:, [2, 2]],
    burst_sigma=O365.burst_sigma[:, [2, 2]],
    prompt_mu=np.stack([_log(2500, 1500)] * 2),
    prompt_sigma=np.full((2, 2), 0.7),
    prompt_max=10_000,
    output_mu=np.stack([_log(2000, 2000)] * 2),
    output_sigma=np.full((2, 2), 0.7),
    level_sigma=0.20,
    slow_sigma=0.15,
    surges_per_week=7,
)


def _first_model(traffic: Traffic, name: str) -> Traffic:
    """Return a traffic of which only the first model is left; it has nobody to move to."""
    by_model = (
        "base_rps diurnal noise_sigma bursts_per_day burst_max_min burst_median burst_sigma "
        "prompt_mu prompt_sigma output_mu output_sigma"
    ).split()
    columns = {field: getattr(traffic, field)[:, :1] for field in by_model}
    return dataclasses.replace(traffic, name=name, models=traffic.models[:1], **columns)


SOLO: Final[Traffic] = _first_model(PAIR, "solo")
