"""Options of agents: their limits, and that none is taken without effect."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sageserve_agents import agent_class, make_agent
from sageserve_agents import calibrated as shipped_options
from sageserve_agents.calibrated import calibrated, calibrated_on
from sageserve_agents.options import Limits, limits_of
from sageserve_agents.parameters import Range
from sageserve_agents.registry import BUILT_IN

RULES = [n for n, where in BUILT_IN.items() if ".learned.network" not in where]
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hpa:stabilisation_s=-5", "stabilisation_s must be at least 0, got -5"),
        ("hpa:max_add=-3", "max_add must be at least 1, got -3"),
        ("hpa:sync_s=0", "sync_s must be positive, got 0"),
        ("ray-serve:look_back_s=-1", "look_back_s must be at least 0"),
        ("static:instances=-1", "instances must be at least 0"),
        ("static:peak_bin_s=90", "peak_bin_s must be a multiple of 60, at least 60, got 90"),
        ("ilp:gap=-1", "gap must be at least 0"),
        ("ilp:time_limit_s=-1", "time_limit_s must be at least 0"),
        ("ilp:quantile=1", r"quantile must be in \(0, 1\)"),
        ("ilp:level=1.5", r"level must be in \[0, 1\]"),
        ("kpa:panic_threshold=1", "panic_threshold must be above 1"),
        ("mpc:integer_periods=0", r"integer_periods must be in \[1, 4\]"),
        ("reactive:in_below=0.8", "need 0 <= in_below < out_above"),
        ("chiron:mixed_share=2", r"mixed_share must be in \[0, 1\]"),
        ("skyserve:router=best", "unknown router 'best'"),
    ],
)
def test_values_out_of_range_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_agent(spec)
    assert str(caught.value).startswith(f"agent {spec.partition(':')[0]!r}: ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("staffing:solver=cbc;gap=0.9;time_limit_s=-5", "unknown option of agent 'staffing'"),
        ("staffing:staffing=margin", "unknown option"),
        ("lt-i:beyond=3", "unknown option"),
        ("lt-u:last_part_s=60", "unknown option"),
        ("ppo:trust=1.2", "unknown option"),
        ("lt-i:beta=2", "beta has no effect unless staffing=sqrt"),
        ("ilp:refine=no;beyond=3", "beyond has no effect unless refine=yes"),
        ("ilp:pool_regions=no;local_share=.2", "local_share has no effect unless pool_regions"),
        ("mpc:beyond=0;hold_above=1", "hold_above has no effect unless beyond is above 0"),
        ("oracle:quantile=0.9", "quantile has no effect unless the forecaster is not perfect"),
        ("oracle:forecaster=arima", "unknown forecaster"),
        ("static:instances=3;target_load=1", "target_load has no effect unless instances=0"),
        ("reactive:in_below=.1;in_ratio=.2", "in_ratio has no effect unless in_below is none"),
        ("residual-es:checkpoint=rule;correct=1", "correct has no effect unless"),
    ],
)
def test_options_without_effect_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_agent(spec)


@pytest.mark.parametrize(
    "spec", ["lt-i:staffing=sqrt;beta=2", "ilp:time_limit_s=0", "ilp:refine=no;beta=1"]
)
def test_options_that_have_an_effect_are_taken(spec: str) -> None:
    make_agent(spec)


@pytest.mark.parametrize("name", RULES)
def test_numbers_have_limits(name: str) -> None:
    """Every number among the options says what it may be, in its field or in the solver's."""
    cls = agent_class(name).options_type
    known = {*limits_of(cls), "time_limit_s", "gap"}
    numbers = {k for k, v in vars(cls()).items() if isinstance(v, int | float)}
    assert {n for n in numbers if not isinstance(getattr(cls(), n), bool)} <= known


@pytest.mark.parametrize("name", RULES)
def test_what_is_tuned_and_calibrated_is_within_the_limits(name: str) -> None:
    cls = agent_class(name)
    ranges = {
        option: (r.low, r.high) if isinstance(r, Range) else r.values
        for option, r in cls.tunable.items()
    }
    if cls.service_knob is not None:
        knob = cls.service_knob
        ranges[knob.option] = (knob.stingy, knob.generous)
    limits = limits_of(cls.options_type)
    for option in ranges.keys() & limits.keys():
        for value in ranges[option]:
            limits[option].check(option, value)


def test_published_settings_are_still_taken() -> None:
    specs = set()
    for path in RESULTS.glob("*/results.csv"):
        with path.open(encoding="utf-8") as file:
            rows = csv.DictReader(file)
            specs |= {(row["agent"], row.get("scenario")) for row in rows if row.get("agent")}
    for spec, scenario in sorted(specs, key=str):
        make_agent(spec, scenario=scenario)


def test_limits_in_words() -> None:
    assert Limits(low=0, below=1).words() == "in [0, 1)"
    assert Limits(above=1).words() == "above 1"
    with pytest.raises(ValueError, match="x must be at least 0, got nan"):
        Limits(low=0).check("x", float("nan"))


def test_a_variant_has_the_options_of_the_scenario_it_is_like() -> None:
    assert calibrated_on("global-week") == "global-day" and calibrated_on("tiny") == "tiny"
    assert calibrated("global-week") == calibrated("global-day") != {}
    assert calibrated("no-such-scenario") == {}


def test_a_variant_has_its_own_options_over_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_options, "FOLDER", tmp_path)
    (tmp_path / "whole.yaml").write_text("agents: {ilp: {rho: 1, level: 2}, static: {n: 3}}\n")
    (tmp_path / "part.yaml").write_text("like: whole\nagents: {ilp: {rho: 4}}\n")
    assert calibrated_on("part") == "part"
    assert calibrated("part") == {"ilp": {"rho": 4, "level": 2}, "static": {"n": 3}}


def test_a_file_of_options_without_agents_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_options, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text("agent: {ilp: {rho: 1}}\n")
    with pytest.raises(ValueError, match=r"mine.yaml: expected agents with their options"):
        calibrated("mine")
