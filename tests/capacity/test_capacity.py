"""`sageserve plan-capacity`: from a request log with names of its own to an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sageserve_capacity.fixed import Fixed, Fleets, share_out
from sageserve_capacity.fleet import parse_map, place
from sageserve_capacity.inspect import guess_columns, inspect_log, is_batch
from sageserve_capacity.plan import Answer, Use, bound_of, history_of, policies_of
from sageserve_cli import cli
from sageserve_env.scenario import load_scenario
from sageserve_search.probing import Probe
from sageserve_traces import ReadOptions

ZONES = ("+02:00", "-07:00")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an hour of two models in two regions, in local times, three rows of it broken."""
    lines = ["Request ID,Timestamp,Model Name,Location,Class,Tokens In,Tokens Out"]
    for i in range(1200):
        zone = ZONES[i % 2]
        hour = 12 + int(zone[:3])
        time = f"2026-03-02T{hour:02d}:{i // 20 % 60:02d}:{3 * i % 60:02d}{zone}"
        model = ("chat-8b", "acme-13b")[i % 3 == 0]
        tier = ("interactive", "batch")[i % 10 == 0]
        lines.append(
            f"{i},{time},{model},{('eu', 'us')[i % 2]},{tier},{300 + i % 500},{20 + i % 60}"
        )
    lines[10] = lines[10].replace("2026", "soon")
    lines[20] = lines[20].rsplit(",", 2)[0]
    lines[30] = lines[30].rsplit(",", 1)[0] + ",-4"
    path = tmp_path_factory.mktemp("log") / "my.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_an_answer(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answer.json"
    assert cli.run(["plan-capacity", str(log), "--current", "12", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    for said in (
        "arrival is Timestamp, prompt is Tokens In, output is Tokens Out, model is Model Name",
        "chat-8b: 8 billion parameters, taken as llama-3.1-8b, on h100x1 with a measured profile",
        "acme-13b: 13 billion parameters, scaled from",
        "a profile estimated from data sheets",
        "Your present fleet of 12 GPUs uses 12.0 GPUs on average",
        "taken as batch work, complete within 12 h: batch",
        "How sure: size or speed of acme-13b is an estimate",
    ):
        assert said in shown
    answer = json.loads(file.read_text())
    assert answer["bound_gpus"] <= answer["planner_gpus"] + 1e-9 < 12
    assert {p["policy"].partition(":")[0] for p in answer["policies"]} == {
        "static",
        "reactive",
        "ilp",
    }
    assert sum("dropped" in line for line in answer["assumed"]) == 3


def test_a_present_fleet_far_beyond_the_need_is_billed_as_it_is(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["plan-capacity", str(log), "--current", "500"]) == 0
    shown = capsys.readouterr().out
    used = re.search(r"Your present fleet of 500 GPUs uses ([\d.]+) GPUs on average", shown)
    assert used is not None
    assert 490.0 < float(used[1]) <= 500.0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("nothere.csv", "nothere.csv"),
        ("my.csv --gpu h1000", "no GPU 'h1000'"),
        ("my.csv --map chat-8b", "write NAME=MODEL or NAME=SIZE"),
        ("my.csv --map chat-8b=big", "write a size such as 13b"),
        ("my.csv --map chta-8b=8b", "unknown model of the log 'chta-8b'; did you mean 'chat-8b'?"),
        ("my.csv --current 1", "--current 1: one instance of each model takes 2 GPUs"),
        (
            "my.csv --map chat-8b=70b,acme-13b=70b --current 1001",
            "--current 1001: instances have 2 GPUs here; give 1000 or 1002",
        ),
        ("my.csv --target 2", "between 0 and 1"),
        ("my.csv --current hpx", "unknown agent 'hpx'"),
    ],
)
def test_bad_input_is_one_line(
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    line: str,
) -> None:
    monkeypatch.chdir(log.parent)
    assert cli.run(["plan-capacity", *words.split()]) == 2
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


