"""Seeds, specifications of agents, and what trace an episode gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sageserve_agents.learned.checkpoint import Checkpoint, load, save
from sageserve_bench.errors import UserError
from sageserve_bench.runs.grid import make_grid
from sageserve_bench.runs.tasks import (
    Task,
    agent_label,
    check_agents,
    content_of_files,
    split_agents,
)
from sageserve_bench.runs.workload import pick_seeds, resolve
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.workload import TraceSpec
from sageserve_traces import ReadOptions


def write_trace(path: Path, requests: int = 600, header: str = "arrival_s,in,out") -> Path:
    lines = [f"{i * 1.0},{100 + i % 50},{10 + i % 7}" for i in range(requests)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


MINE = {"arrival": "arrival_s", "prompt": "in", "output": "out"}
COLUMNS = ReadOptions(columns=MINE)  # type: ignore[arg-type]  # kept as pairs


@pytest.mark.parametrize("where", ["option", "scenario", "agent", "checkpoint"])
def test_a_key_changes_with_a_users_file(tmp_path: Path, where: str) -> None:
    file = tmp_path / "mine.py"
    router = "register_router('mine_{}', {{'queue_s': 1.0}})"

    def write(text: str) -> None:
        start = "from sageserve_env.policies import register_router\n"
        start += "from sageserve_agents.heuristics.static import Static as Mine\n"
        file.write_text(f"{start}{router.format(where)}\n{text}\n")

    write("")
    scenario, agent = load_scenario("trap-base"), "static"
    if where == "option":
        agent = f"reactive:router={file}:mine_{where}"
    elif where == "scenario":
        scenario = scenario.replace(routing={"router": f"{file}:mine_{where}"})
    elif where == "agent":
        agent = f"{file}:Mine"
    else:
        agent, file = f"residual-es:checkpoint={tmp_path}", tmp_path / "policy.npz"
        write("")
    task = Task(agent, scenario, TraceSpec(), 3)
    before, content = task.key(task.workload()), content_of_files(agent, scenario)
    write("# edited")
    assert task.key(task.workload()) != before
    assert content_of_files(agent, scenario) != content != ""


def test_names_of_the_package_stand_for_no_files() -> None:
    for agent in ("static", "ilp:router=threshold", "ppo", "residual-es:checkpoint=rule"):
        assert content_of_files(agent, load_scenario("tiny")) == ""


def test_seeds_of_a_split() -> None:
    assert pick_seeds(3) == (2000, 2001, 2002)
    assert pick_seeds(2, split="validation") == (1000, 1001)
    assert pick_seeds([8, 7]) == (8, 7)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"seeds": 0}, "must be 1 to 1000"),
        ({"seeds": 1001}, "must be 1 to 1000"),
        ({"split": "holdout"}, "unknown split 'holdout'"),
        ({"seeds": []}, "empty"),
        ({"seeds": [-1]}, "at least 0"),
        (
            {"seeds": [1, 2**63]},
            "seeds must be at most 9223372036854775807, got 9223372036854775808",
        ),
        ({"seeds": [3, 3]}, "named twice"),
    ],
)
def test_bad_seeds(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pick_seeds(**keywords)  # type: ignore[arg-type]


def test_options_ride_on_the_name() -> None:
    text = "static, ilp:forecaster=seasonal;router=threshold,my.py:Mine:a=1"
    assert split_agents(text) == [
        "static",
        "ilp:forecaster=seasonal;router=threshold",
        "my.py:Mine:a=1",
    ]


@pytest.mark.parametrize("text", ["", "static,,ilp", "ilp:rho=1,beta=2"])
def test_bad_agent_lists(text: str) -> None:
    with pytest.raises(UserError, match="--agents"):
        split_agents(text)


def test_labels_hold_no_path() -> None:
    assert agent_label("/somewhere/agents/mine.py:Mine:a=1;b=2") == "mine.py:Mine:a=1;b=2"
    assert agent_label(" ilp ") == "ilp"


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ([], "no agent given"),
        (["static", "static"], "named twice"),
        (["ilq"], "unknown agent 'ilq'"),
        (["static:target_lod=1"], "target_load"),
    ],
)
def test_agents_are_checked_first(agents: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_agents(agents)


def test_scenario_trace_is_the_default(small: Scenario) -> None:
    workload = resolve(small, TraceSpec(), 2000)
    assert workload.trace.name == "o365"
    assert workload.scenario == small
    assert resolve(small, TraceSpec(), 2001).trace_hash != workload.trace_hash


def test_a_short_trace_shortens_the_horizon(tmp_path: Path, small: Scenario) -> None:
    file = str(write_trace(tmp_path / "mine.csv"))
    day = load_scenario("o365-day")
    assert resolve(day, TraceSpec(file, reading=COLUMNS), 1).scenario.horizon_s == 600.0
    tiled = resolve(day, TraceSpec(file, tile_s=1800.0, reading=COLUMNS), 1)
    assert tiled.scenario.horizon_s == 1800.0
    assert tiled.scenario.config_hash != day.config_hash
    assert resolve(small, TraceSpec(file, tile_s=7200.0, reading=COLUMNS), 1).scenario == small


def test_a_file_is_assigned_to_what_the_scenario_has(tmp_path: Path, small: Scenario) -> None:
    spec = TraceSpec(
        str(write_trace(tmp_path / "mine.csv")), reading=ReadOptions(columns=tuple(MINE.items()))
    )
    trace = resolve(small, spec, 1).trace
    assert trace.models == small.models
    assert trace.regions == small.region_names


def test_rate_scale(tmp_path: Path) -> None:
    file = str(write_trace(tmp_path / "mine.csv", 3000))
    day = load_scenario("o365-day")

    def count(scale: float) -> int:
        trace = resolve(day, TraceSpec(file, rate_scale=scale, reading=COLUMNS), 1).trace
        return sum(len(chunk) for chunk in trace.chunks())

    assert count(1.0) == 3000
    assert 1300 < count(0.5) < 1700


def test_a_trace_shorter_than_a_decision(tmp_path: Path, small: Scenario) -> None:
    spec = TraceSpec(
        str(write_trace(tmp_path / "a.csv", 20)), reading=ReadOptions(columns=tuple(MINE.items()))
    )
    with pytest.raises(UserError, match="less than one decision interval"):
        resolve(small, spec, 1)


def test_history_is_in_the_names_of_the_scenario(small: Scenario) -> None:
    workload = resolve(small, TraceSpec(), 2000)
    past = workload.history(clairvoyant=False)
    assert past.requests.shape[1:] == (1, 2, 3)
    assert past.end_s == 0.0
    told = workload.history(clairvoyant=True)
    assert told.end_s == 900.0
    assert np.array_equal(told.requests[: len(past)], past.requests)
    assert told.requests[len(past) :].sum() > 0


def test_the_key_changes_with_what_matters(small: Scenario) -> None:
    def key(agent: str = "static", seed: int = 1, scenario: Scenario = small) -> str:
        task = Task(agent, scenario, TraceSpec(), seed)
        return task.key(task.workload())

    keys = {
        key(),
        key("static:target_load=0.5"),
        key(seed=2),
        key(scenario=small.replace(slo_scale=4.0)),
    }
    assert len(keys) == 4
    assert key() == key()


def test_the_key_changes_with_a_checkpoint_that_was_trained_again(
    small: Scenario, tmp_path: Path
) -> None:
    held = load("residual-es")
    save(tmp_path / "mine", held)
    task = Task(f"residual-es:checkpoint={tmp_path / 'mine'}", small, TraceSpec(), 1)
    before = task.key(task.workload())
    save(tmp_path / "mine", Checkpoint({k: a * 0.5 for k, a in held.arrays.items()}, held.card))
    assert task.key(task.workload()) != before


def test_objects_take_no_transforms(small: Scenario) -> None:
    trace = resolve(small, TraceSpec(), 1).trace
    with pytest.raises(UserError, match="by name or path"):
        make_grid(["static"], scenario=small, trace=trace, seeds=1, rate_scale=2.0)
    grid = make_grid(["static"], scenario=small, trace=[trace], seeds=[4])
    assert grid.tasks()[0].workload().trace is trace


OWN = """
regions:
  - {name: frankfurt, vms: {own-gpu: 20}}
  - {name: dublin, vms: {own-gpu: 10}}
