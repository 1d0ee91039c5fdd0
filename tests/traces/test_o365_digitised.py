"""The generator against the digitised Figure 3 of the paper (docs/o365_generator.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import DemandSeries, SyntheticTrace

SERIES = ("iw_rps", "iw_tps", "niw_rps", "niw_tps")
SEEDS = 24


def four_hour_means(demand: DemandSeries) -> np.ndarray:
    requests = demand.requests.sum(axis=(1, 2)) / demand.bin_s
    tokens = demand.prompt_tokens.sum(axis=(1, 2)) / demand.bin_s
    return np.stack([requests[:, :2].sum(1), tokens[:, :2].sum(1), requests[:, 2], tokens[:, 2]])


def test_wednesday_to_friday_within_15_percent(shared_traces: Path) -> None:
    path = shared_traces / "o365" / "o365_week_figure3_4h_digitised.csv"
    table = np.genfromtxt(path, delimiter=",", names=True)
    rows = (table["day"] >= 2) & (table["day"] <= 4)  # day 0 is the Monday
    # The three days before a Saturday, as counts: the same law as the stream (test_synthetic).
    generated = [
        four_hour_means(SyntheticTrace(2000 + s, start_weekday=5, history_days=3).history(14400.0))
        for s in range(SEEDS)
    ]
    mean = np.mean(generated, axis=0)
    errors = {
        key: float(np.abs(mean[i] / table[key][rows] - 1).mean()) for i, key in enumerate(SERIES)
    }
    assert max(errors.values()) < 0.15, errors


def test_tps_are_prompt_tokens(shared_traces: Path) -> None:
    """Figure 3's tokens over its requests are the mean prompt of the published lognormals."""
    path = shared_traces / "o365" / "o365_week_figure3_4h_digitised.csv"
    table = np.genfromtxt(path, delimiter=",", names=True)
    iw, niw = (np.mean(table[f"{c}_tps"] / table[f"{c}_rps"]) for c in ("iw", "niw"))
    assert iw == pytest.approx(np.exp(8.06 + 1.18**2 / 2), rel=0.1)
    assert niw == pytest.approx(np.exp(7.7 + 1.18**2 / 2), rel=0.1)
