"""What every test shares: a headless, reproducible set-up and a small cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario, load_scenario

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

# The first example of a property compiles Numba kernels, which no deadline allows for.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", parent=settings.get_profile("suite"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards the routers and disciplines that a test has registered."""
    for registry in (ROUTERS, DISCIPLINES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parents[1]


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
