"""The stack that all rules and planners share, and the options that ship for a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sageserve_agents import calibrated, make_agent, rollout
from sageserve_agents.misses import Misses
from sageserve_agents.registry import BUILT_IN, agent_class, is_calibrated
from sageserve_agents.stack import StackOptions, batch_ceiling, reserve_s
from sageserve_agents.weights import changed_weights
from sageserve_env import list_scenarios, load_scenario
from sageserve_env.entries import default_router_weights
from sageserve_env.env import SageServeEnv
from sageserve_env.policies.features import ROUTER_FEATURES
from tests.agents.shipped import make_or_skip
from tests.agents.toy import empty_history, make_view, scenario_of

WITH_STACK = [n for n in BUILT_IN if issubclass(agent_class(n).options_type, StackOptions)]


def test_all_rules_and_planners_have_the_stack() -> None:
    learned = {"ppo", "sac", "tqc", "maskable-ppo"}  # decide what they were trained to
    assert set(WITH_STACK) == set(BUILT_IN) - learned


@pytest.mark.parametrize("name", WITH_STACK)
def test_every_agent_can_decide_everything(name: str) -> None:
    agent: Any = make_or_skip(
        name, router="jsq", discipline="edf", niw_ceiling=0.5, admission=2.0, feedback=3.0
    )
    scenario = scenario_of("trap-base", pooling=agent.pooling)
    agent.reset(scenario, 0, empty_history(scenario))
    action = agent.act(make_view(scenario))
    assert (action.router, action.discipline) == ("jsq", "edf")
    limits = [2.0 * t.objective_s if t.interactive else np.inf for t in scenario.tiers]
    assert action.admission is not None and action.admission.tolist() == [limits]
    if name not in {"siloed", "chiron"}:  # their pools have ceilings of their own
        assert action.niw_release is not None
        reach = 0.5 if name.startswith("residual") else 0.0  # a network corrects it
        assert action.niw_release == pytest.approx(0.5, abs=reach)
    action.validate(scenario)


def test_trust_is_a_factor_on_theta_by_model() -> None:
    assert StackOptions().trust_by_model(3).tolist() == [1.0, 1.0, 1.0]
    assert StackOptions(trust="1.2").trust_by_model(2).tolist() == [1.2, 1.2]
    assert StackOptions(trust="1/0.9").trust_by_model(2).tolist() == [1.0, 0.9]
    with pytest.raises(ValueError, match="names 2 models, the scenario has 3"):
        StackOptions(trust="1/0.9").trust_by_model(3)
    with pytest.raises(ValueError, match="names 2 models, the scenario has 1"):
        StackOptions(trust="1/0.9").trust_by_model(1)
    for wrong in ("a/b", "0", "-1/1", "nan"):
        with pytest.raises(ValueError, match="numbers above 0"):
            StackOptions(trust=wrong)


@pytest.mark.parametrize("name", ["reactive", "hpa", "kpa", "ilp", "static"])
def test_a_model_that_is_trusted_less_has_a_larger_fleet(name: str) -> None:
    env = SageServeEnv("global-day", horizon_s=3600.0)
    fleets = []
    for trust in ("1/1/1/1", "1/0.6/1/1"):
        rollout(env, make_agent(f"{name}:calibrated=no;trust={trust}"), seed=1000)
        view = env.view()
        fleets.append((view.target[3:6] * view.theta[1]).sum())  # tokens/s of the second model
    same, other = fleets
    assert other > same


def test_weights_of_the_router_are_an_option() -> None:
    scenario = scenario_of("sessions-day")
    chat, agent = range(2)  # llama-3.1-8b, gpt-oss-120b
    made: Any = make_agent(
        "static:calibrated=no;router_weights=prefix_s:-2/gpt-oss-120b.running:0.5"
    )
    made.reset(scenario, 0, empty_history(scenario))
    action = made.act(make_view(scenario))
    own = default_router_weights(scenario, "prefix_affinity")
    features = list(ROUTER_FEATURES)
    prefix, running = features.index("prefix_s"), features.index("running")
    assert action.router_weights[:, prefix].tolist() == [-2.0, -2.0]
    assert action.router_weights[chat, running] == own[chat, running]
    assert action.router_weights[agent, running] == 0.5
    action.validate(scenario)
    each = (
        f"{m}.prefix_s:{row[prefix]}/{m}.running:{row[running]}"
        for m, row in zip(scenario.models, action.router_weights, strict=True)
    )
    again = changed_weights("/".join(each), scenario, None)
    assert again == pytest.approx(action.router_weights)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prefx_s:1", "unknown router_weights: feature 'prefx_s'; did you mean 'prefix_s'"),
        ("prefix_s", "expected feature:weight or model.feature:weight, got 'prefix_s'"),
        ("prefix_s:a", "expected feature:weight"),
    ],
)
def test_unusable_weights_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_agent("static", router_weights=text)


def test_weights_need_a_router_that_weighs_and_a_model_of_the_scenario() -> None:
    scenario = scenario_of("trap-base")
    for options, said in (
        ({"router": "threshold", "router_weights": "queue_s:1"}, "weighs nothing"),
        ({"router": "jsq", "router_weights": "gpt.queue_s:1"}, "unknown router_weights: model"),
    ):
        agent: Any = make_agent("static", **options)
        with pytest.raises(ValueError, match=said):
            agent.reset(scenario, 0, empty_history(scenario))


@pytest.mark.parametrize("name", ["reactive", "hpa", "ilp"])
def test_the_stack_is_the_scenarios_or_the_papers(name: str) -> None:
    scenario = scenario_of("trap-base")
    own: Any = make_agent(name)
    paper: Any = make_agent(name, stack="paper", niw_ceiling=None)
    for agent in (own, paper):
        agent.reset(scenario, 0, empty_history(scenario))
    a, b = own.act(make_view(scenario)), paper.act(make_view(scenario))
    assert (a.router, a.discipline, a.admission) == (None, None, None)
    assert (b.router, b.discipline, b.niw_release) == ("threshold", "fcfs", None)


def test_misses_press_as_more_load() -> None:
    scenario = scenario_of("trap-base")
    bad = {"slo_attainment": np.zeros(2), "request_rate": np.ones((3, 1, 2, 3))}
    busy = {"utilisation": np.full(2, 0.5), "time_s": 3600.0}
    wanted = []
    for feedback in (0.0, 10.0):
        agent: Any = make_agent("hpa", target=0.5, feedback=feedback)
        agent.reset(scenario, 0, empty_history(scenario))
        wanted.append(agent.act(make_view(scenario, **bad, **busy)).instances.sum())
    # Two instances half used are right at a target of one half; the most pressure is e^0.5 = 1.65.
    assert wanted == [4, 2 * np.ceil(2 * 0.5 * np.exp(0.5) / 0.5)]


def test_misses_count_first_tokens_and_pace() -> None:
    from dataclasses import replace

    from sageserve_agents.endpoints import Endpoints

    scenario = scenario_of("trap-base")
    misses = Misses(1)
    view = make_view(scenario, slo_attainment=np.array([0.9, 0.9]), utilisation=np.ones(2))
    misses.update(replace(view, tpot_attainment=np.array([0.5, 0.5])), Endpoints.of(scenario))
    assert misses.fast == pytest.approx([0.55])


def test_the_reserve_of_batch_work_follows_its_objective() -> None:
    scenario = scenario_of("trap-base", horizon_s=86_400.0)
    assert reserve_s(scenario) == 7200.0  # due in a day
    assert reserve_s(scenario_of("trap-base")) == 900.0  # an hour's episode
    tiers = [
        {**tier, "objective_s": [7200.0, 28_800.0]} if not tier["interactive"] else tier
        for tier in scenario.to_dict()["tiers"]
    ]
    for tier in tiers:
        tier.pop("objectives_s", None)
    soon = type(scenario).from_dict({**scenario.to_dict(), "tiers": tiers})
    assert reserve_s(soon) == 1800.0
    from sageserve_agents.endpoints import Endpoints

    view = make_view(soon, niw_deadline_s=np.array([900.0]), horizon_s=1e5)
    assert batch_ceiling(Endpoints.of(soon), view, 0.5).tolist() == [1.0, 1.0]


def test_shipped_options_are_the_defaults_on_their_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap-base.yaml").write_text("agents:\n  ilp: {rho: 0.77, beyond: 2}\n")
    monkeypatch.setattr(calibrated, "FOLDER", tmp_path)
    calibrated.calibrated.cache_clear()
    scenario = load_scenario("trap-base")
    try:
        raw = make_agent("ilp").options.rho  # type: ignore[attr-defined]

        def rho(spec: str, **options: Any) -> float:
            value: float = make_agent(spec, **options).options.rho  # type: ignore[attr-defined]
            return value

        assert rho("ilp", scenario=scenario) == rho("ilp", scenario="trap-base") == 0.77
        assert rho("ilp:calibrated=no", scenario=scenario) == raw
        assert rho("ilp:rho=1", scenario=scenario) == 1.0
        assert rho("ilp:refine=no", scenario=scenario) == 0.77  # beyond has no effect then
        assert rho("ilp", scenario="o365-day") == raw
        assert is_calibrated("ilp", scenario) and not is_calibrated("ilp:calibrated=no", scenario)
        assert not is_calibrated("mpc", scenario)
        with pytest.raises(ValueError, match="calibrated: expected yes or no"):
            make_agent("ilp:calibrated=perhaps")
    finally:
        calibrated.calibrated.cache_clear()


def test_what_ships_is_taken() -> None:
    files = list(calibrated.FOLDER.glob("*.yaml"))
    scenarios = [file for file in files if file.stem in list_scenarios()]
    taken = {yaml.safe_load(file.read_text()).get("like") for file in scenarios}
    assert {file.stem for file in files} - {file.stem for file in scenarios} <= taken
    for file in scenarios:
        for name in calibrated.calibrated(file.stem):
            make_agent(name, scenario=file.stem)
