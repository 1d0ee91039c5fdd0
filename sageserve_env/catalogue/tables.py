"""The tables of the catalogue: one row of a CSV in ``data/`` is one entry (``data/SOURCES.md``)."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
DATA = Path(__file__).parent / "data"

#: Numbers of tokens at which the pass table of a measured profile is kept.
PASS_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384)


@dataclass(frozen=True)
class Device:
    """One GPU: data sheet figures and prices of one cloud."""

    name: str
    memory_gb: float
    bandwidth_gb_s: float
    bf16_tflops: float
    fp8_tflops: float
    fp4_tflops: float
    usd_per_hour: float
    spot_usd_per_hour: float

    def tflops(self, precision: str) -> float:
        """Return the dense peak of a precision."""
        return float(getattr(self, f"{precision}_tflops"))


@dataclass(frozen=True)
class ModelFacts:
    """One model in one precision, served by one engine.

    Attributes:
        name: Name in scenarios.
        family: The model whatever its precision and engine.
        precision: Of the weights: ``bf16``, ``fp8`` or ``fp4``.
        engine: Engine of the measured profiles.
        weights_gb: Weights in memory.
        kv_bytes_per_token: KV cache of one token; layers with a sliding window do not count.
        max_context_tokens: Longest prompt.
        parameters_b: Parameters, in billions.
        active_b: Parameters that a token meets (below the former for mixtures of experts).
        attention_layers: Layers with full attention.
        attention_width: Query heads times head size.
    """

    name: str
    family: str
    precision: str
    engine: str
    weights_gb: float
    kv_bytes_per_token: float
    max_context_tokens: int
    parameters_b: float
    active_b: float
    attention_layers: int
    attention_width: int


@dataclass(frozen=True)
class Measured:
    """One fitted profile and how well it fits.

    Attributes:
        model: Name in ``models.csv``.
        device: Name in ``gpus.csv``.
        gpus: Tensor-parallel GPUs.
        budget_tokens: Token budget of an iteration that the fit assumes.
        prefill_ms: Added to an iteration that carries prompt tokens.
        attention_ms: Per squared prompt token.
        sequence_ms: Per decoding sequence.
        context_ms: Per KV token of the decoding sequences.
        frontend_ms: Outside the engine.
        pass_ms: One pass over each of `PASS_TOKENS` tokens.
        rows: Measurements behind it.
        tpot_error: Median absolute relative error of TPOT.
        ttft_error: The same of TTFT.
    """

    model: str
    device: str
    gpus: int
    budget_tokens: int
    prefill_ms: float
    attention_ms: float
    sequence_ms: float
    context_ms: float
    frontend_ms: float
    pass_ms: tuple[float, ...]
    rows: int
    tpot_error: float
    ttft_error: float


def read_table(path: Path, cls: type[T]) -> tuple[T, ...]:
    """Read a CSV whose columns are the fields of a dataclass; lists are split at blanks."""
    casts: dict[str, Any] = {
        "int": int,
        "float": float,
        "str": str,
        "tuple[float, ...]": lambda text: tuple(map(float, text.split())),
    }
    wanted = {f.name: casts[str(f.type)] for f in fields(cls)}  # type: ignore[arg-type]
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            cls(**{name: cast(row[name]) for name, cast in wanted.items()})
            for row in csv.DictReader(file)
        )


@cache
def devices() -> dict[str, Device]:
    """Return the GPUs by name."""
    return {row.name: row for row in read_table(DATA / "gpus.csv", Device)}


@cache
def model_facts() -> dict[str, ModelFacts]:
    """Return the models by name."""
    return {row.name: row for row in read_table(DATA / "models.csv", ModelFacts)}


@cache
def measured() -> dict[tuple[str, str, int], Measured]:
    """Return the fitted profiles by model, device and number of GPUs."""
    rows = read_table(DATA / "profiles.csv", Measured)
    return {(row.model, row.device, row.gpus): row for row in rows}
