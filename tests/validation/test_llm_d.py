"""Runs of several replicas, predicted from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import LatencyProfile
from sageserve_validation.fidelity import llm_d
from sageserve_validation.fidelity.llm_d import Run
from sageserve_validation.fitting.measurements import Measurement

PROFILE = LatencyProfile(
    prefill_base_s=0.01,
    decode_per_context_token_s=1e-8,
    pass_table=((1.0, 0.02), (256.0, 0.022), (8192.0, 0.5)),
)


def run(replicas: int, clients: int) -> dict[str, Any]:
    """Return an entry of the file whose means the simulator made."""
    row = Measurement("llama-3.1-70b", "h100", 4, clients, 512, 32, 1.0, 1.0)
    made = llm_d.simulate(Run(replicas, row, 1.0), PROFILE)
    return {
        "architecture": "aggregated",
        "accelerator_count": 4 * replicas,
        "metadata": {"tensor_parallelism": 4},
        "metrics": {
            "ttft": {"mean": 1e3 * made["ttft_s"]},
            "tpot": 1e3 * made["tpot_s"],
            "latency": {"mean": 1e3 * made["e2e_s"]},
            "request_rate": 1.0,
        },
        "workload": {"concurrency": clients, "input_tokens": 512, "output_tokens": 32},
    }


def test_two_replicas_follow_from_one(tmp_path: Path) -> None:
    runs = [run(1, 1), run(1, 4), run(1, 16), run(2, 8), {"architecture": "disaggregated"}]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    report = llm_d.compare(llm_d.read_runs(tmp_path / "runs.json"))
    assert report["one_replica_fitted"]["rows"] == 3
    assert report["several_replicas"]["rows"] == 1
    assert report["several_replicas"]["e2e_median_abs_rel"] < 0.1


def test_two_clients_on_two_replicas_do_not_meet() -> None:
    alone = Run(1, Measurement("llama-3.1-70b", "h100", 4, 1, 512, 32, 1.0, 1.0), 1.0)
    two = Run(2, Measurement("llama-3.1-70b", "h100", 4, 2, 512, 32, 1.0, 1.0), 1.0)
    expected = pytest.approx(llm_d.simulate(alone, PROFILE)["e2e_s"])
    assert llm_d.simulate(two, PROFILE)["e2e_s"] == expected


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        llm_d.read_runs(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="no aggregated runs"):
        llm_d.read_runs(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('[{"x": 1}]')
    with pytest.raises(UserError, match="no file of llm-d runs"):
        llm_d.read_runs(tmp_path / "a.json")
