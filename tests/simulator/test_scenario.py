"""Scenarios: what is wrong is said in one line that helps; what is equal hashes equally."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sageserve_env._config import ScenarioError, plain, stable_hash
from sageserve_env.options import BatchingConfig
from sageserve_env.scenario import RegionConfig, Scenario, list_scenarios, load_scenario
from sageserve_env.simulator.simulator import Simulator
from tests.simulator.small import scenario, simulator, targets

NAN = float("nan")


def broken(tmp_path: Path, text: str) -> str:
    """Return the error of a scenario file with this text."""
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "mine.yaml" in message
    return message


@pytest.mark.parametrize("name", list_scenarios())
def test_every_named_scenario_loads_and_starts(name: str) -> None:
    named = load_scenario(name)
    assert named.name == name
    assert named.description
    theta = np.full((len(named.models), len(named.gpus)), 1000.0)
    sim = Simulator(named, theta)
    fleet = sim.initial_fleet()
    assert (fleet.sum(axis=1) == named.initial_instances).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: trap-base\nhorizonn_s: 5\n", ["'horizonn_s'", "'horizon_s'"]),
        ("base: trap-base\nbatching: {mod: mixed}\n", ["batching", "'mod'", "'mode'"]),
        ("base: trap-base\nbatching: {mode: mixd}\n", ["batching: mode", "'mixd'", "'mixed'"]),
        ("base: trap-base\nmodels: [llama-2-7b]\n", ["'llama-2-7b'", "'llama-2-70b'"]),
        ("base: tinny\n", ["'tinny'", "'tiny'"]),
        ("base: 3\n", ["base", "expected a scenario name"]),
        ("base: trap-base\npool_split: {batsch: 0.5}\n", ["pool_split", "'batsch'", "'batch'"]),
        ("base: trap-base\npooling: silo\n", ["'silo'", "'siloed'"]),
        ("base: trap-base\nfaults: {crash: 1}\n", ["'crash'", "'crash_per_hour'"]),
        ("base: trap-base\nhorizon_s: .nan\n", ["horizon_s", "NaN"]),
        ("base: trap-base\nhorizon_s: .inf\n", ["horizon_s"]),
        ("base: trap-base\nhorizon_s: soon\n", ["horizon_s", "expected float", "'soon'"]),
        ("base: trap-base\nhorizon_s: true\n", ["horizon_s", "expected float"]),
        ("base: trap-base\ninitial_instances: 2.5\n", ["initial_instances", "expected int"]),
        ("base: trap-base\ninitial_instances: -1\n", ["initial_instances"]),
        ("base: trap-base\nmin_instances: -1\n", ["min_instances"]),
        ("base: trap-base\nmin_instances: 5\nmax_instances: 4\n", ["max_instances"]),
        ("base: trap-base\nmodels: llama-2-70b\n", ["models", "expected a list"]),
        ("base: trap-base\nmodels: []\n", ["at least one model"]),
        ("base: trap-base\nmodels: [llama-2-70b, llama-2-70b]\n", ["must differ"]),
        ("base: trap-base\nregions: [{name: a, vms: {a100-80gb-x8: -2}}]\n", ["negative"]),
        ("base: trap-base\nregions: [{name: a, vms: {a100: 2}}]\n", ["'a100'", "'a100-80gb-x8'"]),
        ("base: trap-base\nregions: [{name: a}]\n", ["regions", "vms"]),
        ("base: trap-base\nbatching: 3\n", ["batching", "expected a mapping"]),
        ("base: trap-base\nbatching: {max_sequences: 0}\n", ["max_sequences", "at least 1"]),
        ("base: trap-base\nbatching: {memory_fraction: 1.5}\n", ["memory_fraction"]),
        ("base: trap-base\nbatching: {max_output_tokens: 100000000}\n", ["no KV memory"]),
        ("base: trap-base\nlifecycle: {redeploy_s: -1}\n", ["redeploy_s", "at least 0"]),
        ("base: trap-base\nfaults: {provision_failure: 1.2}\n", ["provision_failure"]),
        ("base: trap-base\nfaults: {outage_region: mars}\n", ["'mars'", "outage_region", "westus"]),
        ("base: trap-base\nfaults: {outage_start_s: -5.0}\n", ["outage_start_s"]),
        ("base: trap-base\nrouting: {spill_threshold: -1}\n", ["spill_threshold"]),
        ("base: trap-base\nniw: {pull_below: 0.5, pull_two_below: 0.6}\n", ["pull_two_below"]),
        ("base: trap-base\ndecision_interval_s: 0\n", ["decision_interval_s"]),
        ("base: trap-base\ndecision_interval_s: 7200\n", ["decision_interval_s"]),
        ("base: trap-base\nslo_scale: 0.5\n", ["slo_scale"]),
        ("base: trap-base\nslo_scale: .inf\n", ["slo_scale", "finite"]),
        ("base: trap-base\npool_split: {batch: -3.0}\n", ["pool_split: batch", "-3.0"]),
        ("base: trap-base\nniw: {pull_below: 60.0}\n", ["pull_below", "60 %", "60.0"]),
        ("base: trap-base\nniw: {pull_two_below: -0.1}\n", ["pull_two_below", "-0.1"]),
        (
            "base: trap-base\nround_trips_s: [[0.0, .inf], [.inf, 0.0]]\n",
            ["round_trips_s", "finite"],
        ),
        (
            "base: trap-base\ntiers: [{name: a, objective_s: 1.0, target: 95.0}]\n",
            ["a: target", "95"],
        ),
        (
            "base: trap-base\ntiers: [{name: a, objective_s: 1.0, target: 0.0}]\n",
            ["a: target", "0.0"],
        ),
        ("base: trap-base\ntiers: [{name: '', objective_s: 1.0}]\n", ["tiers", "name", "letter"]),
        ("base: trap-base\ntiers: [{name: '--', objective_s: 1.0}]\n", ["tiers", "name", "'--'"]),
        (
            "base: trap-base\n"
            "tiers: [{name: a-b, objective_s: 1.0}, {name: AB, objective_s: 2.0}]\n",
            ["'a-b'", "'AB'", "slo_ab"],
        ),
        ("base: trap-base\nregions: [{name: ' ', vms: {a100-80gb-x8: 2}}]\n", ["region", "empty"]),
        (
            "base: trap-base\nmin_instances: 7\n",
            ["min_instances", "need 7", "'westus'", "there are 6"],
        ),
        (
            "base: hetero-day\nregions: [{name: westus, vms: {a100-80gb-x8: 3, h100-80gb-x8: 4}}]\n"
            "workload: {subset: true}\n",
            ["min_instances: at 2 each", "need 8 VMs", "there are 7"],
        ),
        ("base: trap-base\nmodels: [llama-3.1-70b]\n", ["a100-80gb-x8", "h100x4"]),
        ("base: trap-base\nround_trips_s: [[0.0]]\n", ["round_trips_s"]),
        ("base: trap-base\nround_trips_s: [[0.0, -1.0], [1.0, 0.0]]\n", ["round_trips_s"]),
        ("base: trap-base\nworkload: {scale: 0}\n", ["workload: scale"]),
        ("- a\n- b\n", ["expected a mapping"]),
        ("just words\n", ["expected a mapping"]),
        ("", ["expected a mapping"]),
        ("{a: [1, 2\n", ["cannot be read as YAML"]),
        ("1: 2\n", ["keys must be text"]),
        ("description: half\n", ["regions"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    message = broken(tmp_path, text)
    for word in words:
        assert word in message, message


def test_a_file_of_bytes_or_none_at_all(tmp_path: Path) -> None:
    junk = tmp_path / "junk.yaml"
    junk.write_bytes(b"\xff\xfe\x00\x01")
    for path in (junk, tmp_path / "missing.yaml"):
        with pytest.raises(ScenarioError, match="cannot be read"):
            load_scenario(path)
    with pytest.raises(ScenarioError, match="did you mean 'o365-day'"):
        load_scenario("o365day")


@pytest.mark.parametrize(
    "changes",
    [
        {"horizon_s": NAN},
        {"slo_scale": NAN},
        {"lifecycle": {"jitter": NAN}},
        {"niw": {"pull_below": NAN}},
        {"batching": {"memory_fraction": NAN}},
        {"round_trips_s": ((0.0, NAN), (NAN, 0.0))},
    ],
)
def test_nan_is_an_error_wherever_it_stands(changes: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="NaN"):
        load_scenario("trap-base").replace(**changes)


def test_errors_of_objects_built_in_python() -> None:
    with pytest.raises(ScenarioError, match="'greedy'"):
        BatchingConfig(balancer="greedy")
    with pytest.raises(ScenarioError, match="negative"):
        Scenario("x", (RegionConfig("r", {"a100-80gb-x8": -1}),), ("llama-2-70b",))


def test_replace_changes_only_what_it_names() -> None:
    tiny = load_scenario("trap-base")
    other = tiny.replace(batching={"mode": "whole_prompt"}, horizon_s=60)
    assert other.batching.mode == "whole_prompt"
    assert other.batching.max_sequences == tiny.batching.max_sequences
    assert other.horizon_s == 60.0 and isinstance(other.horizon_s, float)
    assert (tiny.batching.mode, tiny.horizon_s) == ("mixed", 3600.0)
    assert other.replace(batching=tiny.batching, horizon_s=3600.0) == tiny
    with pytest.raises(ScenarioError, match="did you mean 'batching'"):
        tiny.replace(baching={})


def test_the_hash_is_stable_and_sees_everything() -> None:
    tiny = load_scenario("trap-base")
    assert tiny.config_hash == load_scenario("trap-base").config_hash
    assert tiny.config_hash == tiny.replace(horizon_s=3600).config_hash
    assert len(tiny.config_hash) == 12
    others = [
        tiny.replace(horizon_s=3601.0),
        tiny.replace(batching={"mode": "whole_prompt"}),
        tiny.replace(faults={"crash_per_hour": 1e-9}),
        tiny.replace(regions=tiny.regions[::-1]),
        tiny.replace(pooling="siloed"),
        tiny.replace(name="tiny2"),
    ]
    assert len({tiny.config_hash, *(s.config_hash for s in others)}) == 7


def test_an_option_at_its_default_is_not_in_the_hash() -> None:
    """So rows that were published before an option existed keep their scenario's hash."""

    @dataclass(frozen=True)
    class Part:
        kept: int = 1

    @dataclass(frozen=True)
    class Whole:
        name: str
        part: Part = field(default_factory=Part)

    @dataclass(frozen=True)
    class LaterPart:
        kept: int = 1
        new: float | None = None
        more: tuple[str, ...] = ()

    @dataclass(frozen=True)
    class Later:
        name: str
        part: LaterPart = field(default_factory=LaterPart)
        other: LaterPart = field(default_factory=LaterPart)

    def said(value: Any) -> Any:
        return plain(value, defaults=False)

    assert said(Later("a")) == said(Whole("a")) == {"name": "a"}
    assert said(Later("a", LaterPart(kept=2))) == said(Whole("a", Part(kept=2)))
    assert said(Later("a", LaterPart(new=0.0))) == {"name": "a", "part": {"new": 0.0}}
    assert plain(Whole("a")) == {"name": "a", "part": {"kept": 1}}
    tiny = load_scenario("trap-base")
    assert tiny.config_hash == stable_hash(said(tiny)) != stable_hash(tiny)


