"""The dynamics of every id are those of its version."""

from __future__ import annotations

import json

import pytest

from tests.env.common import IDS
from tests.env.golden import FILE, golden_hash


@pytest.mark.parametrize("env_id", IDS)
def test_dynamics_are_those_of_the_version(env_id: str) -> None:
    known = json.loads(FILE.read_text("utf-8"))
    assert golden_hash(env_id) == known[env_id], (
        f"the dynamics of {env_id} changed: give it a new version, or if it is not released, "
        "run python -m tests.env.golden"
    )


def test_every_id_has_a_hash() -> None:
    assert sorted(json.loads(FILE.read_text("utf-8"))) == IDS
