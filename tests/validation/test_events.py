"""The replay of the authors' simulator: against its results, and against the naive loop."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from sageserve_bench.errors import UserError
from sageserve_cli.cli import run
from sageserve_validation.fidelity import events
from sageserve_validation.fidelity.reference import COLUMNS, read_reference
from sageserve_validation.fidelity.tables import Measured, default_tables, load_tables

REFERENCES = default_tables().parent / "event_simulator"
FILES = ("code_static_2_per_region", "conv_static_2_per_region")
needs_reference = pytest.mark.skipif(
    not REFERENCES.is_dir(), reason="needs shared/reference/event_simulator"
)


def load_naive() -> ModuleType:
    """Import the naive loop, which lies among the tests (they are no package)."""
    name = "_sageserve_naive_events"
    if name not in sys.modules:
        path = Path(__file__).with_name("naive_events.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


naive = load_naive()


def by_naive_loop(
    rows: pd.DataFrame, fleet: dict[str, int], tables: list[Measured]
) -> pd.DataFrame:
    measured = {m.model: m for m in tables if m.gpu == events.GPU}
    models = []
    for name in fleet:
        own = events.MODELS[name]
        profile = events.recipe_profile(measured[own.model_name])
        models.append(
            naive.NaiveModel(
                profile.prefill_table,
                profile.decode_table,
                own.kv_bytes_per_token,
                own.kv_pool_bytes,
            )
        )
    requests = [
        naive.NaiveRequest(
            row.arrival_s,
            tuple(map(int, row.region_preference)),
            list(fleet).index(row.model),
            row.prompt_tokens,
            row.output_tokens,
        )
        for row in rows.itertuples()
    ]
    naive.NaiveCluster(models, list(fleet.values()), 3).replay(requests)
    return pd.DataFrame(
        {
            "ttft_s": [r.first_token_s - r.arrival_s for r in requests],
            "e2e_s": [r.completed_s - r.arrival_s for r in requests],
        }
    )


def heavy(seed: int, rate: float, median_prompt: float, requests: int = 1200) -> pd.DataFrame:
    """Return long prompts at a rate that fills the KV pools."""
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 3, requests)
    others = [rng.permutation([r for r in range(3) if r != h]) for h in home]
    prompt = np.clip(rng.lognormal(np.log(median_prompt), 1.2, requests), 1, 40_000)
    return pd.DataFrame(
        {
            "arrival_s": np.cumsum(rng.exponential(1 / rate, requests)),
            "home_region": home,
            "region_preference": [
                "".join(map(str, (h, *rest))) for h, rest in zip(home, others, strict=True)
            ],
            "model": rng.choice(["A", "B"], requests),
            "prompt_tokens": prompt.astype(int),
            "output_tokens": np.clip(rng.lognormal(5.3, 1, requests), 1, 4000).astype(int),
        }
    )


@needs_reference
@pytest.mark.parametrize("name", FILES)
def test_the_naive_loop_reproduces_the_authors(name: str) -> None:
    rows = read_reference(REFERENCES / f"{name}.csv.gz", {"A": 2, "B": 2})
    ours = by_naive_loop(rows, {"A": 2, "B": 2}, load_tables(default_tables()))
    known = rows["ttft_s"].notna()
    for column in ("ttft_s", "e2e_s"):
        error = (ours[column] - rows[column])[known].abs()
        assert error.max() < 1e-6  # the files are rounded to 1e-6 s
    assert ours.notna().all(axis=None)


@needs_reference
@pytest.mark.parametrize("name", FILES)
def test_the_command_reproduces_the_authors(name: str, tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    reference = str(REFERENCES / f"{name}.csv.gz")
    words = ["fidelity", "events", "--reference", reference, "--fleet", "A=2,B=2"]
    assert run([*words, "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert set(report["models"]) == {"A", "B"}
    for figures in (report["overall"], *report["models"].values()):
        assert figures["unfinished"] == 0
        assert figures["ttft_mae_rel"] < 1e-6 and figures["e2e_mae_rel"] < 1e-6
        for column in ("ttft", "e2e"):
            for p in (50, 90, 99):
                assert figures[f"{column}_p{p}_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert path.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.skipif(not default_tables().is_dir(), reason="needs the latency tables")
@pytest.mark.parametrize(
    ("fleet", "rate", "median_prompt"),
    [
        ({"A": 1, "B": 3}, 2.0, 5000.0),
        ({"A": 1, "B": 1}, 1.0, 5000.0),
        ({"A": 1, "B": 2}, 0.5, 11_000.0),
        ({"A": 2, "B": 2}, 4.0, 3000.0),
        ({"B": 1, "A": 3}, 6.0, 1500.0),
    ],
)
def test_the_replay_equals_the_naive_loop_under_memory_pressure(
    fleet: dict[str, int], rate: float, median_prompt: float
) -> None:
    tables = load_tables(default_tables())
    rows = heavy(int(rate * 10), rate, median_prompt)
    expected = by_naive_loop(rows, fleet, tables)
    ours = events.replay(rows, fleet, tables)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.skipif(not default_tables().is_dir(), reason="needs the latency tables")
def test_what_locks_up_in_the_recipe_does_so_here() -> None:
    """Prompts of more than a pool, and prefilled requests that cannot reserve their output."""
    tables = load_tables(default_tables())
    rows = heavy(7, 1.0, 30_000.0, requests=300)
    rows.loc[60, ["model", "prompt_tokens"]] = ["B", 100_000]
    rows.loc[90, ["model", "prompt_tokens", "output_tokens"]] = ["B", 89_000, 2000]
    fleet = {"A": 2, "B": 2}
    expected = by_naive_loop(rows, fleet, tables)
    assert expected["e2e_s"].isna().sum() > expected["ttft_s"].isna().sum() > 0
    ours = events.replay(rows, fleet, tables)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("text", ["A", "A=0", "C=2", "A=1,A=2", "A=x", ""])
def test_a_wrong_fleet_is_an_error(text: str) -> None:
    with pytest.raises(UserError, match="--fleet"):
        events.parse_fleet(text)


GOOD = {
    "request_id": "0",
    "arrival_s": "0.5",
    "home_region": "0",
    "region_preference": "012",
    "model": "A",
    "prompt_tokens": "10",
    "output_tokens": "5",
    "ttft_s": "1.1",
    "e2e_s": "1.4",
}
HEADER = ",".join(COLUMNS)


def a_file(path: Path, **changed: str) -> Path:
    """Write a file of three rows whose second has other cells."""
    rows = [GOOD, GOOD | changed, GOOD]
    path.write_text("\n".join([HEADER, *(",".join(row.values()) for row in rows)]) + "\n")
    return path


def refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a command says before it leaves with code 2."""
    before = sorted(folder.iterdir())
    assert run(["fidelity", "events", *words, "--json", str(folder / "out.json")]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and len(shown.err) < 400
    assert sorted(folder.iterdir()) == before
    return shown.err


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("arrival_s", "soon", "expected seconds from the start"),
        ("arrival_s", "inf", "expected seconds from the start"),
        ("arrival_s", "-1", "expected seconds from the start"),
        ("arrival_s", "1700000000", "expected seconds from the start"),
        ("arrival_s", "", "an empty cell"),
        ("home_region", "900000", "expected a region, 0 to 2"),
        ("home_region", "x", "expected a region, 0 to 2"),
        ("home_region", "1.5", "expected a region, 0 to 2"),
        ("region_preference", "011", "an order of the regions such as 012"),
        ("region_preference", "", "an empty cell"),
        ("model", "B", "--fleet"),
        ("prompt_tokens", "10.5", "expected a whole number"),
        ("prompt_tokens", "0", "expected a whole number"),
        ("output_tokens", "many", "expected a whole number"),
        ("output_tokens", "3000000000", "expected a whole number"),
        ("output_tokens", "", "an empty cell"),
        ("ttft_s", "late", "expected seconds"),
        ("ttft_s", "-1", "expected seconds"),
        ("e2e_s", "inf", "expected seconds"),
        ("e2e_s", "0", "expected seconds"),
    ],
)
def test_a_cell_that_cannot_be_used(
    column: str, cell: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_file(tmp_path / "reference.csv", **{column: cell})
    line = refused(["--reference", str(path), "--fleet", "A=1"], tmp_path, capsys)
    assert f"{path}: row 2, column {column}: " in line
    assert (repr(cell) if cell else "an empty cell") in line
    assert expected in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (HEADER.encode(), "has a header and no rows"),
        (b"request_id,arrival_s\n0,1\n", "column 'home_region' is missing"),
        (HEADER.encode() + b"\n0,0.5,0,012,A,10,5,1.1,1.4,9\n", "more cells than the header"),
        (
            HEADER.encode() + b"\n0,0.5,0,012,A,10,5,1.1,\n",
            "none of its 1 rows has a value in both",
        ),
        (HEADER.encode() + b"\n0,0.5,0,012,A,10,5,,1.4\n", "columns ttft_s and e2e_s"),
        (HEADER.encode() + b"\n\xff\xfe\n", "is not UTF-8 text"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_used(
    content: bytes | None, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reference.csv"
    if content is not None:
        path.write_bytes(content)
    line = refused(["--reference", str(path), "--fleet", "A=1"], tmp_path, capsys)
    assert f"{path}: " in line and expected in line


@pytest.mark.skipif(not default_tables().is_dir(), reason="needs the latency tables")
def test_what_never_finishes_here_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reference.csv"
    pd.DataFrame([GOOD | {"prompt_tokens": "10000000"}]).to_csv(path, index=False)
    line = refused(["--reference", str(path), "--fleet", "A=1"], tmp_path, capsys)
    assert f"{path}: none of its rows" in line and "--fleet" in line


@pytest.mark.skipif(not default_tables().is_dir(), reason="needs the latency tables")
def test_every_promised_figure_is_there(tmp_path: Path) -> None:
    """A model without results has null in place of its figures."""
    path = a_file(tmp_path / "reference.csv", model="B", e2e_s="")
    out = tmp_path / "out.json"
    words = ["fidelity", "events", "--reference", str(path), "--fleet", "A=1,B=1"]
    assert run([*words, "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["compared"] == 2 and report["models"]["B"]["compared"] == 0
    names = {f"{column}_{figure}" for column in ("ttft", "e2e") for figure in events.FIGURES}
    for figures in (report, report["overall"], report["models"]["A"]):
        assert all(isinstance(figures[name], float) for name in names)
    assert all(report["models"]["B"][name] is None for name in names)
