"""Closed loops in the kernel, measurements of engines and what is left out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sageserve_bench.errors import UserError
from sageserve_cli.cli import run
from sageserve_env.catalogue import GPUS, LatencyProfile, Model
from sageserve_validation.fidelity import hardware
from sageserve_validation.fidelity.closed_loop import closed_loop, one_instance
from sageserve_validation.fitting.measurements import (
    Measurement,
    engine_batching,
    read_own,
    read_silicon,
)

GPU = GPUS["h100x1"]


def test_two_clients_by_hand() -> None:
    """Every iteration takes a second.

    The first request starts alone at 0; the second joins at 1, the first is done at 2. What a
    client then sends at 2 waits for the iteration under way, so it has its token at 4.
    """
    profile = LatencyProfile(pass_table=((1.0, 1.0),))
    model = Model("m", 1e9, 1000.0, 1000, {GPU.name: profile})
    scenario = one_instance(model, GPU, engine_batching("vllm", 100))
    ttft_s, e2e_s = closed_loop(scenario, 2, np.full(4, 10), np.full(4, 2))
    np.testing.assert_allclose(ttft_s, [1, 2, 2, 2])
    np.testing.assert_allclose(e2e_s, [2, 3, 3, 3])


def test_clients_that_end_together_start_anew() -> None:
    """Prompts first: both outputs end at 2 + 1 after a lone prompt; the idle instance goes on."""
    profile = LatencyProfile(pass_table=((1.0, 1.0),))
    model = Model("m", 1e9, 1000.0, 1000, {GPU.name: profile})
    scenario = one_instance(model, GPU, engine_batching("sglang", 100))
    ttft_s, e2e_s = closed_loop(scenario, 2, np.full(4, 10), np.full(4, 2))
    np.testing.assert_allclose(ttft_s, [1, 2, 1, 2])
    np.testing.assert_allclose(e2e_s, [3, 3, 3, 3])


def silicon_row(**changes: Any) -> dict[str, Any]:
    row = {
        "mode": "agg",
        "model_path": "meta-llama/Llama-3.1-70B",
        "system": "h200_sxm",
        "backend": "vllm",
        "precision": "fp8",
        "isl": 512,
        "osl": 16,
        "batch_size": 4.0,
        "tp_size": 2.0,
        "pp_size": 1.0,
        "attention_dp_size": None,
        "moe_ep_size": 1.0,
        "silicon_data_source": "source_file=2026-04-06.csv; x",
        "silicon_ttft_ms": 100.0,
        "silicon_tpot_ms": 10.0,
    }
    return row | changes


def test_figures_of_a_file(tmp_path: Path) -> None:
    """What the simulator says itself has no error; what cannot be compared is counted."""
    row = Measurement("llama-3.1-70b", "h200", 2, 4, 512, 16, 1.0, 1.0, 0.8)
    exact = hardware.simulate(row, *hardware.packaged(row))
    own = {"silicon_ttft_ms": 1e3 * exact.ttft_s, "silicon_tpot_ms": 1e3 * exact.tpot_s}
    rows = [
        silicon_row(**own),
        silicon_row(**own | {"silicon_tpot_ms": 2e3 * exact.tpot_s}),
        silicon_row(mode="disagg"),
        silicon_row(silicon_ttft_ms=11_000.0),
        silicon_row(attention_dp_size=4.0),
        silicon_row(model_path="zhipuai/GLM-5"),
    ]
    file, out = tmp_path / "rows.csv", tmp_path / "out.json"
    pd.DataFrame(rows).to_csv(file, index=False)
    assert run(["fidelity", "hardware", "--rows", str(file), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["rows"], report["skipped"]) == (2, 4)
    assert report["tpot_median_abs_rel"] == pytest.approx(0.25)
    assert report["tpot_p90_abs_rel"] == pytest.approx(0.45)
    assert report["ttft_median_abs_rel"] == pytest.approx(0.0, abs=1e-9)
    assert set(report["models"]) == {"llama-3.1-70b"}
    assert set(report["gpus"]) == {"h200"}


def test_lengths_of_a_sweep_are_drawn_and_the_same_every_time() -> None:
    row = Measurement("m", "h100", 1, 4, 1000, 100, 1.0, 1.0, 0.8)
    prompt, output = row.lengths()
    assert len(prompt) == len(output) == 40
    assert prompt.min() >= 800 and prompt.max() <= 1000
    assert (prompt == row.lengths()[0]).all()
    fixed = Measurement("m", "h100", 1, 4, 1000, 100, 1.0, 1.0)
    assert set(fixed.lengths()[0]) == {1000}


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_silicon(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("mode\nagg\n")
    with pytest.raises(UserError, match="'model_path' is missing"):
        read_silicon(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(
        "concurrency,prompt_tokens,output_tokens,ttft_ms,tpot_ms\n1,10,10,5,-1\n"
    )
    with pytest.raises(UserError, match="row 1, column tpot_ms: expected a number above 0"):
        read_own(tmp_path / "b.csv", "m")