def test_the_hash_is_the_same_in_another_process(repository: Path) -> None:
    code = (
        "from sageserve_env.scenario import load_scenario\n"
        "print(load_scenario('trap-base').config_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == load_scenario("trap-base").config_hash


@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_survives_yaml(name: str, tmp_path: Path) -> None:
    named = load_scenario(name)
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(named.to_dict()), encoding="utf-8")
    assert load_scenario(path) == named
    assert load_scenario(path).config_hash == named.config_hash


def test_a_model_that_needs_a_type_needs_enough_of_it() -> None:
    """Six VMs are enough for three models, but only one is of the type that two of them need."""
    models = {"models": ["llama-3.1-70b", "gpt-oss-120b", "llama-3.1-8b"], "min_instances": 2}
    vms = {"regions": [{"name": "westus", "vms": {"h100x4": 1, "h100x1": 5}}]}
    with pytest.raises(ScenarioError, match=r"need 4 VMs \(h100x4\), there are 1"):
        Scenario.from_dict({"base": "trap-base", "gpus": ["h100x4", "h100x1"], **models, **vms})


def test_a_region_that_has_nothing_for_a_model_has_no_least_fleet() -> None:
    hetero = load_scenario("hetero-day")
    none = hetero.replace(
        regions=[{"name": "westus", "vms": {"a100-80gb-x8": 8}}, {"name": "x", "vms": {}}]
    )
    assert none.min_instances == 2
    assert none.usable.tolist() == [[True, False], [False, False]] * 4


