"""Calibration to equal service: the search, the service, the record and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sageserve_agents.parameters import ServiceKnob
from sageserve_bench.analysis.targets import Targets
from sageserve_bench.errors import UserError
from sageserve_bench.results.journal import Journal
from sageserve_bench.runs.agent_files import expand
from sageserve_cli.cli import run
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_search.calibration import calibrate, search
from sageserve_search.knob import parse_knob, position_of
from sageserve_search.probing import Probe, Prober, with_options
from sageserve_search.records import refuse_test_seeds

MEANS = {
    "slo_iwf": 0.96,
    "slo_iwn": 0.99,
    "slo_niw": 1.0,
    "slo_worst_model": 0.95,
    "unfinished_share": 0.001,
    "cost_usd": 1000.0,
}


def test_the_margin_is_that_of_the_nearest_target() -> None:
    service = Targets.of(load_scenario("o365-day"))
    # 4 % miss where 5 % may; half the misses allowed for the worst model.
    assert service.margin(MEANS) == pytest.approx(math.log(5 / 4))
    assert service.misses(MEANS) == ()
    worse = {**MEANS, "slo_worst_model": 0.8, "unfinished_share": 0.01}
    assert service.margin(worse) == pytest.approx(math.log(0.5))
    assert service.misses(worse) == ("worst model 80.00% < 90.0%", "unfinished 1.00% > 0.5%")


def test_a_short_episode_may_leave_what_arrives_in_five_minutes() -> None:
    assert Targets.of(load_scenario("trap-base")).unfinished_share == pytest.approx(300.0 / 3600.0)


@pytest.mark.parametrize("start", [0.0, 0.4, 0.63, 1.0])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.62, 0.97])
def test_search_finds_the_least_position_that_attains(start: float, threshold: float) -> None:
    asked: list[float] = []

    def margin(position: float) -> float:
        asked.append(position)
        return math.tanh(8.0 * (position - threshold))

    found = search(margin, start=start, tolerance=0.005, max_probes=14)
    assert threshold <= found <= threshold + 0.006
    assert len(asked) <= 14


def test_search_at_the_ends() -> None:
    assert search(lambda p: 1.0, start=0.3, tolerance=0.01, max_probes=20) == 0.0
    assert search(lambda p: -1.0, start=0.3, tolerance=0.01, max_probes=20) == 1.0


def fluid(exponent: float = 1.0) -> Callable[[str], Probe]:
    """Return an agent whose misses are 5 % at rho = 0.8 and whose cost is 800 / rho."""

    def probe(spec: str) -> Probe:
        rho = float(spec.rpartition("rho=")[2])
        margin = math.log(0.8 / rho) * exponent
        misses = () if margin >= 0 else ("IW-F",)
        return Probe(spec, {"cost_usd": 800.0 / rho}, margin, misses)

    return probe


def test_calibration_takes_the_cheapest_setting_that_attains() -> None:
    found = calibrate("staffing", fluid(), max_probes=12)
    assert found.attains
    assert found.value == pytest.approx(0.8, rel=0.02)
    assert found.value <= 0.8
    assert found.spec == f"staffing:rho={found.value:.4g}"
    assert all(p.cost_usd >= found.best.cost_usd for p in found.probes if p.attains)


def test_calibration_says_what_is_missed_at_the_most_generous_value() -> None:
    knob = ServiceKnob("rho", stingy=3.0, generous=1.0, log=True)
    found = calibrate("staffing:beta=2", fluid(), knob=knob, max_probes=12)
    assert not found.attains
    assert found.value == 1.0
    assert found.to_dict()["misses"] == ["IW-F"]
    assert found.spec == "staffing:beta=2;rho=1"


def test_knobs_in_words() -> None:
    assert parse_knob("margin=2..0.5") == ServiceKnob("margin", 2.0, 0.5, log=True)
    assert not parse_knob("weight=0..10").log
    for text in ("margin", "=1..2", "margin=1", "margin=1..x", "margin=1..1", "m=nan..1"):
        with pytest.raises(UserError, match="stingy"):
            parse_knob(text)
    knob = parse_knob("rho=4..1")
    assert knob.at(position_of(knob, 2.0)) == pytest.approx(2.0)
    assert position_of(knob, None) == 0.5


def test_an_agent_without_a_knob_needs_one(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("class Own:\n    name, pooling, clairvoyant = 'own', 'unified', False\n")
    with pytest.raises(UserError, match="no service knob"):
        calibrate(f"{file}:Own", fluid())


def test_options_are_added_and_replaced() -> None:
    spec = with_options("ilp:rho=1.1;refine=false", {"rho": 0.98765432, "beta": 2})
    assert spec == "ilp:rho=0.9877;refine=false;beta=2"


def test_a_prober_runs_nothing_twice(small: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Prober(small, (1000, 1001), journal=Journal(path))
    probe = first("static")
    assert first.episodes == 2
    assert len(path.read_text().splitlines()) == 2
    with path.open("a") as file:
        file.write('{"key": "cut o')  # an interrupted write
    again = Prober(small, (1000, 1001), journal=Journal(path))
    assert again("static").means == probe.means
    assert len(path.read_text().splitlines()) == 3, "the journal had both episodes"
    again("static:target_load=0.5")
    assert len(Journal(path)._found) == 4, "the cut line does not spoil the next"


def test_test_seeds_are_refused() -> None:
    refuse_test_seeds([0, 1000, 1999])
    with pytest.raises(UserError, match="kept for tests"):
        refuse_test_seeds([1000, 2000])


def test_the_command_and_a_comparison_of_its_file(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "calibrated.json"
    words = ["calibrate", "--agents", "static,reactive", "--scenario", str(small_file)]
    words += ["--seeds", "1", "--probes", "3", "--output", str(output)]
    assert run(words) == 0
    record = json.loads(output.read_text())
    assert record["seeds"] == [1000]
    assert record["command"].startswith("sageserve calibrate --agents static,reactive")
    assert str(tmp_path) not in output.read_text()
    specs = [agent["spec"] for agent in record["agents"].values()]
    assert expand(["hpa", f"@{output}"]) == ["hpa", *specs]
    assert expand([f"@{tmp_path}"]) == specs
    out = tmp_path / "compared"
    compare = ["compare", "--agents", f"@{output}", "--scenario", str(small_file)]
    assert run([*compare, "--output", str(out)]) == 0
    text = (out / "results.csv").read_text()
    assert all(spec in text for spec in specs)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agents", "@nowhere.json"], "not found"),
        (["--agents", "static", "--seed-list", "2000"], "kept for tests"),
        (["--agents", "static", "--knob", "x"], "--knob"),
        (["--agents", "statik"], "static"),
        (["--agents", "static", "--output", "."], "is a folder"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calibrate", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
