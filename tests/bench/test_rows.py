"""Rows as text, scores, and files that are never half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sageserve_bench import rows
from sageserve_bench.rows import Row


def row(agent: str, reward: float, seed: int = 1) -> Row:
    values: Row = dict.fromkeys(rows.COLUMNS, 0)
    named: Row = {"agent": agent, "scenario": "s", "trace": "t", "config_hash": "12e456789012"}
    return values | named | {"seed": seed, "reward": reward, "trace_hash": "0", "run": agent}


def test_score_is_0_for_static_and_1_for_the_oracle() -> None:
    table = [row("static", -10.0), row("oracle", -2.0), row("ilp", -4.0), row("ilp", -4.0, seed=2)]
    scores = [r["score"] for r in rows.with_scores(table)]
    assert scores == [0.0, 1.0, 0.75, None]


def test_csv_gives_back_what_was_written() -> None:
    table = [row("ilp:a=1;b=x,y", 0.1 + 0.2), row("static", -1e-17) | {"score": None, "split": "7"}]
    text = rows.to_csv(table)
    assert text.splitlines()[0].startswith(",".join(rows.COLUMNS))
    back = rows.from_csv(text)
    assert back[0]["reward"] == 0.30000000000000004
    assert back[0]["agent"] == "ilp:a=1;b=x,y"
    assert back[1]["config_hash"] == "12e456789012"  # not a number
    assert back[1]["score"] is None
    assert rows.to_csv(back) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent,seed\nilp,1\n", "no column"),
        ("", "no column"),
        (rows.to_csv([row("ilp", 1.0)]) + "ilp,s\n", "line 3 has another number of cells"),
        (rows.to_csv([row("ilp", 1.0)]).replace("1.0", "one"), "reward is no number: 'one'"),
    ],
)
def test_damaged_tables(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows.from_csv(text)


def test_clean() -> None:
    assert rows.clean(np.float64("nan")) is None
    assert rows.clean(np.int64(3)) == 3
    assert rows.clean(True) == 1
    assert rows.clean(Path("a")) == "a"


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    rows.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        rows.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
