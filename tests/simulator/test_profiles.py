"""Latency profiles and catalogue entries: what could not be simulated is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sageserve_env._config import ScenarioError
from sageserve_env.catalogue import MODELS, GpuType, LatencyProfile, Model
from sageserve_env.scenario import load_scenario
from sageserve_env.simulator import latency
from tests.simulator.small import scenario, simulator

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"prefill_base_s": -0.5},
            "prefill_base_s: expected a finite number of at least 0, got -0.5",
        ),
        ({"prefill_base_s": NAN}, "prefill_base_s: .*nan"),
        ({"prefill_per_token_s": INF}, "prefill_per_token_s: .*inf"),
        ({"prefill_per_token2_s": NAN}, "prefill_per_token2_s: expected a finite number, got nan"),
        ({"decode_base_s": -0.05}, "decode_base_s"),
        ({"decode_per_sequence_s": -1e-9}, "decode_per_sequence_s"),
        ({"decode_per_context_token_s": NAN}, "decode_per_context_token_s"),
        ({"prefill_table": ((200.0, 0.1), (100.0, 0.01))}, "rising order, got 100 after 200"),
        ({"prefill_table": ((100.0, 0.1), (100.0, 0.2))}, "rising order, got 100 after 100"),
        ({"prefill_table": ((100.0, 0.0), (200.0, 0.2))}, "times above 0, got 0.0 s at 100"),
        ({"prefill_table": ((-1.0, 0.1), (200.0, 0.2))}, "sizes of at least 0, got -1.0"),
        ({"prefill_table": ((NAN, 0.1),)}, "sizes of at least 0, got nan"),
        ({"prefill_table": ((100.0, NAN),)}, "times above 0, got nan"),
        ({"prefill_table": ((100.0, 0.01), (200.0, 0.1))}, "continued to size 1, gives -0.0"),
        ({"prefill_table": ((1.0, 0.3), (100.0, 0.2))}, "the last piece falls"),
        ({"decode_table": ((8.0, 0.01), (16.0, 0.1))}, "decode_table: .*continued to size 1"),
        ({"decode_table": ((8.0, 0.02), (4.0, 0.01))}, "decode_table: .*rising order"),
    ],
)
def test_a_bad_profile_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        LatencyProfile(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (LatencyProfile(), "prefill of 1 tokens takes 0 s"),
        (LatencyProfile(0.1, 0.001), "decode iteration of 1 sequences takes 0 s"),
        (LatencyProfile(decode_base_s=0.05), "prefill of 1 tokens takes 0 s"),
        (LatencyProfile(0.1, 1e-3, -1e-6, 0.05), "the prefill of 9000 tokens takes -71.9 s"),
        (LatencyProfile(0.1, 1e-3, -1e-7, 0.05), "prefill time falls before 9000 tokens"),
        (
            LatencyProfile(0.1, decode_table=((1.0, 0.05), (10.0, 0.04))),
            "decode iteration of 256 sequences takes -0",
        ),
    ],
)
def test_a_profile_that_gives_no_time_is_refused_by_the_scenario(
    profile: LatencyProfile, message: str
) -> None:
    with pytest.raises(ScenarioError, match=f"model 'm' on gpu: .*{message}"):
        scenario(profile=profile)


def test_a_concave_curve_is_allowed_where_it_rises() -> None:
    """c < 0: the chunks of a prompt still add up to the whole, and no time is negative."""
    concave = LatencyProfile(0.1, 0.001, -2e-8, 0.05, 0.01)
    sim = simulator(scenario(profile=concave), [(0.0, 9000, 5), (0.3, 500, 30)])
    sim.advance(1000.0)
    sim.check_invariants()
    whole = 18 * 0.1 + 9.0 - 2e-8 * 9000**2  # chunks of 500
    assert sim.records()["ttft_s"][0] == pytest.approx(whole)


def test_values_of_good_tables_are_as_they_were() -> None:
    """The kernel and Python continue the outer pieces of a table on both sides."""
    points = ((16.0, 0.03), (64.0, 0.04), (256.0, 0.09))
    profile = LatencyProfile(prefill_table=points, decode_base_s=0.05)
    sim = simulator(scenario(profile=profile), [])
    for tokens in (0.0, 1.0, 16.0, 40.0, 64.0, 100.0, 256.0, 5000.0):
        assert latency.prefill_s(sim.state, 0, tokens) == profile.prefill_s(tokens)
    inside = np.interp([16.0, 40.0, 256.0], *np.array(points).T)
    assert [profile.prefill_s(x) for x in (16.0, 40.0, 256.0)] == pytest.approx(inside)


def test_the_catalogue_can_be_simulated() -> None:
    for model in MODELS.values():
        assert model.profiles
        for profile in model.profiles.values():
            assert profile.error(model.max_context_tokens, 4096) == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights_bytes": -1.0}, "weights_bytes"),
        ({"weights_bytes": NAN}, "weights_bytes"),
        ({"kv_bytes_per_token": 0.0}, "kv_bytes_per_token"),
        ({"max_context_tokens": 0}, "max_context_tokens"),
        ({"kv_pool_bytes": -5.0}, "kv_pool_bytes"),
    ],
)
def test_a_bad_model_is_refused(values: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "name": "m",
        "weights_bytes": 1e9,
        "kv_bytes_per_token": 1.0,
        "max_context_tokens": 1000,
    }
    Model(**good)
    with pytest.raises(ScenarioError, match=f"model m: {message}"):
        Model(**{**good, **values})


@pytest.mark.parametrize("field", [1, 2, 3, 4])
def test_a_bad_vm_type_is_refused(field: int) -> None:
    values: list[Any] = ["g", 8, 80e9, 36.0, 18.0]
    GpuType(*values)
    values[field] = -1
    with pytest.raises(ScenarioError, match="gpu g: "):
        GpuType(*values)


def test_a_file_names_the_profile_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        """
base: trap-base
models: [own]
custom_models:
  - name: own
    weights_bytes: 1.0e+9
    kv_bytes_per_token: 1000.0
    max_context_tokens: 1000
    profiles: {a100-80gb-x8: {prefill_table: [[100.0, 0.2], [50.0, 0.1]], decode_base_s: 0.02}}
"""
    )
    with pytest.raises(ScenarioError, match=r"own.yaml.*a100-80gb-x8: prefill_table: .*rising"):
        load_scenario(path)


def test_one_pass_reads_the_weights_once() -> None:
    """100 prompt tokens and 4 decodes over 500 KV tokens are one pass over 104 tokens."""
    profile = LatencyProfile(
        prefill_base_s=0.002,
        prefill_per_token2_s=1e-6,
        decode_per_sequence_s=1e-3,
        decode_per_context_token_s=1e-5,
        pass_table=((1.0, 0.010), (101.0, 0.011), (201.0, 0.021)),
    )
    assert profile.prefill_s(101) == pytest.approx(0.002 + 0.011 + 101**2 * 1e-6)
    assert profile.decode_s(51, 500) == pytest.approx(0.0105 + 0.051 + 0.005)
    with pytest.raises(ScenarioError, match="exclude each other"):
        LatencyProfile(decode_base_s=0.01, pass_table=((1.0, 0.01),))
    with pytest.raises(ScenarioError, match="pass_table: the last piece falls"):
        LatencyProfile(pass_table=((1.0, 0.02), (9.0, 0.01)))