def test_prompts_and_outputs_beyond_the_limits_are_cut_and_counted() -> None:
    small = scenario(kv_tokens=1100, batching={"max_output_tokens": 100})
    assert small.max_context_tokens.tolist() == [1000]
    sim = simulator(small, [(0.0, 5000, 1), (10.0, 1000, 5000)])
    sim.advance(100.0)
    assert sim.episode_metrics()["truncated_prompts"] == 1
    assert sim.episode_metrics()["truncated_outputs"] == 1
    assert sim.records()["ttft_s"] == pytest.approx([1.2, 1.2])
    assert sim.records()["e2e_s"][1] == pytest.approx(1.2 + 99 * 0.06)


def test_a_trace_that_does_not_fit_says_what_to_do() -> None:
    here = scenario(regions=("here", "there"))
    there = scenario(regions=("here",))
    sim = simulator(here, [(0.0, 10, 1)], region=[1])
    other = Simulator(there, np.full((1, 1), 1000.0))
    other.reset(sim.feed.source)
    with pytest.raises(ScenarioError, match=r"'there' is not in the scenario; .*workload.subset"):
        other.advance(1.0)


@pytest.mark.parametrize("theta", [np.zeros((1, 1)), np.full((1, 1), NAN), np.ones((2, 1))])
def test_theta_must_be_positive_and_of_the_right_shape(theta: np.ndarray) -> None:
    with pytest.raises(ValueError, match="theta"):
        Simulator(scenario(), theta)


