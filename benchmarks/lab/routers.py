"""What routing by prefix caches is worth on `sessions-day`, and what learned weights add.

A fixed fleet serves a part of the day's traffic under routers that differ in their weights only:

- ``least_wait``, ``prefix_affinity`` and ``session_affinity`` as they come;
- ``tuned``: the best weights that all models share of what is cached and of load, as prefix- and
  load-aware routers have them in the field;
- ``tuned_types``: the same with the prefill time of the prompt on the VM type (`prompt_s`);
- ``learned``: weights of six features per model.

The three searches have the same number of simulated days, begin at the same settings and differ in
what they may set only. They see validation seeds and the first `SEARCH_HOURS` of the days, and
minimise the mean TTFT of all requests; one whose first token has not come by the end counts with
the longest wait there is then. Rows are whole days of test seeds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sageserve_agents.stack import WEIGHTS_TRIED
from sageserve_agents.weights import changed_weights
from sageserve_env import ClusterAction, load_scenario
from sageserve_env.scenario import Scenario
from sageserve_env.session_capacity import session_theta
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces import TraceSource, make_trace

SCENARIO = "sessions-day"
SCALE = 2.0
"""Of the traffic: less than the scenario's, so that the fleets below can serve it."""
TRAIN_SEEDS, TEST_SEEDS = (1000, 1001), (2000, 2001, 2002)
OTHER_SEEDS = (2010, 2011, 2012)
ROUTERS = ("least_wait", "prefix_affinity", "session_affinity")
#: Instances of every endpoint by VM type, where the model runs on it.
FLEETS: dict[str, dict[str, int]] = {
    "5 x h100x2": {"h100x2": 5},
    "3 x h100x2": {"h100x2": 3},
    "mixed": {"h100x2": 1, "h100x1": 1, "b200x1": 1},
    "2 x h100x2, 1 x b200x1": {"h100x2": 2, "b200x1": 1},
}
SEARCHED = ("mixed", "2 x h100x2, 1 x b200x1", "3 x h100x2")
#: Instances of each endpoint among which the least fleet that attains is looked for.
LEAST_PER_ENDPOINT, MOST_PER_ENDPOINT = 2, 5

#: Features that the searches may weigh; that of a wait is 1 where the others are relative to it.
OWN = tuple(WEIGHTS_TRIED.limits)
SHARED = ("prefix_s", "running", "kv", "pending_tokens")
SEARCH_HOURS = 10.0

#: Where every search begins: the preset, one with less weight on what is cached, and one with more
#: on load; then one that takes the whole time to the first token, where that can be set.
_LEAST = {name: WEIGHTS_TRIED.sizes(name)[0] for name in OWN} | {"queue_s": 1.0}
BEGIN = (
    {**_LEAST, "prefix_s": 1.0, "running": 0.01},
    {**_LEAST, "prefix_s": 0.25, "running": 0.0075},
    {**_LEAST, "prefix_s": 0.3, "running": 0.035, "kv": 0.73},
    {**_LEAST, "prefix_s": 1.0, "running": 0.03, "queue_s": 4.0, "prompt_s": 1.0},
)


@dataclass(frozen=True)
class Day:
    """How a router served one day."""

    metrics: Mapping[str, float | int]
    mean_ttft_s: float
    attains: bool


def _targets(scenario: Scenario, instances: Mapping[str, int]) -> np.ndarray[Any, Any]:
    """Return the instances of every endpoint, [E, G]."""
    row = np.array([instances.get(gpu, 0) for gpu in scenario.gpus])
    return np.where(scenario.usable, row, 0)


@lru_cache(maxsize=8)
def _trace(seed: int, hours: float) -> TraceSource:
    scenario = load_scenario(SCENARIO)
    return make_trace(
        scenario.workload.trace,
        seed=seed,
        scale=SCALE,
        horizon_s=3600.0 * hours,
        history_days=0.0,
    )


@lru_cache(maxsize=1)
def _theta() -> np.ndarray[Any, Any]:
    return session_theta(load_scenario(SCENARIO))


def serve(
    router: str, weights: str, instances: Mapping[str, int], seed: int, hours: float = 24.0
) -> Day:
    """Serve a day with a fixed fleet.

    Args:
        router: Router.
        weights: Changes of its weights (`sageserve_agents.weights`).
        instances: Instances of every endpoint by VM type.
        seed: Of the trace.
        hours: Length.
    """
    base = load_scenario(SCENARIO)
    scenario = base.replace(
        routing={"router": router, "weights": {}},
        horizon_s=3600.0 * hours,
        initial_instances=0,
        lifecycle={"boot_s": 0.1, "load_gb_per_s": 1e6},  # the fleet is there from the start
    )
    simulator = Simulator(scenario, _theta(), records=True)
    trace = _trace(seed, hours)
    simulator.reset(trace, seed)
    simulator.apply(
        ClusterAction(
            _targets(scenario, instances),
            router=router,
            router_weights=changed_weights(weights, scenario, router),
        )
    )
    simulator.advance(3600.0 * hours)
    metrics = simulator.episode_metrics()
    ttft = simulator.records()["ttft_s"][: int(metrics["requests"])]
    ttft = np.where(np.isnan(ttft), float(metrics["oldest_unfinished_s"]), ttft)
    due = ((t.target, metrics[f"slo_{t.name.lower().replace('-', '')}"]) for t in scenario.tiers)
    return Day(metrics, float(ttft.mean()), all(not got < target for target, got in due))


