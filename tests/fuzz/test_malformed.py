"""Hundreds of unusable files through the command line: one clear line, code 2, nothing written."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sageserve_cli import cli
from sageserve_env._config import ScenarioError
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.simulator.simulator import Simulator

from . import malformed_scenarios, malformed_traces
from .malformed_traces import GOOD, Content, put, table

TRACES = malformed_traces.every()
SCENARIOS = malformed_scenarios.every()
LONGEST_LINE = 700


def check_refused(
    words: list[str], path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Assert that a command says in one line that it cannot use a file, and writes nothing."""
    before = sorted(path.parent.iterdir())
    code = cli.run(words)
    shown = capsys.readouterr()
    said = f"{path.name}: exit code {code}: {shown.err or shown.out}"
    assert code == 2, said
    assert re.fullmatch(r"sageserve: error: [^\n]+\n", shown.err), said
    assert path.stem in shown.err, said
    assert len(shown.err) < LONGEST_LINE, said
    assert shown.err.isprintable() or shown.err[:-1].isprintable(), said
    assert shown.out == "", said
    assert not output.exists(), said
    assert sorted(path.parent.iterdir()) == before, said


def test_there_are_enough_files() -> None:
    assert len(TRACES) >= 200
    assert len(SCENARIOS) >= 200


@pytest.mark.parametrize("schema", GOOD)
def test_undamaged_files_are_read(
    schema: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "good.csv", table(schema).encode())
    assert cli.run(["trace", "info", str(path)]) == 0
    assert "90" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "content"), TRACES.items(), ids=list(TRACES))
def test_malformed_trace(
    name: str, content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = put(tmp_path, name, content), tmp_path / "out"
    check_refused(["trace", "info", str(path)], path, output, capsys)
    words = ["compare", "--agents", "static", "--scenario", "o365-day", "--trace", str(path)]
    check_refused([*words, "--output", str(output)], path, output, capsys)


@pytest.mark.parametrize(("name", "content"), SCENARIOS.items(), ids=list(SCENARIOS))
def test_malformed_scenario(
    name: str, content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = put(tmp_path, name, content), tmp_path / "out"
    words = ["compare", "--agents", "static", "--scenario", str(path), "--output", str(output)]
    check_refused(words, path, output, capsys)


KEYS = [field.name for field in dataclasses.fields(Scenario)] + ["base", "Horizon_s", ""]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["trap-base", "westus", "llama-2-70b", "a100-80gb-x8", "siloed", "mixed", "NIW"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "vms", "mode", "threshold", "scale", "a100-80gb-x8"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(data=st.dictionaries(st.sampled_from(KEYS), values, max_size=4))
def test_any_mapping_is_a_scenario_or_one_line(
    data: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump({"base": "trap-base"} | data), encoding="utf-8")
    try:
        scenario = load_scenario(path)
    except ScenarioError as error:
        assert "\n" not in str(error) and len(str(error)) < LONGEST_LINE
        return
    if scenario.inventory.sum() > 1000:
        return  # the arrays of a great many VMs take long to make
    theta = np.full((len(scenario.models), len(scenario.gpus)), 1000.0)
    Simulator(scenario, theta)  # what loads can be simulated
