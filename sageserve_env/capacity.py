"""The capacity probe: what one instance sustains.

theta[m, g] is the rate of prompt tokens per second that one instance of model m on VM type g
sustains, loaded with the workload's token pairs. It is measured in the simulator, in two steps:

1. *Throughput at saturation*: the instance is given a long backlog, and the prompt tokens it begins
   to answer in the middle of the run are divided by the time. Decoding sequences and KV memory take
   their share, so memory-bound models sustain less than half of what their prefill speed suggests
   (docs/sources.md, "First simulations").
2. *Goodput*, where the scenario makes flat promises (no ``slo_scale``, or a ``tpot_s``): the
   highest Poisson load, as a share of the first step's, at which the tier with the shortest
   objective attains its target. Saturated engines that keep TTFT decode slowly, so a fleet planned
   for their throughput would break the promise on time per token. Where an idle instance attains
   less than the target, that share of what it attains is asked for instead (A), so that every VM
   type that runs a model has a capacity.

The paper's objectives scale with the prompt and say nothing of decoding; there the throughput at
saturation is theta, and how far below it a fleet must stay is the margin of a planner.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import ScenarioError, stable_hash
from sageserve_env.options import FaultConfig
from sageserve_env.policies import DISCIPLINES
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_traces.token_mix import TokenPairs
from sageserve_traces.trace import RequestTrace

if TYPE_CHECKING:
    from sageserve_env.simulator.simulator import Simulator

TokenMixOf = Callable[[int], TokenPairs]

PROBE_REQUESTS = 4000  # our assumption (A): repeated probes differ by 1-2 %
PROBE_SEED = 7
_FROM, _TO = (
    0.2,
    0.8,
)  # part of the run that counts: the batch has filled, the queue has not emptied
_LONG_S = 30 * 86_400.0
_IDLE = 0.01  # load at which an instance counts as idle (A)
_HALVINGS = 7  # of the load between idle and saturated: to 1 %
_FORMAT = 4  # of the cached values; raise when the simulator's physics change


def measure_theta(scenario: Scenario, mix: TokenMixOf | None = None) -> NDArray[np.float64]:
    """Measure theta for every model and VM type, [M, G], prompt tokens per second.

    Args:
        scenario: The cluster; only models, VM types and batching matter, and the tiers where the
            queue is not in order of arrival.
        mix: Published (prompt, output) pairs of a model by its index in the scenario; default is
            the synthetic O365 workload's.

    Returns:
        float64 [M, G]; 1.0 where a model does not run on a VM type.
    """
    pairs = tuple(_pairs(scenario, m, mix) for m in range(len(scenario.models)))

    def measured() -> list[list[float]]:
        return [
            [_probe(scenario, m, g, pairs[m]) for g in range(len(scenario.gpus))]
            for m in range(len(scenario.models))
        ]

    return np.array(kept(_identity(scenario, pairs), measured))


def _pairs(scenario: Scenario, m: int, mix: TokenMixOf | None) -> TokenPairs:
    prompt, output = (mix or _default_mix(scenario))(m)
    limit = int(scenario.max_context_tokens[m])
    longest = scenario.batching.max_output_tokens
    return np.minimum(prompt, limit), np.minimum(output, longest)


def _default_mix(scenario: Scenario) -> TokenMixOf:
    from sageserve_traces.synthetic import TRAFFIC, SyntheticTrace

    trace = scenario.workload.trace
    source = SyntheticTrace(0, workload=trace if trace in TRAFFIC else "o365")
    back = {new: old for old, new in scenario.workload.rename_models.items()}

    def mix(m: int) -> TokenPairs:
        name = back.get(scenario.models[m], scenario.models[m])
        return source.token_mix(source.models.index(name) if name in source.models else 0)

    return mix


def _identity(scenario: Scenario, pairs: tuple[TokenPairs, ...]) -> tuple[Any, ...]:
    digest = [int(p.astype(np.int64) @ np.arange(1, len(p) + 1)) for pair in pairs for p in pair]
    what: tuple[Any, ...] = (
        _FORMAT,
        scenario.model_specs,
        scenario.gpu_specs,
        scenario.batching,
        digest,
    )
    if promises(scenario):
        what += ("goodput", scenario.tiers, scenario.slo_scale)
    elif scenario.batching.discipline != "fcfs":  # who is served first follows from objectives
        what += (scenario.tiers, scenario.slo_scale)
    return what + order_of_file(scenario)


def order_of_file(scenario: Scenario) -> tuple[Any, ...]:
    """Return the weights of a discipline from a user's file, which may change; else nothing."""
    name = scenario.batching.discipline
    return (DISCIPLINES.spec(name).weights,) if ":" in name else ()


def _probe(scenario: Scenario, m: int, g: int, pairs: TokenPairs) -> float:
    """Return what one instance sustains, in a scenario that has nothing else."""
    if not scenario.compatible[m, g]:
        return 1.0
    one = alone(scenario, m, g)
    prompt, output = pairs
    pick = np.random.default_rng(PROBE_SEED).integers(0, len(prompt), PROBE_REQUESTS)
    saturated = max(1.0, _saturated(one, prompt[pick], output[pick]))
    if not promises(scenario):
        return saturated
    return max(1.0, saturated * _promised_load(one, prompt[pick], output[pick], saturated))


