"""The catalogue's tables, and profiles of one's own as YAML that a scenario takes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from sageserve_bench.errors import UserError
from sageserve_cli.cli import main, run
from sageserve_env.catalogue import GPUS, MODELS
from sageserve_env.catalogue.gpus import slice_name
from sageserve_env.catalogue.measured import is_estimate, profile_of
from sageserve_env.catalogue.roofline import estimate
from sageserve_env.catalogue.support import support_table
from sageserve_env.catalogue.tables import devices, measured, model_facts
from sageserve_env.scenario import load_scenario
from sageserve_validation.fitting.closed_loops import closed_loop
from sageserve_validation.fitting.measurements import Measurement, engine_batching
from sageserve_validation.fitting.own import known_model
from sageserve_validation.fitting.replica import Rules


def test_every_row_of_the_tables_is_in_the_catalogue() -> None:
    for row in measured().values():
        profile = MODELS[row.model].profiles[slice_name(row.device, row.gpus)]
        assert profile == profile_of(row)
        assert not is_estimate(profile)
    assert {facts.name for facts in model_facts().values()} <= set(MODELS)


def test_slices_cost_and_hold_what_their_gpus_do() -> None:
    assert GPUS["h100x4"].price_usd_per_hour == pytest.approx(4 * 2.95)
    assert GPUS["h200x2"].spot_price_usd_per_hour == pytest.approx(2 * 1.45)
    assert GPUS["b200x8"].memory_bytes == 8 * 180e9


def test_an_estimate_says_so_and_reads_the_weights_once() -> None:
    """A pass over one token of a dense model: overhead, 16 GB at 90 % of 4.8 TB/s, one token."""
    profile = estimate(model_facts()["llama-3.1-8b"], devices()["h200"], 1)
    assert is_estimate(profile)
    token_s = 2 * 8.03e9 / (989e12 * 0.4)
    assert profile.decode_s(1, 0) == pytest.approx(
        4.1e-3 + 16e9 / (0.9 * 4.8e12) + token_s + 1.5e-5, rel=1e-6
    )
    assert is_estimate(MODELS["llama-3.1-8b"].profiles["h200x1"])


def test_a_larger_slice_is_not_slower() -> None:
    """Eight GPUs prefill faster than one; a step in between may be within its noise of 5 %."""
    for model in ("llama-3.1-70b", "gpt-oss-120b", "qwen3-32b"):
        profiles = MODELS[model].profiles
        for device in ("h100", "h200", "b200"):
            times = [
                profiles[slice_name(device, n)].prefill_s(4096)
                for n in (1, 2, 4, 8)
                if slice_name(device, n) in profiles
            ]
            assert times[-1] < times[0]
            assert all(b < 1.05 * a for a, b in pairwise(times)), (model, device)


def test_the_support_table_has_a_row_for_each_model_and_gpu() -> None:
    table = support_table()
    assert "| llama-3.1-70b | h200 | fp8 | vllm | 1, 2, 4, 8 | - |" in table
    assert "| llama-3.1-8b | b200 | bf16 | - | - | 1, 2, 4, 8 | - |" in table


def write_measurements(path: Path) -> None:
    profile = MODELS["llama-3.1-70b"].profiles["h100x4"]
    rules = Rules.of(engine_batching("vllm", 8192), 100_000)
    lines = ["concurrency,prompt_tokens,output_tokens,ttft_ms,tpot_ms"]
    for clients, prompt, output in ((2, 512, 32), (8, 512, 32), (16, 2048, 32)):
        row = Measurement("m", "h100", 4, clients, prompt, output, 1.0, 1.0)
        ttft, tpot = closed_loop(profile, rules, row)
        lines.append(f"{clients},{prompt},{output},{1e3 * ttft},{1e3 * tpot}")
    path.write_text("\n".join(lines) + "\n")


def test_a_fit_is_a_scenario(tmp_path: Path) -> None:
    write_measurements(tmp_path / "own.csv")
    own = tmp_path / "own.yaml"
    words = ["catalogue", "fit", str(tmp_path / "own.csv"), "--vm", "h100x4"]
    words += ["--like", "llama-3.1-70b", "--name", "ours", "--output", str(own)]
    assert run(words) == 0
    data = yaml.safe_load(own.read_text())
    data |= {
        "regions": [{"name": "here", "vms": {"h100x4": 2}}],
        "models": ["ours"],
        "gpus": ["h100x4"],
    }
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(data))
    fitted = load_scenario(tmp_path / "scenario.yaml").model_specs[0].profiles["h100x4"]
    truth = MODELS["llama-3.1-70b"].profiles["h100x4"]
    for n in (2, 8):
        assert fitted.decode_s(n, 500 * n) == pytest.approx(truth.decode_s(n, 500 * n), rel=0.1)
    assert "3 measurements" in fitted.source


def test_an_estimate_is_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["catalogue", "estimate", "--vm", "b200x1", "--like", "qwen3-32b", "--name", "ours"]
    assert run(words) == 0
    printed = capsys.readouterr()
    assert "an estimate" in printed.err
    (model,) = yaml.safe_load(printed.out)["custom_models"]
    assert model["profiles"]["b200x1"]["source"].startswith("estimate")
    assert np.isclose(model["weights_bytes"], 65.6e9)


OWN = ["estimate", "--vm", "h100x2", "--like", "llama-3.1-70b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimate", "--vm", "h100x3", "--like", "qwen3-32b"], "no VM type 'h100x3'"),
        (["estimate", "--vm", "h100x1", "--like", "gpt-5"], "no model 'gpt-5'"),
        (["estimate", "--vm", "h100x1", "--like", "llama-3.1-70b"], "no room for KV on h100x1"),
        ([*OWN, "--weights-gb", "0"], "'--weights-gb': expected a number above 0, got 0"),
        ([*OWN, "--weights-gb", "-3"], "'--weights-gb': expected a number above 0, got -3"),
        ([*OWN, "--kv-bytes-per-token", "0"], "'--kv-bytes-per-token': expected a number above 0"),
        ([*OWN, "--parameters-b", "-5"], "'--parameters-b': expected a number above 0, got -5"),
        ([*OWN, "--parameters-b", "inf"], "'--parameters-b': expected a number above 0, got inf"),
        ([*OWN, "--active-b", "0"], "'--active-b': expected a number above 0, got 0"),
        ([*OWN, "--active-b", "1000"], "--active-b must be at most all 70.6 billion parameters"),
    ],
)
def test_what_cannot_be_estimated(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["catalogue", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_unknown_models_are_named() -> None:
    with pytest.raises(UserError, match="there are llama"):
        known_model("x")
