"""Calibrated options that ship."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sageserve_agents import calibrated, make_agent
from sageserve_agents.parameters import Choice, ServiceKnob, Weights
from sageserve_agents.registry import parse_spec
from sageserve_agents.stack import STACK_TUNABLE, WEIGHTS_TRIED
from sageserve_agents.weights import read_weights
from sageserve_env import load_scenario
from sageserve_search.calibration import Calibration
from sageserve_search.knob import service_knob
from sageserve_search.probing import Probe, uncalibrated
from sageserve_search.shipping import explore, write_shipped
from sageserve_search.tuning import space_of
from tests.search.test_calibration import MEANS


def calibration(spec: str) -> Calibration:
    """Return a calibration that ended at a specification."""
    probe = Probe(spec, {**MEANS, "reward": -12.0}, 0.1, ())
    return Calibration(spec, ServiceKnob("rho", 2.0, 0.3), 0.9, probe, (probe,))


def cheap_under(option: str, value: str) -> Callable[[str], Probe]:
    """Return a prober to which one value of an option halves the cost at equal service."""

    def probe(spec: str) -> Probe:
        options = parse_spec(spec)[1]
        margin = 1.0 - float(options["target"])
        cost = 100.0 * math.exp(0.5 * margin) / (2.0 if options.get(option) == value else 1.0)
        return Probe(spec, {**MEANS, "cost_usd": cost}, margin, () if margin >= 0 else ("IW-F",))

    return probe


@pytest.mark.parametrize(("option", "value"), [("niw_ceiling", "1.2"), ("router", "jsq")])
def test_a_change_that_pays_is_kept(option: str, value: str) -> None:
    prober: Any = cheap_under(option, value)
    prober.scenario = load_scenario("tiny")
    found = parse_spec(explore("hpa:calibrated=no", prober, KNOB, 40, 0.0))[1]
    assert found[option] == value
    assert float(found["target"]) == pytest.approx(1.0, abs=0.1)
    given = parse_spec(explore("hpa:niw_ceiling=0.6", prober, KNOB, 40, 0.0))[1]
    assert given["niw_ceiling"] == "0.6"


def test_factors_of_models_are_changed_one_by_one() -> None:
    def probe(spec: str) -> Probe:
        factors = [float(f) for f in parse_spec(spec)[1].get("trust", "1/1/1/1").split("/")]
        cost = 100.0 - 10.0 * (factors[1] > 1.1) - 10.0 * (factors[2] < 0.9)
        return Probe(spec, {**MEANS, "cost_usd": cost}, 0.0, ())

    prober: Any = probe
    prober.scenario = load_scenario("global-day")
    found = explore("hpa:calibrated=no", prober, KNOB, 120, 0.0)
    factors = [float(f) for f in parse_spec(found)[1]["trust"].split("/")]
    assert factors[0] == factors[3] == 1.0 and factors[1] > 1.1 and factors[2] < 0.9


def test_weights_of_the_router_are_changed_one_by_one() -> None:
    def probe(spec: str) -> Probe:
        text = parse_spec(spec)[1].get("router_weights", "")
        paid = sum(f"{feature}:" in text for feature in ("running", "prompt_s"))
        return Probe(spec, {**MEANS, "cost_usd": 100.0 - 10.0 * paid}, 0.0, ())

    prober: Any = probe
    prober.scenario = load_scenario("tiny")
    found = explore("hpa:calibrated=no", prober, KNOB, 120, 0.0)
    weights = read_weights(parse_spec(found)[1]["router_weights"])
    assert {feature for _, feature, _ in weights} >= {"running", "prompt_s"}
    for _, feature, weight in weights:
        low, high = sorted(WEIGHTS_TRIED.limits[feature])
        assert low <= weight <= high


def test_every_agent_has_the_stack_to_choose_from() -> None:
    for name in ("static", "hpa", "ilp", "staffing", "oracle"):
        knob = service_knob(name)
        space = space_of(name, knob, load_scenario("tiny"))
        assert set(STACK_TUNABLE) <= set(space)
        assert knob.option not in space
    assert "router" not in space_of("hpa:router=jsq", service_knob("hpa"), load_scenario("tiny"))


@pytest.mark.parametrize(("scenario", "caches"), [("tiny", False), ("sessions-day", True)])
def test_what_scores_prefix_caches_is_tried_where_there_are_some(
    scenario: str, caches: bool
) -> None:
    space = space_of("hpa", service_knob("hpa"), load_scenario(scenario))
    routers, weights = space["router"], space["router_weights"]
    assert isinstance(routers, Choice) and isinstance(weights, Weights)
    assert ("prefix_affinity" in routers.values) == caches
    assert ("prefix_s" in weights.limits) == caches
    assert {"jsq", None} <= set(routers.values) and "kv" in weights.limits


KNOB = ServiceKnob("target", 1.5, 0.05)


def test_options_are_written_beside_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shipped("tiny", calibration("hpa:calibrated=no;target=0.4"), [1000], tmp_path)
    spec = "ilp:calibrated=no;rho=0.9;refine=no;trust=1/1"
    file = tmp_path / "tiny.yaml"
    file.write_text("# By hand.\n" + file.read_text())
    path = write_shipped("tiny", calibration(spec), [1000, 1001], tmp_path)
    data = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("# By hand.\n# Options at which")
    assert data["agents"]["hpa"] == {"target": 0.4}
    assert data["agents"]["ilp"] == {"rho": 0.9, "refine": False, "trust": "1/1"}
    assert data["measured"]["ilp"]["seeds"] == 2
    assert data["measured"]["ilp"]["slo_iwf"] == MEANS["slo_iwf"]
    monkeypatch.setattr(calibrated, "FOLDER", tmp_path)
    calibrated.calibrated.cache_clear()
    try:
        agent = make_agent("ilp", scenario=load_scenario("tiny"))
        assert agent.options.rho == 0.9  # type: ignore[attr-defined]
    finally:
        calibrated.calibrated.cache_clear()


def test_a_search_leaves_calibrated_options_aside() -> None:
    assert uncalibrated("ilp:rho=1") == "ilp:rho=1;calibrated=no"
    assert uncalibrated("ilp:calibrated=yes") == "ilp:calibrated=yes"
