"""Tuning: the budget is kept, the search is seeded, and the cheapest that attains is chosen."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from sageserve_agents.parameters import ServiceKnob
from sageserve_agents.stack import WEIGHTS_TRIED
from sageserve_agents.weights import read_weights
from sageserve_bench.errors import UserError
from sageserve_bench.runs.pools import Backend, session
from sageserve_cli import cli
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_search.calibration import Calibration
from sageserve_search.knob import service_knob
from sageserve_search.probing import Probe, Prober
from sageserve_search.tuning import (
    LEAST_RATE,
    cost_rate,
    equal_cost,
    least_budget,
    space_of,
    tune,
)


def probe(cost_usd: float, margin: float) -> Probe:
    return Probe("static", {"cost_usd": cost_usd}, margin, ())


def test_cost_at_equal_service() -> None:
    assert equal_cost(probe(100.0, 0.0), 0.1) == pytest.approx(100.0)
    assert equal_cost(probe(100.0, 0.5), 0.1) == pytest.approx(100.0 * math.exp(-0.05))
    assert equal_cost(probe(100.0, 5.0), 0.1) == pytest.approx(100.0 * math.exp(-0.07)), "cut"
    assert equal_cost(probe(100.0, -1.0), 0.1) == pytest.approx(100.0 * math.exp(0.13)), "dearer"


def test_what_a_margin_costs_is_the_slope_of_the_probes() -> None:
    def calibrated(*probes: Probe) -> Calibration:
        knob = ServiceKnob("target_load", stingy=2.0, generous=0.2)
        return Calibration("static", knob, 1.0, probes[0], tuple(probes))

    line = [probe(math.exp(5.0 + 0.2 * m), m) for m in (-1.0, 0.0, 1.0)]
    assert cost_rate(calibrated(*line)) == pytest.approx(0.2)
    far = probe(1.0, 3.0)  # too far from the target to count
    assert cost_rate(calibrated(*line, far)) == pytest.approx(0.2)
    assert cost_rate(calibrated(line[0])) == LEAST_RATE
    assert cost_rate(calibrated(line[0], line[0])) == LEAST_RATE


def test_a_search_is_seeded_and_keeps_its_budget(small: Scenario) -> None:
    budget = least_budget(1) + 2
    found = [tune("reactive", Prober(small, (1000,)), budget, sampler_seed=s) for s in (0, 0, 1)]
    assert found[0].to_dict() == found[1].to_dict()
    assert [t.options for t in found[0].trials] != [t.options for t in found[2].trials]
    for one in found:
        assert one.episodes <= budget
        assert len(one.trials) >= 4
        if one.default.attains:
            assert one.best.attains
            assert one.best.best.cost_usd <= one.default.best.cost_usd
    with pytest.raises(UserError, match=r"--budget 5 is too small; 1 seeds need at least"):
        tune("reactive", Prober(small, (1000,)), 5)


def test_options_that_are_given_are_not_varied(small: Scenario) -> None:
    found = tune("reactive:cooldown_s=60", Prober(small, (1000,)), least_budget(1))
    assert all("cooldown_s" not in trial.options for trial in found.trials)
    assert "cooldown_s=60" in found.best.spec


def test_weights_of_the_router_are_the_routers_or_searched() -> None:
    fixed = {"router_weights": "own"}
    assert WEIGHTS_TRIED.suggest(FixedTrial(fixed), "router_weights") is None
    sizes = {f"router_weights.{f}": WEIGHTS_TRIED.sizes(f)[1] for f in WEIGHTS_TRIED.limits}
    trial = FixedTrial({"router_weights": "searched", **sizes})
    found = WEIGHTS_TRIED.suggest(trial, "router_weights")
    weights = {feature: weight for _, feature, weight in read_weights(found)}
    assert weights == {f: pytest.approx(high) for f, (_, high) in WEIGHTS_TRIED.limits.items()}
    assert weights["prefix_s"] < 0 < weights["prompt_s"]


def test_each_model_has_a_factor() -> None:
    trust = space_of("ilp", service_knob("ilp"), load_scenario("global-day"))["trust"]
    fixed = {"trust.0": 0.9, "trust.1": 1.0, "trust.2": 1.25, "trust.3": 1.0}
    assert trust.suggest(FixedTrial(fixed), "trust") == "0.9/1/1.25/1"
    assert trust.begin("trust", None) == dict.fromkeys(fixed, 1.0)
    assert trust.changed(None, (1, 0.8)) == "1/0.8/1/1"
    assert trust.changed("1/0.8/1/1", (2, 1.2)) == "1/0.8/1.2/1"


@pytest.mark.slow
def test_a_search_on_ray_is_that_in_this_process(small: Scenario, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    backend = Backend("ray", workers=2)
    budget = least_budget(1)
    here = tune("hpa", Prober(small, (1000,)), budget)
    with session(backend):
        assert ray.is_initialized()  # once, and not for each setting
        there = tune("hpa", Prober(small, (1000,), backend=backend), budget)
    assert not ray.is_initialized()
    assert there.to_dict() == here.to_dict()


def test_the_command_and_a_comparison_of_its_file(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reactive.json"
    words = ["tune", "--agent", "reactive", "--scenario", str(small_file), "--seeds", "1"]
    words += ["--budget", str(least_budget(1)), "--output", str(file)]
    assert cli.run(words) == 0
    first = file.read_text()
    written = json.loads(first)["agents"]["reactive"]
    assert written["episodes"] <= least_budget(1)
    assert str(tmp_path) not in first
    journal = file.with_name(file.name + ".episodes.jsonl").read_text()
    assert cli.run(words) == 0
    assert file.read_text() == first
    again = file.with_name(file.name + ".episodes.jsonl").read_text()
    assert again == journal, "nothing is simulated twice"
    capsys.readouterr()
    compare = ["compare", "--agents", f"@{file}", "--scenario", str(small_file)]
    assert cli.run([*compare, "--output", str(tmp_path / "out")]) == 0
    assert written["spec"] in (tmp_path / "out" / "results.csv").read_text()
    assert cli.run([*words, "--seed-list", "2000"]) == 2
    assert "kept for tests" in capsys.readouterr().err
