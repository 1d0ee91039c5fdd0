"""`sageserve run --records`: a row per request that agrees with the metrics of the episode."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sageserve_bench.errors import UserError
from sageserve_bench.rows import TIMED
from sageserve_bench.runs.episode import run_episode
from sageserve_bench.runs.request_records import check_target, write_records
from sageserve_bench.runs.tasks import Task
from sageserve_cli import cli
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_traces import RequestTrace

COLUMNS = {
    "arrival_s": "double",
    "model": "string",
    "region": "string",
    "tier": "string",
    "prompt_tokens": "int32",
    "output_tokens": "int32",
    "ttft_s": "double",
    "e2e_s": "double",
    "served_region": "string",
    "attained": "bool",
}


def metrics(words: list[str], file: Path) -> dict[str, float]:
    assert cli.run([*words, "--json", str(file)]) == 0
    row: dict[str, float] = json.loads(file.read_text())
    return row


def test_the_command_writes_a_row_per_request(
    tmp_path: Path, small_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "reactive", "--scenario", str(small_file)]
    plain = metrics(words, tmp_path / "plain.json")
    path = tmp_path / "new" / "requests.parquet"
    row = metrics([*words, "--records", str(path)], tmp_path / "with.json")
    for name in (*TIMED, "agent"):
        del plain[name], row[name]
    assert row == plain  # keeping records changes nothing
    assert str(path) in capsys.readouterr().out
    schema = pq.read_schema(path)
    assert dict(zip(schema.names, map(str, schema.types), strict=True)) == COLUMNS
    rows = pd.read_parquet(path)
    assert len(rows) == row["requests"] > 1000
    assert rows["arrival_s"].is_monotonic_increasing and rows["arrival_s"].max() <= 900.0
    assert rows["e2e_s"].notna().sum() == row["completed"] > 0
    assert (rows["e2e_s"] >= rows["ttft_s"])[rows["e2e_s"].notna()].all()
    for column in ("served_region", "attained"):
        assert (rows[column].isna() == rows["e2e_s"].isna()).all()
    assert set(rows["region"]) == set(rows["served_region"].dropna()) == {"westus", "eastus"}
    fast = rows[rows["tier"] == "IW-F"]
    assert np.quantile(fast["ttft_s"].dropna(), 0.95) == pytest.approx(
        row["ttft_p95_iwf"], rel=0.02
    )
    assert sorted(path.parent.iterdir()) == [path]


def test_attained_is_what_the_simulator_counts(small: Scenario, tmp_path: Path) -> None:
    """The objective by hand: `slo_scale` times the prefill formula, at least the tier's."""
    env = SageServeEnv(scenario=small.replace(initial_instances=1))
    env.simulator.keep_records = True
    env.reset(seed=5)
    truncated = False
    while not truncated:
        _, _, _, truncated, _ = env.step(np.zeros(env.action_space.shape, np.float32))
    path = tmp_path / "requests.parquet"
    count = env.simulator.state.count
    assert write_records(env, path) == count["arrived"].sum()
    rows = pd.read_parquet(path)
    model = small.model_specs[0]
    profile = model.profiles[small.gpus[0]]
    alone = np.array([profile.prefill_s(tokens) for tokens in rows["prompt_tokens"]])
    for k, tier in enumerate(small.tiers):
        own = rows["tier"] == tier.name
        if tier.objective == "ttft":
            objective = np.maximum(tier.objective_s, small.slo_scale * alone)
            met = rows["ttft_s"] <= objective
            known = rows["ttft_s"].notna()
        else:
            met = rows["e2e_s"] <= tier.objective_s
            known = rows["e2e_s"].notna()
        assert (own & met).sum() == count["attained"][:, :, k].sum()
        assert (own & known & ~met).sum() == count["missed"][:, :, k].sum()
        done = own & rows["e2e_s"].notna()
        assert (rows["attained"][done].astype(bool) == met[done]).all()
    assert count["attained"].sum() > 0 and count["missed"].sum() > 0
    served = rows["served_region"][rows["e2e_s"].notna()]
    assert (served != rows["region"][served.index]).any()  # some are served elsewhere


