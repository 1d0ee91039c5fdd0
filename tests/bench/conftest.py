"""A comparison that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import sageserve_bench
from sageserve_env.scenario import Scenario

AGENTS = ["static", "reactive"]


@pytest.fixture(scope="session")
def compared(
    tmp_path_factory: pytest.TempPathFactory, small: Scenario
) -> tuple[Path, pd.DataFrame]:
    """Return the folder and rows of two agents on two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    rows = sageserve_bench.compare(AGENTS, scenario=small, seeds=2, output=folder)
    return folder, rows