def test_unusable_rows_are_an_error_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.csv"
    path.write_text("time,prompt,output\n0,10,5\n90,-4,5\n", encoding="utf-8")
    assert cli.run(["plan-capacity", str(path), "--on-error", "raise"]) == 2
    shown = capsys.readouterr().err
    assert "my.csv: row 2, column prompt: value '-4' is below 1" in shown
    assert shown.count("\n") == 1


def test_many_dropped_rows_are_said_to_make_the_answer_unsure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = steady(tmp_path / "flat.csv", 120, ["x-8b"])
    lines = path.read_text().splitlines()
    lines[5:15] = ["soon,1,1,x-8b"] * 10
    path.write_text("\n".join(lines) + "\n")
    assert cli.run(["plan-capacity", str(path)]) == 0
    assert "How sure: 2.1% of the rows were dropped" in capsys.readouterr().out


def test_a_start_is_respected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = steady(tmp_path / "flat.csv", 1200, ["x-8b"])
    assert cli.run(["plan-capacity", str(path), "--start", "15min"]) == 0
    shown = capsys.readouterr().out
    assert "5 min were simulated, after 15 min that the policies know as history" in shown
    assert cli.run(["plan-capacity", str(path), "--start", "1h"]) == 2
    assert "lasts 0 s after 1 h; give at least" in capsys.readouterr().err


def test_a_log_of_seconds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,5\n30,10,5\n")
    assert cli.run(["plan-capacity", str(path)]) != 0
    error = capsys.readouterr().err
    assert "short.csv: lasts 31 s; give at least" in error
    assert error.count("\n") <= 1


def test_columns_are_found_by_their_names() -> None:
    assert guess_columns(["Created-At", "input_tokens", "OUTPUT TOKENS", "deployment"]) == {
        "arrival": "Created-At",
        "prompt": "input_tokens",
        "output": "OUTPUT TOKENS",
        "model": "deployment",
    }
    assert guess_columns(["a", "b"]) == {}


def test_a_file_without_the_needed_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,words\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no column for prompt, output"):
        inspect_log(path, ReadOptions())


def test_models_are_taken_by_name_size_or_word_of_the_user() -> None:
    assert place("qwen3-32b", "h100", {}).said.startswith("qwen3-32b: qwen3-32b, on h100x2")
    assert place("our-llama-70B-chat", "h100", {}).like == "llama-3.1-70b"
    assert place("mystery", "h100", {}).estimated
    assert place("mystery", "h100", {"mystery": "70b"}).like == "llama-3.1-70b"
    small = place("tiny-3b", "h100", {})
    assert small.estimated and small.model.weights_bytes < 8e9
    assert parse_map("a=70b, b=qwen3-32b") == {"a": "70b", "b": "qwen3-32b"}


@pytest.mark.parametrize(
    ("tier", "waits"),
    [
        *[(name, False) for name in ("Nightly", "batch_1", "lowPriority", "low", "my-bulk-jobs")],
        *[(name, True) for name in ("low-latency", "lowLatency", "slow", "workflow", "allowed")],
        ("interactive", True),
    ],
)
def test_whole_words_of_a_tier_say_that_nobody_waits(tier: str, waits: bool) -> None:
    assert is_batch(tier) is not waits


def test_the_bound_by_hand() -> None:
    placed = [place("llama-3.1-8b", "h100", {}), place("llama-3.1-70b", "h100", {})]
    load = np.array([[[0.1, 0.2], [2.0, 0.5]], [[3.0, 0.1], [0.1, 0.1]]])  # [T, M, R]
    # first: max(0.3, 1) x 1 + 2.5 x 2 = 6; second: 3.1 + 1 x 2 = 5.1
    assert bound_of(load, placed) == 6
    assert bound_of(load, placed, [9.0, 5.0]) == 5  # that fleet met the targets


