"""`sageserve fidelity llm-d`: replicas behind a router, predicted from runs of one replica.

The file holds runs of llm-d with one model on several replicas of 2, 4 or 8 GPUs, in closed loop.
For each number of GPUs a profile is fitted to the runs of one replica; the runs of several replicas
are then simulated with it: the same closed loop, the router of the simulator (fewest pending
tokens). Runs with prefill and decode pools are left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import GpuType, LatencyProfile, Model
from sageserve_env.catalogue.roofline import kv_tokens
from sageserve_env.catalogue.tables import devices, model_facts
from sageserve_validation.fidelity.closed_loop import closed_loop, one_instance
from sageserve_validation.fitting.closed_loops import Instance, fit_group
from sageserve_validation.fitting.measurements import Measurement, engine_batching
from sageserve_validation.fitting.replica import Rules
from sageserve_validation.fitting.shape import Physics

BUDGET_TOKENS: Final = 8192
WEIGHTS_GB: Final = 141.0
KV_BYTES_PER_TOKEN: Final = 327_680.0
MEMORY_FRACTION: Final = 0.95
"""Llama-3.1-70B in 16 bits; three requests of 11,000 tokens fit two GPUs, as the runs show."""


@dataclass(frozen=True)
class Run:
    """One run: replicas of some GPUs, and its means."""

    replicas: int
    row: Measurement
    e2e_s: float


def read_runs(path: Path) -> list[Run]:
    """Read the aggregated runs of a file.

    Raises:
        UserError: If it cannot be read or has none.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        runs = [_run(e) for e in entries if e["architecture"] == "aggregated"]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no file of llm-d runs: {error!r}") from None
    if not runs:
        raise UserError(f"{path}: has no aggregated runs")
    return runs


def _run(entry: dict[str, Any]) -> Run:
    gpus = int(entry["metadata"]["tensor_parallelism"])
    metrics, workload = entry["metrics"], entry["workload"]
    row = Measurement(
        model="llama-3.1-70b",
        device="h100",
        gpus=gpus,
        clients=int(workload["concurrency"]),
        prompt_tokens=int(workload["input_tokens"]),
        output_tokens=int(workload["output_tokens"]),
        ttft_s=float(metrics["ttft"]["mean"]) / 1e3,
        tpot_s=float(metrics["tpot"]) / 1e3,
    )
    return Run(
        int(entry["accelerator_count"]) // gpus,
        row,
        float(metrics["latency"]["mean"]) / 1e3,
    )


def fit(runs: list[Run]) -> dict[int, LatencyProfile]:
    """Return a profile by number of GPUs, from the runs of one replica.

    Raises:
        UserError: If there is no run of one replica.
    """
    facts = dataclasses.replace(
        model_facts()["llama-3.1-70b"],
        precision="bf16",
        weights_gb=WEIGHTS_GB,
        kv_bytes_per_token=KV_BYTES_PER_TOKEN,
    )
    device = devices()["h100"]
    single = defaultdict(list)
    for run in runs:
        if run.replicas == 1:
            single[run.row.gpus].append(run.row)
    if not single:
        raise UserError("no run of one replica: there is nothing to fit a profile to")
    instances = []
    for gpus, rows in sorted(single.items()):
        capacity = kv_tokens(facts, device, gpus, MEMORY_FRACTION)
        rules = Rules.of(engine_batching("vllm", BUDGET_TOKENS), capacity)
        physics = Physics.of(facts, device, gpus)
        instances.append(Instance(gpus, physics, rules, tuple(rows)))
    return dict(zip(sorted(single), fit_group(instances), strict=True))


def simulate(run: Run, profile: LatencyProfile) -> dict[str, float]:
    """Return the means of a run in the product's kernel."""
    gpu = GpuType("replica", run.row.gpus, run.row.gpus * 80e9, 0.0, 0.0)
    batching = dataclasses.replace(
        engine_batching("vllm", BUDGET_TOKENS),
        memory_fraction=MEMORY_FRACTION,
        max_output_tokens=run.row.output_tokens,
    )
    longest = run.row.prompt_tokens
    model = Model("model", WEIGHTS_GB * 1e9, KV_BYTES_PER_TOKEN, longest, {gpu.name: profile})
    scenario = one_instance(model, gpu, batching, instances=run.replicas)
    prompt, output = run.row.lengths()
    ttft_s, e2e_s = closed_loop(scenario, run.row.clients, prompt, output)
    tpot_s = (e2e_s - ttft_s) / np.maximum(output - 1, 1)
    return {
        "ttft_s": float(ttft_s.mean()),
        "tpot_s": float(tpot_s.mean()),
        "e2e_s": float(e2e_s.mean()),
    }


def compare(runs: list[Run]) -> dict[str, Any]:
    """Fit on one replica, simulate every run, and return the errors of runs of one and of more."""
    profiles = fit(runs)
    rows = []
    for run in runs:
        if run.row.gpus not in profiles:
            continue
        simulated = simulate(run, profiles[run.row.gpus])
        measured = {"ttft_s": run.row.ttft_s, "tpot_s": run.row.tpot_s, "e2e_s": run.e2e_s}
        errors = {f"{key[:-2]}_error": simulated[key] / measured[key] - 1.0 for key in measured}
        rows.append(
            {"replicas": run.replicas, "gpus": run.row.gpus, "clients": run.row.clients} | errors
        )
    report: dict[str, Any] = {"runs": rows}
    for name, part in (
        ("one_replica_fitted", [r for r in rows if r["replicas"] == 1]),
        ("several_replicas", [r for r in rows if r["replicas"] > 1]),
    ):
        report[name] = {"rows": len(part)} | {
            f"{key}_median_abs_rel": float(np.median([abs(r[f"{key}_error"]) for r in part]))
            for key in ("ttft", "tpot", "e2e")
            if part
        }
    return report
