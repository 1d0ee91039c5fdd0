"""Profiles against measured tables, and the fits."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from lab import refit
from sageserve_bench.errors import UserError
from sageserve_cli.cli import run
from sageserve_env.catalogue import MODELS, LatencyProfile
from sageserve_validation.fidelity.latency import profile_report
from sageserve_validation.fidelity.tables import Measured, default_tables, load_tables

needs_tables = pytest.mark.skipif(
    not default_tables().is_dir(), reason="needs shared/reference/latency_tables"
)


def measured(prefill: LatencyProfile) -> Measured:
    """Return measurements that a profile made, so that its errors are 0."""
    rows = []
    for prompt in (128.0, 512.0, 2048.0, 8192.0):
        decode_s = prefill.decode_s(1, prompt + 64)
        rows.append((prompt, 1.0, 128.0, prompt, prompt + 64, prefill.prefill_s(prompt), decode_s))
    columns = ["prompt_tokens", "batch", "output_tokens", "batch_tokens", "context_tokens"]
    table = pd.DataFrame(rows, columns=[*columns, "prefill_s", "decode_s"])
    return Measured("llama-2-70b", "a100-80gb-x8", table)


def test_a_profile_has_no_error_against_its_own_times() -> None:
    profile = MODELS["llama-2-70b"].profiles["a100-80gb-x8"]
    report = profile_report(profile, measured(profile))
    errors = [value for name, value in report.items() if "error" in name]
    assert len(errors) == 8
    assert errors == pytest.approx([0.0] * 8)


def test_an_error_is_relative_to_the_measurement() -> None:
    profile = LatencyProfile(prefill_per_token_s=1e-4, decode_base_s=0.02)
    slower = LatencyProfile(prefill_per_token_s=1.1e-4, decode_base_s=0.025)
    report = profile_report(slower, measured(profile))
    assert report["prefill_median_error"] == pytest.approx(0.1)
    assert report["decode_p90_error"] == pytest.approx(0.25)


def test_least_squares_finds_the_quadratic_it_was_made_from() -> None:
    made = LatencyProfile(0.0326, 1.252e-4, 4.39e-9, 0.04)
    fit = refit.least_squares(measured(made))
    assert fit.prefill_base_s == pytest.approx(0.0326)
    assert fit.prefill_per_token2_s == pytest.approx(4.39e-9)


def test_least_squares_stays_non_negative() -> None:
    concave = LatencyProfile(0.05, 1.5e-4, -2e-9, 0.04)
    fit = refit.least_squares(measured(concave))
    assert min(fit.prefill_base_s, fit.prefill_per_token_s, fit.prefill_per_token2_s) >= 0.0


@needs_tables
def test_units_of_the_tables_agree() -> None:
    tables = {(m.model, m.gpu): m.rows for m in load_tables(default_tables())}
    assert len(tables) == 6
    for rows in tables.values():
        alone = rows[(rows["prompt_tokens"] == 512) & (rows["batch"] == 1)]
        assert 0.02 < alone["prefill_s"].median() < 0.2
        assert 0.005 < alone["decode_s"].median() < 0.06
    small = tables["llama-3.1-8b", "a100-80gb-x8"]
    assert small.loc[small["batch"] > 1, "prefill_s"].isna().all()


@needs_tables
def test_the_catalogue_reaches_the_target_on_a100(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    assert run(["fidelity", "latency", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["a100_within_target"]
    rows = [row for row in report["profiles"] if row["gpu"] == "a100-80gb-x8"]
    assert len(rows) == 4
    for row in rows:
        assert row["prefill_median_error"] <= 0.06
        assert row["decode_median_error"] <= 0.02


@needs_tables
def test_only_llama_3b_departs_from_the_published_coefficients() -> None:
    for table in load_tables(default_tables()):
        ours = MODELS[table.model].profiles[table.gpu]
        expected = refit.published(table)
        if (table.model, table.gpu) == ("llama-3.2-3b", "a100-80gb-x8"):
            expected = refit.refit(table)
        for name in ("prefill_base_s", "prefill_per_token_s", "prefill_per_token2_s"):
            assert getattr(ours, name) == pytest.approx(getattr(expected, name))


def test_a_missing_folder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--tables"):
        load_tables(tmp_path / "nowhere")
    (tmp_path / "splitwise_perf_model.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="column 'model' is missing"):
        load_tables(tmp_path)
