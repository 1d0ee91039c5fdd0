"""Rows of a block of a generated workload, drawn and put in order without the GIL.

So several environments in threads make their traces at the same time. The random numbers are those
of NumPy's generators, number for number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from .compiled import keep

_BELOW_ONE = float(np.nextafter(1.0, 0.0))
_LEAST_SPAN = float(np.finfo(np.float64).tiny)

_STAMP = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

Column = npt.NDArray[Any]
Columns = tuple[Column, Column, Column, Column, Column, Column]


def _kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled = njit(nogil=True)(function)
    keep(compiled, _STAMP)
    return compiled


@_kernel
def _by_time(arrival: Column, span_s: float) -> Column:
    """Return the order of times in [0, span_s) with ties as they stand, like a stable sort.

    As many buckets of equal length as there are times are put one after the other, and what is left
    is sorted by insertion: there are one or two in most buckets, and runs that are sorted already.
    """
    n = arrival.size
    count = np.zeros(n + 1, np.int32)
    bucket = np.empty(n, np.int32)
    order = np.empty(n, np.int32)
    scale = n / span_s
    for i in range(n):
        bucket[i] = min(int(arrival[i] * scale), n - 1)
        count[bucket[i] + 1] += 1
    for j in range(n):
        count[j + 1] += count[j]
    for i in range(n):
        order[count[bucket[i]]] = i
        count[bucket[i]] += 1
    for j in range(1, n):
        i, at = order[j], j
        while at > 0 and arrival[order[at - 1]] > arrival[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i
    return order


@_kernel
def draw(
    rng: np.random.Generator,
    counts: npt.NDArray[np.int64],
    region_cdf: npt.NDArray[np.float64],
    arrival_cv: npt.NDArray[np.float64],
    iwf_share: float,
    prompt_mu: npt.NDArray[np.float64],
    prompt_sigma: npt.NDArray[np.float64],
    prompt_max: float,
    output_mu: npt.NDArray[np.float64],
    output_sigma: npt.NDArray[np.float64],
    output_max: float,
) -> Columns:
    """Draw the requests of a block, segment by segment; a segment is (class, minute, model).

    The n gaps of a segment are gamma variables of shape a = 1 / CV^2, each made as one of shape
    a + 1 times U^(1 / a), which is exact (Marsaglia and Tsang, ACM TOMS 26, 2000, section 6) and
    takes less time for a < 1; -log U is an exponential variable. The gaps are scaled to fill their
    minute as a circle, which is turned by a uniform angle: so every second of the minute is equally
    likely. (A process that starts anew with each minute would pile up bursty requests at the full
    minutes, where decisions fall.)

    Args:
        rng: Random numbers of the block.
        counts: Requests per minute, [minutes, class, model].
        region_cdf: Cumulative region shares without the last, [minutes, class, model, region - 1].
        arrival_cv: Coefficient of variation of the gaps, [class].
        iwf_share: Share of IW-F in the interactive requests.
        prompt_mu: Lognormal mu of prompt tokens, [class, model].
        prompt_sigma: Lognormal sigma, [class, model].
        prompt_max: Clip.
        output_mu: Lognormal mu of output tokens, [class, model].
        output_sigma: Lognormal sigma, [class, model].
        output_max: Clip.

    Returns:
        Arrivals in seconds from the start of the block, model, region, tier, prompt tokens, output
        tokens: [n] each, in order of arrival; ties (gaps of CV 3 are often tiny) in that of the
        segments.
    """
    minutes, classes, models = counts.shape
    per_class = counts.sum(axis=0).sum(axis=1)
    n, interactive = per_class.sum(), per_class[0]
    arrival = np.empty(n)
    for c, part in ((0, arrival[:interactive]), (1, arrival[interactive:])):
        square = arrival_cv[c] ** 2
        part[:] = rng.standard_gamma(1.0 + 1.0 / square, part.size)
        for i in range(part.size):
            part[i] *= np.exp(-square * rng.standard_exponential())
    turn = rng.random(minutes * classes * models)
    where = rng.random(n)
    flexible = rng.random(interactive)
    log_prompt = rng.standard_normal(n)
    log_output = rng.standard_normal(n)
    model, region = np.empty(n, np.int16), np.empty(n, np.int16)
    tier = np.empty(n, np.int16)
    prompt, output = np.empty(n, np.int32), np.empty(n, np.int32)
    segment, first, before = 0, 0, 0.0
    edges = region_cdf.shape[3]
    for c in range(classes):
        for minute in range(minutes):
            start_s = minute * 60.0
            for m in range(models):
                last = first + counts[minute, c, m]
                end = before
                for i in range(first, last):
                    end += arrival[i]
                    arrival[i] = end
                scale = 1.0 / max(end - before, _LEAST_SPAN)
                angle = turn[segment]
                mu_p, sigma_p = prompt_mu[c, m], prompt_sigma[c, m]
                mu_o, sigma_o = output_mu[c, m], output_sigma[c, m]
                for i in range(first, last):
                    at = (arrival[i] - before) * scale + angle
                    at -= 1.0 if at >= 1.0 else 0.0
                    arrival[i] = min(max(at, 0.0), _BELOW_ONE) * 60.0 + start_s
                    origin = 0
                    for edge in range(edges):
                        origin += where[i] >= region_cdf[minute, c, m, edge]
                    model[i], region[i] = m, origin
                    log_p = log_prompt[i] * sigma_p + mu_p
                    log_o = log_output[i] * sigma_o + mu_o
                    prompt[i] = np.rint(min(max(np.exp(log_p), 1.0), prompt_max))
                    output[i] = np.rint(min(max(np.exp(log_o), 1.0), output_max))
                first, before = last, end
                segment += 1
    for i in range(interactive):
        tier[i] = flexible[i] >= iwf_share
    tier[interactive:] = 2
    order = _by_time(arrival, 60.0 * minutes)
    return (
        arrival[order],
        model[order],
        region[order],
        tier[order],
        prompt[order],
        output[order],
    )