def test_long_prompts_that_an_instance_alone_serves_late_do_not_raise_the_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["time,prompt,output"]
    lines += [f"{t},{15_000 + 997 * t % 10_000},{50 + t % 350}" for t in range(1200)]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = tmp_path / "answer.json"
    assert cli.run(["plan-capacity", str(path), "--current", "12", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["bound_gpus"] == 6  # 20,000 tokens/s at 7,400 per 2 GPUs
    assert "At least 6 GPUs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("usd", "line"),
    [(60.0, "It saves $40 a month, 40%."), (150.0, "It costs $50 a month, 50% more.")],
)
def test_a_planner_that_costs_more_is_said_to(usd: float, line: str) -> None:
    now = Use("fleet of 2 GPUs", 2.0, 100.0, (), {})
    answer = Answer((), 1, (Use("ilp", 1.0, usd, (), {}),), now, (), load_scenario("tiny"))
    assert line in answer.lines()


def test_a_policy_that_is_cheaper_than_the_planner_is_named() -> None:
    uses = (Use("static: x", 1.0, 50.0, (), {}), Use("ilp", 1.2, 60.0, (), {}))
    answer = Answer((), 1, uses, None, (), load_scenario("tiny"))
    line = "Cheapest of those that keep the promise is static, with 1.0 GPUs on average"
    assert any(said.startswith(line) for said in answer.lines())
    assert not any("Cheapest" in said for said in replace(answer, uses=uses[::-1]).lines())


def test_a_fixed_fleet_goes_where_the_load_is() -> None:
    scenario = load_scenario("trap-base")
    load = np.array([[3.0, 1.0]])  # five VMs of eight GPUs
    counts = share_out(40, scenario, load)
    assert counts.sum() == 5 and counts[0, 0] > counts[0, 1] >= 1
    agent = Fixed(40, load)
    agent.reset(scenario, 0, None)  # type: ignore[arg-type]
    assert agent._instances[:, 0].tolist() == counts[0].tolist()


def steady(path: Path, seconds: int, models: Sequence[str]) -> Path:
    """Write a log of four requests a second of each model in turn, and return its file."""
    lines = ["time,prompt,output,model"]
    lines += [
        f"{i / 4},{500 + 997 * i % 5500},{50 + i % 350},{models[i % len(models)]}"
        for i in range(4 * seconds)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_flat_traffic_is_not_charged_for_a_cold_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answer.json"
    log = steady(tmp_path / "flat.csv", 1200, ["x-70b"] * 9 + ["x-8b"])
    assert cli.run(["plan-capacity", str(log), "--current", "101", "--json", str(file)]) == 0
    answer = json.loads(file.read_text())
    assert answer["current"]["misses"] == [] and answer["current"]["slo_worst_model"] > 0.99
    assert answer["current"]["gpus"] == pytest.approx(101.0, rel=0.005)
    assert all(policy["misses"] == [] for policy in answer["policies"])


def test_without_history_static_is_the_smallest_fleet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answer.json"
    log = steady(tmp_path / "flat.csv", 900, ["x-70b"])
    assert cli.run(["plan-capacity", str(log), "--json", str(file)]) == 0
    answer = json.loads(file.read_text())
    static = next(p for p in answer["policies"] if p["policy"].startswith("static"))
    assert static["misses"] == [] and static["gpus"] == pytest.approx(4.0)
    fewer = ["plan-capacity", str(log), "--current", "2", "--json", str(file)]
    assert cli.run(fewer) == 0
    assert json.loads(file.read_text())["current"]["misses"] != []


def test_the_least_fleet_is_found_from_either_side() -> None:
    class Counted(Fleets):
        def play(self, gpus: int) -> Probe:
            misses = () if gpus >= 72 else ("late",)
            return Probe(f"{gpus}", {}, 0.0, misses)

    fleets = Counted(load_scenario("trap-base"), None, np.array([[3.0, 1.0]]), 0)  # type: ignore[arg-type]
    assert [fleets.least(start)[0] for start in (0, 8, 70, 72, 100)] == [72] * 5


def test_what_is_compared_and_what_is_history() -> None:
    assert policies_of("hpa") == ["static", "hpa", "ilp"]
    assert policies_of("40") == policies_of(None) == ["static", "reactive", "ilp"]
    assert history_of(5 * 86_400.0) == 86_400.0 and history_of(86_400.0) == 0.0