def search(
    names: Sequence[str],
    models: Sequence[str | None],
    instances: Mapping[str, int],
    days: int,
    told: Callable[[str], None],
    *,
    hours: float = SEARCH_HOURS,
    sampler_seed: int = 0,
) -> str:
    """Return the weights of `prefix_affinity` with the least mean TTFT on the training seeds.

    Args:
        names: Features that may be weighed.
        models: Models that have weights of their own; ``(None,)``: all models share them.
        instances: The fleet.
        days: Simulated days that may be spent.
        told: Called with a line when a better setting was found.
        hours: Length of a day.
        sampler_seed: Of the sampler (optuna's TPE).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=sampler_seed, multivariate=True, n_startup_trials=10)
    study = optuna.create_study(sampler=sampler)
    best: list[tuple[float, str]] = []

    keys = [(f if m is None else f"{m}.{f}", f) for m in models for f in names]

    def objective(trial: Any) -> float:
        parts = []
        for key, feature in keys:
            size = trial.suggest_float(key, *WEIGHTS_TRIED.sizes(feature), log=True)
            parts.append(f"{key}:{-size if feature == 'prefix_s' else size:.6g}")
        text = "/".join(parts)
        runs = [serve("prefix_affinity", text, instances, seed, hours) for seed in TRAIN_SEEDS]
        value = float(np.mean([math.log(run.mean_ttft_s) for run in runs]))
        if not best or value < best[-1][0]:
            best.append((value, text))
            told(f"{math.exp(value):.3f} s {text}")
        return value

    for start in BEGIN[: None if "prompt_s" in names else -1]:
        study.enqueue_trial({key: start[feature] for key, feature in keys})
    study.optimize(objective, n_trials=days // len(TRAIN_SEEDS))
    return best[-1][1]


def rows_of(
    label: str,
    fleet: str,
    router: str,
    weights: str,
    hours: float,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Return a row per seed."""
    rows = []
    for seed in seeds:
        day = serve(router, weights, FLEETS[fleet], seed, hours)
        m = day.metrics
        rows.append(
            {
                "fleet": fleet,
                "router": label,
                "seed": seed,
                "ttft_mean_s": round(day.mean_ttft_s, 4),
                "ttft_mean_iwf_s": round(float(m["ttft_mean_iwf"]), 4),
                "ttft_mean_iwn_s": round(float(m["ttft_mean_iwn"]), 4),
                "ttft_p99_iwn_s": round(float(m["ttft_p99_iwn"]), 3),
                "prefix_hit_rate": round(float(m["prefix_hit_rate"]), 4),
                "slo_iwf": round(float(m["slo_iwf"]), 4),
                "slo_iwn": round(float(m["slo_iwn"]), 4),
                "cost_usd": round(float(m["cost_usd"]), 1),
                "weights": weights,
            }
        )
    return rows


def least_fleets(arms: Mapping[str, tuple[str, str]], hours: float) -> list[dict[str, Any]]:
    """Return for each router the least fleet of h100x2 that attains on all test seeds.

    Every endpoint has the same number; the bill is a mean over the seeds. Where not even the
    largest fleet attains, its bill stands in the row, as a bound.
    """
    rows = []
    for label, (router, weights) in arms.items():
        for n in range(LEAST_PER_ENDPOINT, MOST_PER_ENDPOINT + 1):
            days = [serve(router, weights, {"h100x2": n}, seed, hours) for seed in TEST_SEEDS]
            attains = all(day.attains for day in days)
            if attains or n == MOST_PER_ENDPOINT:
                bill = float(np.mean([float(day.metrics["cost_usd"]) for day in days]))
                row = {"router": label, "per_endpoint": n, "attains": attains}
                rows.append({**row, "cost_usd": round(bill, 1), "weights": weights})
                break
    return rows


def compare_routers(
    folder: Path,
    days: int,
    told: Callable[[str], None],
    *,
    fleets: Sequence[str] = tuple(FLEETS),
    hours: float = 24.0,
) -> None:
    """Search, compare, and write ``ttft.csv`` and ``equal_service.csv``.

    Args:
        folder: Where the files go.
        days: Simulated days of each search; 0: presets only.
        told: Called with lines of progress.
        fleets: Names of `FLEETS`.
        hours: Length of a day.
    """
    models = load_scenario(SCENARIO).models
    rows = []
    for fleet in fleets:
        arms = {name: (name, "") for name in ROUTERS}
        if days and fleet in SEARCHED:
            for label, names, whose in (
                ("tuned", SHARED, (None,)),
                ("tuned_types", OWN, (None,)),
                ("learned", OWN, models),
            ):
                told(f"{fleet}: {label}")
                length = min(hours, SEARCH_HOURS)
                found = search(names, whose, FLEETS[fleet], days, told, hours=length)
                arms[label] = ("prefix_affinity", found)
        for label, (router, weights) in arms.items():
            rows += rows_of(label, fleet, router, weights, hours, TEST_SEEDS)
            told(f"{fleet} {label}: {[row['ttft_mean_s'] for row in rows[-len(TEST_SEEDS) :]]}")
        _write(folder / "ttft.csv", rows)
        if fleet == "3 x h100x2":
            _write(folder / "equal_service.csv", least_fleets(arms, hours))


def play_again(folder: Path, told: Callable[[str], None], *, hours: float = 24.0) -> None:
    """Play the weights that were found on `OTHER_SEEDS`: ``ttft.csv`` to ``other_days.csv``."""
    with (folder / "ttft.csv").open(encoding="utf-8") as file:
        found = {(row["fleet"], row["router"]): row["weights"] for row in csv.DictReader(file)}
    rows = []
    for (fleet, label), weights in found.items():
        if weights:
            rows += rows_of(label, fleet, "prefix_affinity", weights, hours, OTHER_SEEDS)
            told(f"{fleet} {label}: {[row['ttft_mean_s'] for row in rows[-len(OTHER_SEEDS) :]]}")
            _write(folder / "other_days.csv", rows)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