models: [own-7b]
gpus: [own-gpu]
initial_instances: 4
min_instances: 1
tiers:
  - {name: chat, objective_s: 2.0, target: 0.99}
  - {name: nightly, objective: completion, interactive: false, objective_s: 43200.0}
custom_gpus:
  - {name: own-gpu, gpus_per_vm: 1, memory_bytes: 80.0e+9, price_usd_per_hour: 4.0,
     spot_price_usd_per_hour: 2.0}
custom_models:
  - name: own-7b
    weights_bytes: 14.0e+9
    kv_bytes_per_token: 131072.0
    max_context_tokens: 8192
    profiles: {own-gpu: {prefill_base_s: 0.01, prefill_per_token_s: 5.0e-5, decode_base_s: 0.01}}
"""


def own_cluster(folder: Path) -> Scenario:
    path = folder / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    return load_scenario(path)


def test_a_file_may_use_the_names_of_a_cluster_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    lines = [
        f"{i},100,10,{('frankfurt', 'dublin')[i % 2]},own-7b,{('chat', 'nightly')[i % 4 == 0]}"
        for i in range(600)
    ]
    header = "arrival_s,prompt_tokens,output_tokens,region,model,tier"
    file.write_text("\n".join([header, *lines]), encoding="utf-8")
    with pytest.raises(ValueError, match="unknown model"):
        resolve(load_scenario("o365-day"), TraceSpec(str(file)), 1)
    trace = resolve(own_cluster(tmp_path), TraceSpec(str(file)), 1).trace.demand(600.0, 600.0)
    for axis, name, count in (
        ("regions", "dublin", 300),
        ("models", "own-7b", 600),
        ("tiers", "nightly", 150),
    ):
        assert trace.reindex(axis, (name,)).requests.sum() == count


def test_what_a_file_lacks_is_drawn_from_the_cluster(tmp_path: Path) -> None:
    file = str(write_trace(tmp_path / "mine.csv"))
    spec = TraceSpec(file, reading=COLUMNS)
    trace = resolve(own_cluster(tmp_path), spec, 1).trace
    assert (trace.models, trace.regions) == (("own-7b",), ("frankfurt", "dublin"))
    assert trace.tiers == ("chat", "nightly")


def test_tiers_of_ones_own_are_judged_and_shown(tmp_path: Path) -> None:
    from sageserve_bench.analysis.outcome import conclude, targets_of
    from sageserve_bench.comparison import compare
    from sageserve_bench.report.table import columns_of

    scenario = own_cluster(tmp_path)
    file = str(write_trace(tmp_path / "mine.csv"))
    rows = compare("reactive", scenario=scenario, trace=file, columns=MINE)
    outcome = conclude(rows.to_dict("records"), targets_of(scenario))
    titles = [column.title for column in columns_of(outcome)]
    assert titles[1:3] == ["chat %", "nightly %"] and "IW-F %" not in titles
    bad = rows.assign(slo_chat=0.5).to_dict("records")
    assert "chat 50.00% < 99.0%" in " ".join(conclude(bad, targets_of(scenario)).verdict)
