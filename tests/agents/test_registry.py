from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sageserve_agents import Agent, agent_class, list_agents, make_agent, parse_spec
from sageserve_agents.parameters import Choice, Range
from sageserve_agents.registry import BUILT_IN
from tests.agents.shipped import make_or_skip
from tests.agents.toy import ToyCluster, constant, empty_history, scenario_of

PROMISED = (
    "static siloed reactive chiron lt-i lt-u lt-ua reactive-lw hpa kpa ray-serve skyserve "
    "staffing ilp mpc oracle"
).split()

USER_AGENT = '''
"""An agent of twenty lines."""

import numpy as np

from sageserve_env.actions import ClusterAction


class MyAgent:
    name, pooling, clairvoyant = "mine", "unified", False

    def __init__(self, margin=0.8):
        self.margin = margin

    def reset(self, scenario, seed, history):
        self.low = scenario.min_instances

    def act(self, view):
        busy = view.utilisation * view.active.sum(axis=1)
        wanted = np.maximum(np.ceil(busy / self.margin), self.low).astype(np.int64)
        targets = np.zeros_like(view.target)
        targets[:, 0] = wanted
        return ClusterAction(targets)
'''


@pytest.mark.parametrize("name", PROMISED)
def test_every_agent_of_the_design_is_there(name: str) -> None:
    agent = make_agent(name)
    assert isinstance(agent, Agent)
    assert agent.name == name
    assert name in list_agents()
    assert agent.clairvoyant == (name == "oracle")
    assert agent.pooling == {"siloed": "siloed", "chiron": "chiron"}.get(name, "unified")
    expected = {"reactive-lw": "least_wait"}.get(name)  # None: the scenario's
    assert agent.router == expected  # type: ignore[attr-defined]
    paper = make_agent(name, stack="paper", router=None)
    assert paper.router == "threshold"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_tuner_may_vary_are_options(name: str) -> None:
    cls = agent_class(name)
    fields = {f.name for f in dataclasses.fields(cls.options_type)}
    assert set(cls.tunable) <= fields
    for key, space in cls.tunable.items():
        ends = (space.low, space.high) if isinstance(space, Range) else space.values
        assert isinstance(space, Range | Choice)
        for end in ends:
            make_or_skip(name, **{key: end})
    knob = cls.service_knob
    if knob is None:
        assert name == "maskable-ppo"  # every other agent can be calibrated
        return
    assert knob.option in fields
    for value in (knob.stingy, knob.at(0.5), knob.generous):
        make_or_skip(name, **{knob.option: value})
    assert knob.at(0.0) == pytest.approx(knob.stingy)
    assert knob.at(1.0) == pytest.approx(knob.generous)


def test_options_ride_on_the_name() -> None:
    agent = make_agent("ilp:forecaster=ridge;router=threshold;beta=2;quantile=none")
    assert agent.options.forecaster == "ridge"  # type: ignore[attr-defined]
    assert agent.options.beta == 2.0  # type: ignore[attr-defined]
    assert agent.options.quantile is None  # type: ignore[attr-defined]
    assert agent.router == "threshold"  # type: ignore[attr-defined]
    assert make_agent("ilp:beta=2", beta=3).options.beta == 3.0  # type: ignore[attr-defined]
    assert parse_spec(" ilp : ".replace(" ", "")) == ("ilp", {})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("reactve", ["unknown agent 'reactve'", "did you mean 'reactive"]),
        ("ilp:forcaster=arima", ["unknown option", "did you mean 'forecaster'"]),
        ("ilp:forecaster=arma", ["unknown forecaster 'arma'", "did you mean 'arima'"]),
        ("ilp:router=treshold", ["unknown router", "did you mean 'threshold'"]),
        ("ilp:beta=much", ["option beta", "expected a number, got 'much'"]),
        ("ilp:beta=nan", ["expected a finite number"]),
        ("ilp:beta=-1", ["beta must be at least 0"]),
        ("ilp:refine=perhaps", ["expected true or false"]),
        ("mpc:integer_periods=1.5", ["expected a whole number"]),
        ("reactive:out_above=0.2;in_below=0.5", ["need 0 <= in_below < out_above"]),
        ("ilp:beta", ["expected option=value, got 'beta'"]),
        ("no_such_file.py:MyAgent", ["there is no file 'no_such_file.py'"]),
        ("no_such_file.py", ["name the class as no_such_file.py:ClassName"]),
    ],
)
def test_errors_are_one_line_and_name_the_nearest(spec: str, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make_agent(spec)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_a_users_own_agent_joins(tmp_path: Path) -> None:
    file = tmp_path / "my_agent.py"
    file.write_text(USER_AGENT)
    assert len(USER_AGENT.strip().splitlines()) <= 24
    agent = make_agent(f"{file}:MyAgent:margin=0.5")
    assert isinstance(agent, Agent)
    assert agent.margin == 0.5  # type: ignore[attr-defined]
    scenario = scenario_of("trap-base")
    agent.reset(scenario, 0, empty_history(scenario))
    targets = ToyCluster(scenario, constant(scenario, 15_000.0)).run(agent, 30)
    assert targets[-1].tolist() == [3, 3]
    with pytest.raises(ValueError, match="did you mean 'MyAgent'"):
        make_agent(f"{file}:MyAgnt")
    with pytest.raises(ValueError, match="did you mean 'margin'"):
        make_agent(f"{file}:MyAgent:margn=1")


def test_a_file_that_is_no_agent(tmp_path: Path) -> None:
    file = tmp_path / "other.py"
    file.write_text("class Nothing:\n    name = 'nothing'\n")
    with pytest.raises(ValueError, match="lacks pooling, clairvoyant, reset, act"):
        make_agent(f"{file}:Nothing")
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    with pytest.raises(ValueError, match="ZeroDivisionError while importing"):
        make_agent(f"{broken}:Agent")


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [
        (r"C:\work\my_agent.py:Mine:margin=0.8", r"C:\work\my_agent.py:Mine", {"margin": "0.8"}),
        ("D:/agents/my_agent.py:Mine", "D:/agents/my_agent.py:Mine", {}),
        ("/agents/my_agent.py:Mine:a=1;b=2", "/agents/my_agent.py:Mine", {"a": "1", "b": "2"}),
        ("ilp:beta=1", "ilp", {"beta": "1"}),
    ],
)
def test_paths_of_both_kinds(spec: str, name: str, options: dict[str, str]) -> None:
    from sageserve_agents.registry import is_file
    from sageserve_bench.runs.tasks import agent_label, split_agents

    assert parse_spec(spec) == (name, options)
    assert is_file(name) == (".py" in spec)
    assert split_agents(f"static,{spec}") == ["static", spec]
    assert "work" not in agent_label(spec)


def test_a_far_name_is_not_suggested() -> None:
    with pytest.raises(ValueError, match=r"unknown agent 'xyzzy' \(valid: ") as caught:
        make_agent("xyzzy")
    assert "did you mean" not in str(caught.value)
