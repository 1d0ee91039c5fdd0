"""`sageserve fidelity requests`: replay of an engine's requests, compared one by one.

A folder holds ``requests.jsonl`` (a line per request with ``input_toks``, ``output_toks``,
``queued_ts``, ``first_token_ts``, ``last_token_ts`` in seconds) and ``meta.json`` with the engine's
settings. A profile is fitted to the first half of the requests by arrival; the errors are those of
the second half in the product's kernel, with the batching rules of the settings: a token budget
that decodes share, a limit on sequences, memory that grows with preemption. Data-parallel ranks
that run in step are one instance with their budgets, limits and memories together (our assumption).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import GpuType, LatencyProfile, Model
from sageserve_env.catalogue.tables import model_facts
from sageserve_env.options import BatchingConfig
from sageserve_validation.fidelity.closed_loop import Floats, one_instance, serve
from sageserve_validation.fidelity.closed_loop import requests as trace_of
from sageserve_validation.fitting.replica import BASE_ADDED, BASE_DROPPED, ONE_PASS, Rules, replay
from sageserve_validation.fitting.requests import Requests, fit_requests

RULES = {"one_pass": ONE_PASS, "base_added": BASE_ADDED, "base_dropped": BASE_DROPPED}
UNBOUND_TOKENS = 1 << 30
LEAST_REQUESTS = 20

_FIELDS = ("input_toks", "output_toks", "queued_ts", "first_token_ts", "last_token_ts")


@dataclass(frozen=True)
class Run:
    """One measured run: its requests, the engine's rules, and whether memory is known."""

    requests: Requests
    batching: BatchingConfig
    kv_tokens: int
    memory: str

    @property
    def rules(self) -> Rules:
        """The rules for a replay."""
        return Rules.of(self.batching, self.kv_tokens)


def read_folder(folder: Path) -> Run:
    """Read a measured run.

    Raises:
        UserError: If a file is missing or lacks what is needed.
    """
    meta = _json(folder / "meta.json")
    requests = _requests(folder / "requests.jsonl")
    settings = meta.get("engine_kwargs", {})
    try:
        ranks = int(settings.get("data_parallel_size") or 1)
        budget = int(settings["max_num_batched_tokens"]) * ranks
        sequences = int(settings["max_num_seqs"]) * ranks
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{folder / 'meta.json'}: engine_kwargs needs max_num_batched_tokens and max_num_seqs"
        ) from None
    tokens, memory = _kv_tokens(folder, meta, ranks)
    batching = BatchingConfig(
        mode="mixed",
        prefill_token_budget=budget,
        shared_budget=True,
        max_sequences=sequences,
        kv_policy="growth",
        max_output_tokens=int(requests.output.max()),
    )
    return Run(requests, batching, tokens, memory)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the folder needs it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected an object")
    return value


def _requests(path: Path) -> Requests:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        columns = {key: np.array([float(row[key]) for row in rows]) for key in _FIELDS}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the folder needs it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: each line needs the numbers {', '.join(_FIELDS)}: {error!r}"
        ) from None
    if len(rows) < LEAST_REQUESTS:
        raise UserError(f"{path}: {len(rows)} requests; at least {LEAST_REQUESTS} are needed")
    order = np.argsort(columns["queued_ts"], kind="stable")
    sorted_ = {key: values[order] for key, values in columns.items()}
    sent = sorted_["queued_ts"]
    return Requests(
        arrival_s=sent - sent[0],
        prompt=sorted_["input_toks"].astype(np.int64),
        output=sorted_["output_toks"].astype(np.int64),
        ttft_s=sorted_["first_token_ts"] - sent,
        e2e_s=sorted_["last_token_ts"] - sent,
    )


