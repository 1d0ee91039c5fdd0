"""The replica that fits go through, the fits, and what they make of measurements."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_bench.errors import UserError
from sageserve_cli.cli import run
from sageserve_env.catalogue import GPUS, LatencyProfile, Model
from sageserve_env.options import BatchingConfig
from sageserve_validation.fidelity import requests as fidelity
from sageserve_validation.fidelity.closed_loop import closed_loop, one_instance
from sageserve_validation.fitting.closed_loops import Instance, fit_group
from sageserve_validation.fitting.measurements import Measurement, engine_batching
from sageserve_validation.fitting.replica import Rules, replay
from sageserve_validation.fitting.requests import Requests
from sageserve_validation.fitting.shape import Physics, profile

PROFILE = LatencyProfile(
    prefill_base_s=0.004,
    prefill_per_token2_s=1e-7,
    decode_per_sequence_s=1e-4,
    decode_per_context_token_s=1e-6,
    pass_table=((1.0, 0.01), (32.0, 0.012), (256.0, 0.03)),
    frontend_s=0.02,
)


@st.composite
def runs(draw: st.DrawFn) -> tuple[BatchingConfig, int, np.ndarray, np.ndarray, np.ndarray]:
    engine = draw(st.sampled_from(["vllm", "sglang"]))
    batching = dataclasses.replace(
        engine_batching(engine, draw(st.sampled_from([16, 64, 300]))),
        max_sequences=draw(st.sampled_from([2, 5, 64])),
        max_output_tokens=40,
    )
    capacity = draw(st.integers(250, 2000))
    rows = draw(
        st.lists(
            st.tuples(st.floats(0.001, 0.5), st.integers(1, 200), st.integers(1, 40)),
            min_size=1,
            max_size=20,
        )
    )
    gaps, prompt, output = map(np.array, zip(*rows, strict=True))
    return batching, capacity, np.cumsum(gaps), prompt, output


@settings(max_examples=25, deadline=None)
@given(runs())
def test_the_replica_equals_the_kernel(
    case: tuple[BatchingConfig, int, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    batching, capacity, arrival, prompt, output = case
    measured = Requests(arrival, prompt, output, arrival, arrival)
    ttft, e2e = fidelity.simulate(fidelity.Run(measured, batching, capacity, "x"), PROFILE)
    own = replay(PROFILE, Rules.of(batching, capacity), arrival, prompt, output)
    np.testing.assert_allclose(own[0], ttft, atol=1e-9)
    np.testing.assert_allclose(own[1], e2e, atol=1e-9)


def test_the_replica_equals_the_kernel_in_a_closed_loop() -> None:
    rng = np.random.default_rng(0)
    prompt, output = rng.integers(1, 300, 40), rng.integers(1, 30, 40)
    batching = engine_batching("vllm", 128)
    gpu = GPUS["h100x1"]
    model = Model("m", 0.0, 1.0, 1000, {gpu.name: PROFILE}, 20_000.0)
    kernel = closed_loop(one_instance(model, gpu, batching), 7, prompt, output)
    own = replay(PROFILE, Rules.of(batching, 20_000), np.zeros(0), prompt, output, 7)
    np.testing.assert_allclose(np.sort(own[0]), np.sort(kernel[0]), atol=1e-9)
    np.testing.assert_allclose(np.sort(own[1]), np.sort(kernel[1]), atol=1e-9)


def test_a_fit_finds_the_times_of_its_own_form() -> None:
    """Measurements made with known parameters are fitted to 2 %, those of a part left out to 5."""
    physics = Physics(8e-3, 0.0, 4e-5, 2e-8, 1e-10)
    truth = physics.prior() + np.array([0.3, -0.2, 0.5, 0.2, -0.4, 0.0, 0.3, 0.0])
    rules = Rules.of(engine_batching("vllm", 2048), 400_000)
    rows = []
    for clients in (2, 8, 32):
        for prompt, output in ((256, 64), (2048, 64), (512, 256)):
            row = Measurement("m", "h100", 1, clients, prompt, output, 1.0, 1.0)
            (ttft,), (tpot,) = Instance(1, physics, rules, (row,)).simulate(profile(truth, physics))
            rows.append(dataclasses.replace(row, ttft_s=float(ttft), tpot_s=float(tpot)))
    known = [row for row in rows if row.output_tokens == 64]
    (fitted,) = fit_group([Instance(1, physics, rules, tuple(known))])
    for part, most in ((known, 0.02), (rows, 0.05)):
        instance = Instance(1, physics, rules, tuple(part))
        _, tpot = instance.simulate(fitted)
        errors = np.abs(tpot / [row.tpot_s for row in part] - 1.0)
        assert np.median(errors) < most


def write_run(folder: Path, n: int = 60) -> None:
    """Write the files of a run whose times the simulator made."""
    rng = np.random.default_rng(1)
    arrival = np.cumsum(rng.exponential(0.05, n))
    prompt, output = rng.integers(10, 400, n), rng.integers(1, 60, n)
    rules = Rules.of(engine_batching("vllm", 256), 1 << 30)
    ttft, e2e = replay(PROFILE, dataclasses.replace(rules, sequences=16), arrival, prompt, output)
    folder.mkdir()
    settings = {"max_num_batched_tokens": 256, "max_num_seqs": 16}
    (folder / "meta.json").write_text(json.dumps({"model": "x/y", "engine_kwargs": settings}))
    with (folder / "requests.jsonl").open("w") as file:
        for i in range(n):
            row = {
                "input_toks": int(prompt[i]),
                "output_toks": int(output[i]),
                "queued_ts": 100.0 + arrival[i],
                "first_token_ts": 100.0 + arrival[i] + ttft[i],
                "last_token_ts": 100.0 + arrival[i] + e2e[i],
            }
            file.write(json.dumps(row) + "\n")


def test_requests_of_a_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    out = tmp_path / "out.json"
    assert run(["fidelity", "requests", str(tmp_path / "run"), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["e2e_mae_rel"] < 0.05
    assert 0.9 < report["e2e_p50_ratio"] < 1.1
    assert report["token_budget"] == 256
    assert report["kv_tokens"] is None


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta\.json: no such file"):
        fidelity.read_folder(tmp_path)
    write_run(tmp_path / "run")
    (tmp_path / "run" / "meta.json").write_text("{}")
    with pytest.raises(UserError, match="max_num_batched_tokens"):
        fidelity.read_folder(tmp_path / "run")
    (tmp_path / "run" / "meta.json").write_text("[]")
    with pytest.raises(UserError, match="expected an object"):
        fidelity.read_folder(tmp_path / "run")


SHARED = Path(__file__).parents[3] / "shared" / "reference" / "vllm_requests"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs shared/reference/vllm_requests")
def test_vllm_requests_are_met() -> None:
    report = fidelity.compare(fidelity.read_folder(SHARED / "RTXPRO6000_Llama-3.1-8B"))
    assert report["e2e_mae_rel"] < 0.05
    assert report["ttft_mae_rel"] < 0.10
    assert report["tpot_mae_rel"] < 0.10
