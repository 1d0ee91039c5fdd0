"""Files of per-request results to compare with, and what makes one unusable."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import REGIONS
from sageserve_validation.csv_files import read_csv

COLUMNS: Final = (
    "request_id",
    "arrival_s",
    "home_region",
    "region_preference",
    "model",
    "prompt_tokens",
    "output_tokens",
    "ttft_s",
    "e2e_s",
)
ORDERS: Final = list(permutations(range(len(REGIONS))))
"""Orders in which a request may prefer the regions; a file writes ``012``."""

LAST_ARRIVAL_S: Final = 366 * 86_400.0
MOST_TOKENS: Final = 10_000_000
LATENCIES_S: Final = (1e-6, 1e9)
_SHOWN = 40


def read_reference(path: Path, fleet: Mapping[str, int]) -> pd.DataFrame:
    """Read a file of per-request results, in order of arrival.

    Args:
        path: CSV with `COLUMNS`; ``ttft_s`` and ``e2e_s`` are empty where there is no result.
        fleet: Instances by model; a request for another model cannot be replayed.

    Raises:
        UserError: If the file cannot be read, has a value that cannot be replayed, or has no row
            with results. Rows are counted from 1, without the header.
    """
    text = read_csv(path, COLUMNS, dtype=str)
    orders = {"".join(map(str, order)) for order in ORDERS}
    for column, known, wanted in (
        ("model", set(fleet), f"one of {', '.join(fleet)}; --fleet names the instances of a model"),
        ("region_preference", orders, "an order of the regions such as 012"),
    ):
        _check(path, text[column], text[column].isin(known).to_numpy(), wanted)
    rows = text[["request_id", "model", "region_preference"]].copy()
    seconds = f"seconds from the start, 0 to {LAST_ARRIVAL_S:.0f}"
    rows["arrival_s"] = _numbers(path, text["arrival_s"], 0.0, LAST_ARRIVAL_S, seconds)
    for column, low, high, wanted in (
        ("home_region", 0, len(REGIONS) - 1, f"a region, 0 to {len(REGIONS) - 1}"),
        ("prompt_tokens", 1, MOST_TOKENS, f"a whole number, 1 to {MOST_TOKENS}"),
        ("output_tokens", 1, MOST_TOKENS, f"a whole number, 1 to {MOST_TOKENS}"),
    ):
        values = _numbers(path, text[column], low, high, wanted, whole=True)
        rows[column] = values.astype(np.int64)
    wanted = f"seconds, {LATENCIES_S[0]:g} to {LATENCIES_S[1]:g}, or nothing without a result"
    for column in ("ttft_s", "e2e_s"):
        rows[column] = _numbers(path, text[column], *LATENCIES_S, wanted, empty=True)
    if not rows[["ttft_s", "e2e_s"]].notna().all(axis=1).any():
        raise UserError(
            f"{path}: none of its {len(rows)} rows has a value in both columns ttft_s and e2e_s: "
            "there is nothing to compare with"
        )
    return rows.sort_values("arrival_s", kind="stable", ignore_index=True)


def _numbers(
    path: Path,
    cells: pd.Series,
    low: float,
    high: float,
    wanted: str,
    *,
    whole: bool = False,
    empty: bool = False,
) -> NDArray[np.float64]:
    """Return a column as numbers from ``low`` to ``high``; NaN for an empty cell if it may be."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    good = np.isfinite(values) & (values >= low) & (values <= high)
    if whole:
        good &= values == np.floor(values)
    if empty:
        good |= cells.isna().to_numpy()
    _check(path, cells, good, wanted)
    return values


def _check(path: Path, cells: pd.Series, good: NDArray[np.bool_], wanted: str) -> None:
    """Raise the error for the first cell that cannot be used."""
    if good.all():
        return
    row = int(np.argmin(good))
    cell = cells.iloc[row]
    shown = "an empty cell" if pd.isna(cell) else repr(str(cell)[:_SHOWN])
    raise UserError(
        f"{path}: row {row + 1}, column {cells.name}: {shown} cannot be used; expected {wanted}"
    )