def test_an_initial_fleet_beyond_the_inventory() -> None:
    sim = simulator(scenario(vms=2), [])
    with pytest.raises(ValueError, match="too few"):
        sim.reset(sim.feed.source, initial=np.array([[3]]))


def test_a_region_without_vms_is_allowed() -> None:
    base = scenario(regions=("a", "b"))
    empty = base.replace(regions=(RegionConfig("a", {"gpu": 2}), RegionConfig("b", {})))
    sim = simulator(empty, [(0.0, 100, 1)], region=[1])
    sim.advance(10.0)
    sim.check_invariants()
    assert sim.episode_metrics()["completed"] == 1


def test_before_a_reset_one_error_says_so() -> None:
    sim = Simulator(scenario(), np.full((1, 1), 1000.0))
    for ask in (
        lambda: sim.time_s,
        sim.view,
        sim.snapshot,
        sim.totals,
        sim.unfinished,
        sim.episode_metrics,
        sim.check_invariants,
        lambda: sim.advance(1.0),
        lambda: targets(sim, 1),
    ):
        with pytest.raises(RuntimeError, match=r"has not started: call reset\(\) first"):
            ask()
    with pytest.raises(AttributeError, match="no attribute 'stat'"):
        sim.stat  # noqa: B018


def test_no_vm_at_all_holds_everything() -> None:
    sim = simulator(scenario(vms=0), [(0.0, 100, 1), (0.0, 100, 1, "NIW")])
    sim.advance(10.0)
    sim.check_invariants()
    assert sim.episode_metrics()["unfinished"] == 2


def test_a_missing_price_is_said_and_a_missing_spot_price_has_a_default() -> None:
    card = {"name": "mine", "gpus_per_vm": 2, "memory_bytes": 1e11}
    with pytest.raises(ScenarioError, match=r"custom_gpus\[0\]: price_usd_per_hour is missing"):
        load_scenario("trap-base").replace(custom_gpus=[card])
    scenario = load_scenario("trap-base").replace(
        custom_gpus=[{**card, "price_usd_per_hour": 10.0}]
    )
    assert scenario.custom_gpus[0].spot_price_usd_per_hour == pytest.approx(4.25)


def test_rules_of_two_engines_do_not_mix() -> None:
    with pytest.raises(ScenarioError, match="set one of them"):
        BatchingConfig(shared_budget=True, reserve_output_at_decode=True)
