"""The measured latency tables: one form and one unit for three files of different habits.

The Splitwise profiles (Patel et al., ISCA 2024) are in milliseconds and give the time of one decode
step; the Llama-3 tables of the SageServe repository are in seconds and give the time of the whole
decode. The Llama-3 rows with more than one prompt are not batched measurements of the prefill and
carry none here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sageserve_bench.errors import UserError
from sageserve_validation.csv_files import read_csv

SPLITWISE_FILE = "splitwise_perf_model.csv"
SPLITWISE_MODELS = {"llama2-70b": "llama-2-70b", "bloom-176b": "bloom-176b"}
SPLITWISE_TENSOR_PARALLEL = 8
LLAMA3_FILES = {
    "llama-3.1-8b": "Llama-3.1-8B-tp-4.csv",
    "llama-3.2-3b": "Llama-3.2-3B-tp-4.csv",
}
VM_TYPES = {"a100-80gb": "a100-80gb-x8", "h100-80gb": "h100-80gb-x8"}

_COLUMNS = (
    "model",
    "hardware",
    "tensor_parallel",
    "prompt_size",
    "batch_size",
    "token_size",
    "prompt_time",
    "token_time",
)


@dataclass(frozen=True)
class Measured:
    """The measurements of one model on one VM type.

    Attributes:
        model: Name in our catalogue.
        gpu: VM type in our catalogue.
        rows: One row per measurement: ``prompt_tokens``, ``batch``, ``output_tokens``,
            ``batch_tokens`` (prompt x batch), ``context_tokens`` (KV tokens of the batch halfway
            through its decode), ``prefill_s`` (NaN where not measured) and ``decode_s`` per step.
    """

    model: str
    gpu: str
    rows: pd.DataFrame

    def sizes(self) -> pd.DataFrame:
        """Return the medians over the repetitions of each prompt, batch and output size."""
        keys = ["prompt_tokens", "batch", "output_tokens", "batch_tokens", "context_tokens"]
        return self.rows.groupby(keys, as_index=False)[["prefill_s", "decode_s"]].median()

    def prefill_points(self) -> tuple[tuple[float, float], ...]:
        """Return the medians of the prefill per ``batch_tokens``, as (tokens, seconds)."""
        medians = self.rows.dropna(subset="prefill_s").groupby("batch_tokens")["prefill_s"].median()
        return tuple((float(t), float(s)) for t, s in medians.items())  # type: ignore[arg-type]

    def decode_points(self, key: str = "batch") -> tuple[tuple[float, float], ...]:
        """Return the medians of a decode step per ``key``, as (key, seconds)."""
        medians = self.rows.groupby(key)["decode_s"].median()
        return tuple((float(n), float(s)) for n, s in medians.items())  # type: ignore[arg-type]


def default_tables() -> Path:
    """Return ``shared/reference/latency_tables`` beside the repository."""
    return Path(__file__).resolve().parents[4] / "shared" / "reference" / "latency_tables"


def load_tables(folder: Path) -> list[Measured]:
    """Return the measurements of the paper's models.

    Raises:
        UserError: If the folder or a file is missing, or a file lacks a column.
    """
    if not folder.is_dir():
        raise UserError(f"no folder of latency tables at {folder}: name it with --tables DIR")
    splitwise = read_csv(folder / SPLITWISE_FILE, _COLUMNS)
    splitwise = splitwise[splitwise["tensor_parallel"] == SPLITWISE_TENSOR_PARALLEL]
    found = []
    for name, model in SPLITWISE_MODELS.items():
        for hardware, gpu in VM_TYPES.items():
            mask = (splitwise["model"] == name) & (splitwise["hardware"] == hardware)
            table = splitwise[mask]
            prefill_s, decode_s = table["prompt_time"] / 1e3, table["token_time"] / 1e3
            found.append(_measured(model, gpu, table, prefill_s, decode_s))
    for model, file in LLAMA3_FILES.items():
        table = read_csv(folder / file, _COLUMNS)
        prefill_s = table["prompt_time"].where(table["batch_size"] == 1)
        decode_s = table["token_time"] / table["token_size"]
        found.append(_measured(model, VM_TYPES["a100-80gb"], table, prefill_s, decode_s))
    return found


def _measured(
    model: str, gpu: str, table: pd.DataFrame, prefill_s: pd.Series, decode_s: pd.Series
) -> Measured:
    if table.empty:
        raise UserError(f"the latency tables have no row for {model} on {gpu}")
    prompt, batch, output = table["prompt_size"], table["batch_size"], table["token_size"]
    rows = pd.DataFrame(
        {
            "prompt_tokens": prompt,
            "batch": batch,
            "output_tokens": output,
            "batch_tokens": prompt * batch,
            "context_tokens": batch * (prompt + output / 2),
            "prefill_s": prefill_s,
            "decode_s": decode_s,
        }
    ).astype(np.float64)
    return Measured(model, gpu, rows.reset_index(drop=True))
