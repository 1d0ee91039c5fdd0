"""Calibrated options that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sageserve_agents import calibrated, make_agent
from sageserve_agents.parameters import ServiceKnob
from sageserve_bench.calibration import Calibration, service_knob
from sageserve_bench.probing import Probe, uncalibrated
from sageserve_bench.shipping import settings_of, write_shipped
from sageserve_env import load_scenario
from tests.bench.test_calibration import MEANS


def calibration(spec: str) -> Calibration:
    """Return a calibration that ended at a specification."""
    probe = Probe(spec, {**MEANS, "reward": -12.0}, 0.1, ())
    return Calibration(spec, ServiceKnob("rho", 2.0, 0.3), 0.9, probe, (probe,))


def test_every_agent_may_try_as_many_settings() -> None:
    for name in ("static", "hpa", "ilp", "staffing", "oracle"):
        settings = settings_of(name, 4, service_knob(name))
        assert len(settings) == 4 and settings[0] == {}
        assert all(
            {"feedback", "niw_ceiling"} <= set(one) and len(one) <= 4 for one in settings[1:]
        )
        assert settings == settings_of(name, 4, service_knob(name))
        for one in settings:
            make_agent(name, **one)
    assert all("stabilisation_s" not in s for s in settings_of("hpa:stabilisation_s=60", 3, KNOB))


KNOB = ServiceKnob("target", 1.5, 0.05)


def test_options_are_written_beside_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shipped("tiny", calibration("hpa:calibrated=no;target=0.4"), [1000], tmp_path)
    spec = "ilp:calibrated=no;rho=0.9;refine=no;trust=1/1"
    path = write_shipped("tiny", calibration(spec), [1000, 1001], tmp_path)
    data = yaml.safe_load(path.read_text())
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