def test_four_requests_by_hand(tmp_path: Path) -> None:
    """One alone, one too long for the model, one that is not finished, one without a token."""
    scenario = load_scenario("trap-base").replace(horizon_s=120.0)
    limit = int(scenario.max_context_tokens[0])
    trace = RequestTrace(
        arrival_s=np.array([0.5, 10.0, 118.0, 119.999]),
        model=np.zeros(4, np.int16),
        region=np.array([0, 1, 1, 0], np.int16),
        tier=np.array([0, 1, 0, 0], np.int16),
        prompt_tokens=np.array([512, limit + 5, 100, 1000], np.int32),
        output_tokens=np.array([3, 1, 4000, 10], np.int32),
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
        duration_s=120.0,
    )
    path = tmp_path / "requests.parquet"
    run_episode(Task("static", scenario, trace, 0), records=path)
    rows = pq.read_table(path).to_pylist()
    profile = scenario.model_specs[0].profiles[scenario.gpus[0]]
    first = float(scenario.round_trip[0, 0]) + profile.prefill_s(512.0)
    assert rows[0]["ttft_s"] == pytest.approx(first, rel=1e-6)
    steps = sum(profile.decode_s(1, 512.0 + i) for i in (1, 2))
    assert rows[0]["e2e_s"] == pytest.approx(first + steps, rel=1e-3)
    assert [row["arrival_s"] for row in rows] == [0.5, 10.0, 118.0, 119.999]
    assert [row["region"] for row in rows] == ["westus", "eastus", "eastus", "westus"]
    assert [row["tier"] for row in rows] == ["IW-F", "IW-N", "IW-F", "IW-F"]
    assert [row["prompt_tokens"] for row in rows] == [512, limit, 100, 1000]
    assert [row["output_tokens"] for row in rows] == [3, 1, 4000, 10]
    assert [row["attained"] for row in rows] == [True, True, None, None]
    assert [row["served_region"] for row in rows] == ["westus", "eastus", None, None]
    assert rows[1]["ttft_s"] == rows[1]["e2e_s"]
    assert rows[2]["ttft_s"] > 0 and rows[2]["e2e_s"] is None
    assert rows[3]["ttft_s"] is None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("rows.csv", "the name must end in .parquet"),
        ("rows", "the name must end in .parquet"),
        ("folder.parquet", "is a folder"),
        ("file.txt/rows.parquet", "cannot be written"),
    ],
)
def test_a_wrong_file_is_said_before_the_episode_runs(
    name: str,
    line: str,
    tmp_path: Path,
    small_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file.txt").write_text("")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(
        "sageserve_bench.runs.episode.run_episode", lambda *_, **__: pytest.fail("ran")
    )
    words = ["run", "static", "--scenario", str(small_file), "--records", str(tmp_path / name)]
    assert cli.run(words) == 2
    shown = capsys.readouterr().err
    assert line in shown and name in shown and shown.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unwritable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    check_target(tmp_path / "not" / "there" / "rows.parquet")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("tempfile.TemporaryFile", refused)  # root may write everywhere
    with pytest.raises(UserError, match=r"--records .*rows\.parquet: .*Permission denied"):
        check_target(tmp_path / "rows.parquet")


def test_metrics_without_a_value_are_null(
    tmp_path: Path, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sageserve_bench.runs import episode

    real = episode.run_episode

    def holed(*arguments: object, **keywords: object) -> episode.RunResult:
        made = real(*arguments, **keywords)  # type: ignore[arg-type]
        made.row.update(ttft_p95_iwf=float("nan"), ttft_p99_iwf=float("inf"), slo_niw=None)
        return made

    monkeypatch.setattr(episode, "run_episode", holed)
    words = ["run", "static", "--scenario", str(small_file)]
    row = metrics(words, tmp_path / "metrics.json")
    assert row["ttft_p95_iwf"] is row["ttft_p99_iwf"] is row["slo_niw"] is None
    assert row["requests"] > 0