def alone(
    scenario: Scenario,
    m: int,
    g: int,
    instances: int = 1,
    *,
    horizon_s: float = _LONG_S,
    sessions: str = "open",
) -> Scenario:
    """Return a scenario that has some instances of model ``m`` on VM type ``g``, and nothing else.

    It names the model as the scenario does.
    """
    model, gpu = scenario.model_specs[m], scenario.gpu_specs[g]
    return scenario.replace(
        name="probe",
        regions=(RegionConfig("probe", {gpu.name: instances}),),
        models=(model.name,),
        gpus=(gpu.name,),
        initial_instances=instances,
        min_instances=instances,
        pooling="unified",
        horizon_s=horizon_s,
        faults=FaultConfig(),
        round_trips_s=((0.0,),),
        routing={"delay_s": 0.0},
        tiers=tuple(replace(tier, refuse_above_s=None) for tier in scenario.tiers),
        workload={"rename_models": {}, "sessions": sessions},
    )


def promises(scenario: Scenario) -> bool:
    """Return whether interactive tiers have objectives that an idle instance may miss."""
    interactive = [tier for tier in scenario.tiers if tier.interactive]
    flat = not scenario.slo_scale and any(tier.objective == "ttft" for tier in interactive)
    return flat or any(tier.tpot_s is not None for tier in interactive)


def _strictest(scenario: Scenario) -> int:
    """Return the interactive tier with the shortest objective; the first tier if there is none."""
    tiers = [(t.objective_s, i) for i, t in enumerate(scenario.tiers) if t.interactive]
    return min(tiers)[1] if tiers else 0


def _saturated(scenario: Scenario, prompt: NDArray[np.int32], output: NDArray[np.int32]) -> float:
    """Return prompt tokens per second of one instance that always has work waiting."""
    n = len(prompt)
    sim = _play(scenario, np.zeros(n), prompt, output, records=True)
    done_s = np.sort(sim.records()["e2e_s"])
    order = np.argsort(sim.records()["ttft_s"], kind="stable")
    first_s = sim.records()["ttft_s"][order]
    if not np.isfinite(done_s).all():
        raise ScenarioError(f"probe: an instance of {scenario.models[0]} did not finish its work")
    low, high = int(_FROM * n), int(_TO * n)
    tokens = float(prompt[order][low:high].sum())
    return tokens / max(1e-9, float(first_s[high - 1] - first_s[low - 1]))


def _promised_load(
    scenario: Scenario, prompt: NDArray[np.int32], output: NDArray[np.int32], saturated: float
) -> float:
    """Return the largest share of ``saturated`` at which the promise is kept, in (0, 1].

    All loads are tried with the same requests in the same order, further apart or nearer together.
    """
    gaps = np.random.default_rng(PROBE_SEED + 1).exponential(size=len(prompt))
    unit_s = np.cumsum(gaps) * float(prompt.mean()) / saturated
    k = _strictest(scenario)

    def attained(load: float) -> float:
        totals = _play(scenario, unit_s / load, prompt, output).totals()
        return float(totals.attained[k]) / max(1, int(totals.attained[k] + totals.missed[k]))

    target, idle = scenario.tiers[k].target, attained(_IDLE)
    needed = target if idle >= target else target * idle
    low, high = _IDLE, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if attained(middle) >= needed else (low, middle)
    return low


def _play(
    scenario: Scenario,
    arrival_s: NDArray[np.float64],
    prompt: NDArray[np.int32],
    output: NDArray[np.int32],
    records: bool = False,
) -> Simulator:
    """Return a simulator that has served requests of the strictest tier."""
    from sageserve_env.simulator.simulator import Simulator

    n = len(prompt)
    zeros = np.zeros(n, dtype=np.int16)
    trace = RequestTrace(
        arrival_s=arrival_s,
        model=zeros,
        region=zeros,
        tier=np.full(n, _strictest(scenario), dtype=np.int16),
        prompt_tokens=prompt.astype(np.int32),
        output_tokens=output.astype(np.int32),
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
        duration_s=float(arrival_s[-1]) + 1.0,
        name="probe",
    )
    sim = Simulator(scenario, np.ones((1, 1)), records=records)
    sim.reset(trace)
    sim.advance(_LONG_S)
    return sim


# -- cache ----------------------------------------------------------------------------------------

_memory: dict[str, list[list[float]]] = {}


def kept(what: tuple[Any, ...], measured: Callable[[], list[list[float]]]) -> list[list[float]]:
    """Return what was measured before, or measure it and keep it.

    Args:
        what: All that the values depend on.
        measured: Measures them.
    """
    key = stable_hash(what, 20)
    values = _load(key)
    if values is None:
        values = measured()
        _store(key, values)
    return values


@lru_cache(maxsize=1)
def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sageserve_env" / "theta"


def _load(key: str) -> list[list[float]] | None:
    if key not in _memory:
        try:
            _memory[key] = json.loads((_cache_dir() / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None
    return _memory[key]


def _store(key: str, values: list[list[float]]) -> None:
    """Keep the values in memory and, where the cache folder can be written, on disk."""
    _memory[key] = values
    path = _cache_dir() / f"{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.tmp")
        part.write_text(json.dumps(values))
        os.replace(part, path)
    except OSError:
        return
