"""Published results: the tables are those of the rows, and the commands bring the rows again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lab import __main__ as lab
from lab.__main__ import makers
from lab.markers import pages, refresh
from sageserve_bench.errors import UserError
from sageserve_bench.published import differences, read_published
from sageserve_bench.results.store import Store
from sageserve_cli import cli
from sageserve_env.scenario import load_scenario

PAGE = "# Page\n\n<!-- leaderboard NAME -->\nstale table\n<!-- /leaderboard -->\n\nafter\n"


def test_the_tables_of_the_repository_are_those_of_its_rows(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    code = lab.run(["tables", "--check"])
    shown = capsys.readouterr()
    assert code == 0, shown.out + shown.err
    for page, name in (("leaderboard", "leaderboard all"), ("environments", "package knobs")):
        assert f"<!-- {name} -->" in (repository / "docs" / f"{page}.md").read_text()


def test_every_published_folder_says_how_it_was_made(repository: Path) -> None:
    for published in read_published(repository / "benchmarks" / "results"):
        assert "--agents" in published.command and "--scenario" in published.command
        split = {row.get("split") for row in published.rows}
        assert split <= {"test", None}, f"{published.name}: not test seeds"


def test_published_rows_are_of_the_scenarios_as_they_are(repository: Path) -> None:
    for published in read_published(repository / "benchmarks" / "results"):
        played = {(row["scenario"], row["config_hash"]) for row in published.rows}
        assert played == {(name, load_scenario(name).config_hash) for name, _ in played}


@pytest.fixture
def shelf(
    compared: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return the root of a small repository with one published comparison."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text(PAGE.replace("NAME", "day"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leaderboard.md").write_text(PAGE.replace("NAME", "all"))
    small = tmp_path / "small.yaml"
    small.write_text("name: trap-base\nbase: trap-base\nhorizon_s: 900.0\n")
    command = (
        f"sageserve compare --agents static,reactive --scenario {small} "
        "--seeds 2 --workers 2 --output results/day"
    )
    words = ["publish", str(compared[0]), "--name", "day", "--command", command]
    assert lab.run(words) == 0
    return tmp_path


def test_publish_and_check(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shelf / "benchmarks" / "results" / "day"
    assert {path.name for path in folder.iterdir()} == {
        "command.txt",
        "decisions.npz",
        "results.csv",
        "summary.json",
    }
    for page in pages(shelf):
        text = page.read_text()
        assert "`reactive`" in text and "stale" not in text and text.endswith("\n\nafter\n")
    assert (
        "sageserve compare --agents static,reactive" in (shelf / "docs/leaderboard.md").read_text()
    )
    assert lab.run(["tables", "--check"]) == 0
    rows = (folder / "results.csv").read_text()
    first = rows.splitlines()[1].split(",")
    cost = rows.splitlines()[0].split(",").index("cost_usd")
    (folder / "results.csv").write_text(rows.replace(first[cost], "1.0", 1))
    capsys.readouterr()
    assert lab.run(["tables", "--check"]) == 1
    assert "README.md: is not what the rows say" in capsys.readouterr().out
    assert lab.run(["tables"]) == 0
    assert lab.run(["tables", "--check"]) == 0


def test_the_published_rows_come_again(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["benchmark", "--verify", "--output", str(shelf / "checked")]) == 0
    assert "\n4 rows reproduced exactly" in capsys.readouterr().out
    log = shelf / "checked" / "day" / "replayed" / "verified.jsonl"
    whole = log.read_text()
    log.write_text(whole[: whole.rindex("{") + 9])  # the process was killed at the last row
    assert cli.run(["benchmark", "--verify", "--output", str(shelf / "checked")]) == 0
    assert "3 of 4 rows were checked before" in capsys.readouterr().out
    assert log.read_text().splitlines()[:3] == whole.splitlines()[:3]
    assert log.read_text().endswith(whole.splitlines()[3] + "\n")
    assert cli.run(["benchmark", "day", "--output", str(shelf / "again")]) == 0
    assert "day: all 4 rows as published" in capsys.readouterr().out
    folder = shelf / "benchmarks" / "results" / "day"
    store = Store(folder)
    rows = store.read_rows()
    rows[0]["completed"] = 1
    store.write_results(rows)
    assert cli.run(["benchmark", "--output", str(shelf / "again")]) == 1
    assert "completed: published 1, again" in capsys.readouterr().out
    assert cli.run(["benchmark", "--verify"]) == 1
    (folder / "decisions.npz").unlink()
    capsys.readouterr()
    assert cli.run(["benchmark", "--verify"]) == 1
    assert "decisions are not published" in capsys.readouterr().out


def test_rows_that_are_missing_are_said(shelf: Path) -> None:
    (published,) = read_published(shelf / "benchmarks" / "results")
    assert differences(published, list(published.rows)) == []
    assert "not in the rerun" in differences(published, list(published.rows[1:]))[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("command.txt", None, "command.txt: not found"),
        ("command.txt", "make compare\n", "expected one command"),
        ("command.txt", "sageserve compare\nsageserve compare\n", "expected one command"),
        ("results.csv", "agent\nilp\n", "no column 'scenario'"),
    ],
)
def test_a_folder_that_is_not_whole(shelf: Path, name: str, text: str | None, message: str) -> None:
    path = shelf / "benchmarks" / "results" / "day" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_published(shelf / "benchmarks" / "results")


@pytest.mark.parametrize(
    ("run", "words", "message"),
    [
        (lab.run, ["tables", "--results", "nowhere"], "nowhere: not found"),
        (lab.run, ["publish", "x"], "Missing option '--name'"),
        (cli.run, ["benchmark", "night"], "'night' is not published; there are day"),
    ],
)
def test_bad_input(
    shelf: Path,
    run: Callable[[list[str]], int],
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_a_page_that_asks_for_more(shelf: Path) -> None:
    (shelf / "README.md").write_text(PAGE.replace("NAME", "week"))
    with pytest.raises(UserError, match="leaderboard week: not published; there are day"):
        refresh(shelf, makers(shelf / "benchmarks" / "results"), check=True)


def test_targets_without_a_summary(shelf: Path) -> None:
    folder = shelf / "benchmarks" / "results" / "day"
    (published,) = read_published(folder.parent)
    said = json.loads((folder / "summary.json").read_text())["targets"]
    (folder / "summary.json").unlink()
    assert published.targets("o365-day") == said
