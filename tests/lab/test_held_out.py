"""Profiles on measurements that their fits have not seen."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from lab import held_out as module
from lab.__main__ import run
from lab.held_out import Unseen, deal, held_out, table
from sageserve_bench.results.journal import Journal
from sageserve_validation.fidelity.hardware import packaged, simulate
from sageserve_validation.fitting.measurements import Measurement


def measurements() -> list[Measurement]:
    """Return what the packaged profiles say of short requests on two instances of Llama-3.1-70B."""
    found = []
    for gpus in (1, 2):
        for prompt, output in ((64, 8), (256, 8), (64, 24), (512, 16)):
            for clients in (1, 6):
                row = Measurement(
                    "llama-3.1-70b", "h200", gpus, clients, prompt, output, 1.0, 1.0, 0.8
                )
                said = simulate(row, *packaged(row))
                found.append(dataclasses.replace(row, ttft_s=said.ttft_s, tpot_s=said.tpot_s))
    return found


def silicon(rows: list[Measurement], path: Path) -> Path:
    columns = [
        {
            "mode": "agg",
            "model_path": "meta-llama/Llama-3.1-70B",
            "system": "h200_sxm",
            "backend": "vllm",
            "precision": "fp8",
            "isl": row.prompt_tokens,
            "osl": row.output_tokens,
            "batch_size": row.clients,
            "tp_size": row.gpus,
            "pp_size": 1,
            "attention_dp_size": None,
            "moe_ep_size": 1,
            "silicon_data_source": "source_file=2026-04-06.csv; x",
            "silicon_ttft_ms": 1e3 * row.ttft_s,
            "silicon_tpot_ms": 1e3 * row.tpot_s,
        }
        for row in rows
    ]
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_cells_are_dealt_once_and_the_same_way() -> None:
    rows = [
        Measurement("m", "h100", 1, clients, prompt, 8, 1.0, 1.0)
        for prompt in range(1, 8)
        for clients in (1, 2)
    ]
    folds = deal(rows)
    assert [len(fold) for fold in folds] == [2, 2, 2, 1]
    assert set.union(*folds) == {row.cell for row in rows}
    assert folds == deal(rows[::-1])


def test_rows_are_predicted_without_their_cells_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the form itself made is predicted well; folds in the journal are not fitted again."""
    file = silicon(measurements(), tmp_path / "rows.csv")
    journal = tmp_path / "out.jsonl"
    rows = list(held_out(file, Journal(journal), print))
    assert len(rows) == 16 and {row.slice for row in rows} == {"h200x1", "h200x2"}
    assert all(0 <= row.others <= 6 and row.budget_tokens == 8192 for row in rows)
    name, count, tpot, _, ttft = table(rows)[0]
    assert (name, count) == ("all", 16)
    assert float(tpot.split()[0]) < 4.0 and float(ttft.split()[0]) < 8.0

    monkeypatch.setattr(module, "choose", None)  # nothing is left to fit
    output = tmp_path / "out.csv"
    assert run(["held-out", str(file), "--output", str(output)]) == 0
    assert not journal.exists()
    with output.open(newline="") as lines:
        kept = list(csv.DictReader(lines))
    assert [row["clients"] for row in kept] == [str(row.clients) for row in rows]
    assert f"16 rows, TPOT median {tpot.replace(' ', '')}" in capsys.readouterr().out


def test_figures_by_hand() -> None:
    one = Unseen("m", "h100x1", 1, 8, 8, 0, 8192, 3, 1.0, 1.0, ttft_error=0.3, tpot_error=0.1)
    other = dataclasses.replace(one, slice="h100x2", others=0, ttft_error=0.1, tpot_error=0.2)
    assert table([one, other]) == [
        ["all", 2, "15.0 %", "19.0 %", "20.0 %"],
        ["all, profile extrapolated", 1, "20.0 %", "20.0 %", "10.0 %"],
        ["m", 2, "15.0 %", "19.0 %", "20.0 %"],
        ["m h100x1", 1, "10.0 %", "10.0 %", "30.0 %"],
        ["m h100x2", 1, "20.0 %", "20.0 %", "10.0 %"],
    ]
