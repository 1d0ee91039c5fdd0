"""`sageserve speed`: which figures there are, their floors, and the measurement of each."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sageserve_bench.errors import UserError
from sageserve_bench.runs.versions import versions
from sageserve_validation.speed import cases, engine
from sageserve_validation.speed.engine import Figures, SpeedOptions


@dataclass(frozen=True)
class Figure:
    """A figure of docs/benchmark.md, "Speed".

    Attributes:
        key: Name in the JSON file.
        meaning: What it is.
        floor: What it must reach.
        more_is_better: Whether the floor is a least value.
        case: Measures it, and perhaps others.
    """

    key: str
    meaning: str
    floor: float
    more_is_better: bool
    case: Callable[[SpeedOptions], Figures]

    def reached(self, value: float) -> bool:
        """Return whether a value reaches the floor."""
        return value >= self.floor if self.more_is_better else value <= self.floor


FIGURES = (
    Figure("engine_over_yardstick", "busy hour over yardstick", 1.7, True, engine.engine),
    Figure("engine_over_yardstick_night", "night hour over yardstick", 1.5, True, engine.engine),
    Figure(
        "engine_requests_per_cpu_s", "requests per CPU s, busy hour", 2.8e6, True, engine.engine
    ),
    Figure("engine_requests_per_cpu_s_night", "the same at night", 2.5e6, True, engine.engine),
    Figure("prefix_requests_per_cpu_s", "sessions and prefix caches on", 5e5, True, engine.prefix),
    Figure("full_day_reactive_s", "10M requests, reactive, s", 7, False, cases.full_day),
    Figure("full_day_peak_mb", "peak memory of that day, MB", 500, False, cases.full_day),
    Figure("engine_requests_per_s", "requests a second, whole day", 1.2e6, True, engine.full_size),
    Figure("scaling_ratio_10x", "time of 10x the requests over 1x", 11, False, engine.scaling),
    Figure("prefix_on_over_off", "prefix caches, time on over off", 1.2, False, engine.features),
    Figure("growth_on_over_off", "KV growth, time on over off", 1.5, False, engine.features),
    Figure("faults_on_over_off", "faults, time on over off", 1.2, False, engine.features),
    Figure("records_on_over_off", "records, time on over off", 1.2, False, engine.features),
    Figure("env_steps_per_s", "SageServe-Paper-v1 steps a second", 2200, True, cases.env_steps),
    Figure("step_overhead_us", "a step without traffic, us", 80, False, cases.step_overhead),
    Figure("vector_speedup_2_threads", "two threads over one", 1.75, True, cases.vector),
    Figure("ilp_small_s", "plan of 3 x 4, s", 0.1, False, cases.ilp_small),
    Figure("ilp_large_s", "plan of 50 x 100 x 3, s", 30, False, cases.ilp_large),
    Figure("import_s", "import sageserve_env, s", 1.0, False, cases.import_time),
    Figure("cold_first_step_s", "first step, new user, s", 15, False, cases.cold_first_step),
    Figure("native_first_step_s", "the same, compiling, s", 60, False, cases.compiling),
)


def choose(only: str | None) -> list[Figure]:
    """Return the figures of a text such as ``import_s,ilp_small_s``; all if None.

    Raises:
        UserError: If there is no such figure.
    """
    known = {figure.key: figure for figure in FIGURES}
    if only is None:
        return list(FIGURES)
    keys = [key.strip() for key in only.split(",")]
    for key in keys:
        if key not in known:
            raise UserError(f"--only: no figure {key!r}; use {', '.join(known)}")
    return [known[key] for key in keys]


def measure(
    figures: Iterable[Figure],
    options: SpeedOptions | None = None,
    *,
    begin: Callable[[str], None] | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure figures one after the other.

    Args:
        figures: Which; a case that gives several of them is run once.
        options: How to measure.
        begin: Called with the key before each case.

    Returns:
        Values by key, and why a figure could not be measured.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    ran: set[Callable[[SpeedOptions], Figures]] = set()
    for figure in figures:
        if figure.case in ran:
            continue
        ran.add(figure.case)
        if begin is not None:
            begin(figure.key)
        try:
            values |= figure.case(options or SpeedOptions())
        except ImportError as error:
            failures[figure.key] = " ".join(str(error).split())
    return values, failures


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = [line.partition(":")[2].strip() for line in file if "model name" in line]
        name = models[0] if models else name
    except OSError:
        pass
    return {"cpu": name, "cores": os.cpu_count(), "system": platform.system()}


def document(values: dict[str, float], failures: dict[str, str], quick: bool) -> dict[str, Any]:
    """Return the content of the JSON file: the figures by their keys, then how they were made."""
    order = [figure.key for figure in FIGURES]
    keys = sorted(values, key=lambda key: (order.index(key) if key in order else len(order), key))
    return {
        **{key: values[key] for key in keys},
        "not_measured": failures,
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
    }