def _kv_tokens(folder: Path, meta: dict[str, Any], ranks: int) -> tuple[int, str]:
    """Return KV tokens and where the number is from.

    ``meta.json`` names them, or they follow from the memory in ``config.json`` for a model of the
    catalogue; else memory is taken as ample.
    """
    named = (meta.get("kv_cache") or {}).get("num_kv_tokens")
    if named:
        return int(named) * ranks, "meta.json"
    short = str(meta.get("model", "")).rsplit("/", 1)[-1].lower()
    facts = next((f for f in model_facts().values() if short.startswith(f.family)), None)
    if facts is not None and facts.precision == "bf16" and (folder / "config.json").is_file():
        try:
            instances = _json(folder / "config.json")["nodes"][0]["instances"]
            memory = instances[0]["npu_mem"]
            usable_gb = float(memory["mem_size"]) * float(memory["mem_util"])
            gpus = int(instances[0].get("num_npus") or 1)
        except (KeyError, IndexError, TypeError, ValueError):
            return UNBOUND_TOKENS, "ample"
        free_gb = usable_gb * gpus - facts.weights_gb
        if free_gb > 0:
            return int(free_gb * 1e9 / facts.kv_bytes_per_token) * ranks, "config.json"
    return UNBOUND_TOKENS, "ample"


def simulate(run: Run, profile: LatencyProfile) -> tuple[Floats, Floats]:
    """Serve the requests in the product's kernel; return TTFT and E2E."""
    requests = run.requests
    gpu = GpuType("gpu", 1, 1.0, 0.0, 0.0)
    longest = int(requests.prompt.max())
    model = Model("model", 0.0, 1.0, longest, {gpu.name: profile}, float(run.kv_tokens))
    scenario = one_instance(model, gpu, run.batching)
    trace = trace_of(requests.arrival_s, requests.prompt, requests.output, scenario)
    return serve(scenario, trace)


def figures(
    requests: Requests, ttft_s: Floats, e2e_s: Floats, part: NDArray[np.bool_]
) -> dict[str, float]:
    """Return mean absolute errors over means, and ratios of percentiles, of a part."""
    pairs = {
        "ttft": (ttft_s, requests.ttft_s),
        "tpot": (
            requests.tpot_s(ttft_s, e2e_s),
            requests.tpot_s(requests.ttft_s, requests.e2e_s),
        ),
        "e2e": (e2e_s, requests.e2e_s),
    }
    found = {
        f"{name}_mae_rel": float(np.abs(own - their)[part].mean() / their[part].mean())
        for name, (own, their) in pairs.items()
    }
    own, their = pairs["e2e"]
    for p in (50, 90):
        ratio = np.percentile(own[part], p) / np.percentile(their[part], p)
        found[f"e2e_p{p}_ratio"] = float(ratio)
    return found


def compare(run: Run, *, other_rules: bool = False) -> dict[str, Any]:
    """Fit on the first half by arrival and compare the second.

    Args:
        run: The measured run.
        other_rules: Also fit and compare the other rules for mixed iterations.

    Raises:
        UserError: If a request can never be served under the engine's settings.
    """
    requests = run.requests
    first = np.arange(len(requests)) < len(requests) // 2
    profile = fit_requests(requests, run.rules, first)
    ttft_s, e2e_s = simulate(run, profile)
    if not np.isfinite(e2e_s).all():
        raise UserError("a request is longer than the memory that meta.json gives the engine")
    report: dict[str, Any] = figures(requests, ttft_s, e2e_s, ~first)
    report["first_half"] = figures(requests, ttft_s, e2e_s, first)
    report |= {
        "requests": len(requests),
        "token_budget": run.batching.prefill_token_budget,
        "max_sequences": run.batching.max_sequences,
        "kv_tokens": run.kv_tokens if run.memory != "ample" else None,
        "memory_from": run.memory,
        "profile": dataclasses.asdict(profile),
    }
    if other_rules:
        report["rules"] = {}
        for name, mixed in RULES.items():
            rules = dataclasses.replace(run.rules, mixed=mixed)
            fitted = fit_requests(requests, rules, first)
            served = replay(fitted, rules, requests.arrival_s, requests.prompt, requests.output)
            report["rules"][name] = figures(requests, *served, ~first)
    return report
