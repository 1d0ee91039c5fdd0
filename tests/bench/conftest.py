"""A small cluster and a comparison on it that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import sageserve_bench
from sageserve_env.scenario import Scenario, load_scenario

AGENTS = ["static", "reactive"]


@pytest.fixture(scope="session")
def small() -> Scenario:
    """Return `tiny` for a quarter of an hour."""
    return load_scenario("trap-base").replace(horizon_s=900.0)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same as a file."""
    path = tmp_path_factory.mktemp("scenario") / "small.yaml"
    path.write_text("base: trap-base\nhorizon_s: 900.0\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def compared(
    tmp_path_factory: pytest.TempPathFactory, small: Scenario
) -> tuple[Path, pd.DataFrame]:
    """Return the folder and rows of two agents on two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    rows = sageserve_bench.compare(AGENTS, scenario=small, seeds=2, output=folder)
    return folder, rows
