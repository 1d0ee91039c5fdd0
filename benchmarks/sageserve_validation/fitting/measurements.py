"""Measurements of engines in closed loop: mean TTFT and TPOT per number of clients.

Two kinds of CSV are read: that of aiconfigurator's silicon samples, whose rows name model, GPU,
engine and precision, and a plain one of one instance of one's own (`read_own`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.catalogue.tables import model_facts
from sageserve_env.options import BatchingConfig
from sageserve_validation.csv_files import read_csv

SATURATED_TTFT_S: Final = 10.0
"""Above it a row measures how long its queue was let grow (our assumption)."""

MOST_SEQUENCES: Final = 1024

ONE_WAITS: Final = "h100_sxm/trtllm/1.0.0rc3/meta-llama_Llama-3.1-8B-Instruct.csv"
"""Source whose engine takes one sequence fewer than there are clients (our assumption).

Its TTFT grows by the duration of a request over the number of clients, at every output length and
number of GPUs: what a request waits for if one of them always does.
"""

FAMILIES: Final = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "openai/gpt-oss-120b": "gpt-oss-120b",
}
DEVICES: Final = {"h100_sxm": "h100", "h200_sxm": "h200", "b200_sxm": "b200"}

REQUESTS_PER_CLIENT: Final = 10
SPREAD: Final = 0.8
"""Sweeps of InferenceMAX draw lengths from 80 to 100 % of the named ones."""

_SILICON_COLUMNS = (
    "mode",
    "model_path",
    "system",
    "backend",
    "precision",
    "isl",
    "osl",
    "batch_size",
    "tp_size",
    "pp_size",
    "attention_dp_size",
    "moe_ep_size",
    "silicon_data_source",
    "silicon_ttft_ms",
    "silicon_tpot_ms",
)
Cell: TypeAlias = tuple[str, str, int, int, int]
"""Model, GPU, number of GPUs, longest prompt and output."""

_OWN_COLUMNS = ("concurrency", "prompt_tokens", "output_tokens", "ttft_ms", "tpot_ms")


@dataclass(frozen=True)
class Measurement:
    """Means of one run in closed loop.

    Attributes:
        model: Name in the catalogue, or of one's own.
        device: GPU.
        gpus: Tensor-parallel GPUs.
        clients: Requests in the system at any time.
        prompt_tokens: Length of every prompt (the longest, where ``spread`` is below 1).
        output_tokens: The same for outputs.
        ttft_s: Mean TTFT.
        tpot_s: Mean time per output token after the first.
        spread: Lengths are uniform from ``spread`` times the longest to the longest.
        sequences: Limit of the engine in that run; `MOST_SEQUENCES` where it does not bind.
    """

    model: str
    device: str
    gpus: int
    clients: int
    prompt_tokens: int
    output_tokens: int
    ttft_s: float
    tpot_s: float
    spread: float = 1.0
    sequences: int = MOST_SEQUENCES

    @property
    def saturated(self) -> bool:
        """Whether the row says more about its queue than about the engine."""
        return self.ttft_s > SATURATED_TTFT_S

    @property
    def cell(self) -> Cell:
        """What is held out together: everything but the number of clients."""
        return self.model, self.device, self.gpus, self.prompt_tokens, self.output_tokens

    def lengths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return prompt and output tokens of the requests of a run, the same every time."""
        n = self.clients * REQUESTS_PER_CLIENT
        rng = np.random.default_rng(0)
        prompt, output = (
            rng.integers(max(1, int(self.spread * most)), most + 1, n)
            for most in (self.prompt_tokens, self.output_tokens)
        )
        return prompt, output


def engine_batching(engine: str, budget_tokens: int) -> BatchingConfig:
    """Return the batching rules of an engine: SGLang puts prompts first, the others mix.

    Memory grows token by token, with preemption, as in all three.
    """
    prompts_first = engine == "sglang"
    return BatchingConfig(
        mode="prefill_first" if prompts_first else "mixed",
        prefill_token_budget=budget_tokens,
        shared_budget=not prompts_first,
        max_sequences=MOST_SEQUENCES,
        kv_policy="growth",
        max_output_tokens=16_384,
    )


def read_silicon(path: Path) -> tuple[list[Measurement], dict[str, int]]:
    """Read the samples whose model, precision and engine the catalogue has.

    Returns:
        The measurements, saturated ones too, and how many rows were left out for which reason.

    Raises:
        UserError: If the file cannot be read.
    """
    table = read_csv(path, _SILICON_COLUMNS, low_memory=False)
    names = {(f.family, f.precision, f.engine): f.name for f in model_facts().values()}
    found: list[Measurement] = []
    left_out: dict[str, int] = {}
    for row in table.to_dict("records"):
        precision = row["precision"] if isinstance(row["precision"], str) else "bf16"
        family = FAMILIES.get(str(row["model_path"]), "")
        name = names.get((family, precision, str(row["backend"])))
        device = DEVICES.get(str(row["system"]))
        reason = ""
        if row["mode"] != "agg":
            reason = "prefill and decode pools"
        elif name is None or device is None:
            reason = "model, precision, engine or GPU not in the catalogue"
        elif not _plain_tensor_parallel(row):
            reason = "other parallelism than tensor"
        if reason or name is None or device is None:
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        source = str(row["silicon_data_source"])
        sweep = source.startswith("source_file=20")
        clients = int(row["batch_size"])
        found.append(
            Measurement(
                model=name,
                device=device,
                gpus=int(row["tp_size"]),
                clients=clients,
                prompt_tokens=int(row["isl"]),
                output_tokens=int(row["osl"]),
                ttft_s=float(row["silicon_ttft_ms"]) / 1e3,
                tpot_s=float(row["silicon_tpot_ms"]) / 1e3,
                spread=SPREAD if sweep else 1.0,
                sequences=max(1, clients - 1) if ONE_WAITS in source else MOST_SEQUENCES,
            )
        )
    return found, left_out


def _plain_tensor_parallel(row: dict[Hashable, Any]) -> bool:
    ways = [row[key] for key in ("pp_size", "attention_dp_size", "moe_ep_size")]
    return all(pd.isna(way) or way <= 1 for way in ways) and bool(row["tp_size"] <= 8)


def read_own(path: Path, name: str) -> list[Measurement]:
    """Read measurements of one instance: a row per number of clients and lengths.

    The columns are ``concurrency``, ``prompt_tokens``, ``output_tokens``, ``ttft_ms`` and
    ``tpot_ms``.

    Raises:
        UserError: If the file cannot be read, lacks a column or has a value that is not positive.
    """
    table = read_csv(path, _OWN_COLUMNS)
    values = table[list(_OWN_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    for column in _OWN_COLUMNS:
        bad = ~(np.isfinite(values[column]) & (values[column] > 0))
        if bad.any():
            row = int(np.argmax(bad.to_numpy()))
            raise UserError(
                f"{path}: row {row + 1}, column {column}: expected a number above 0, "
                f"got {table[column].iloc[row]!r}"
            )
    return [
        Measurement(
            name, "", 1, int(c), int(prompt), int(output), float(ttft) / 1e3, float(tpot) / 1e3
        )
        for c, prompt, output, ttft, tpot in values.itertuples(index=False)
    ]
