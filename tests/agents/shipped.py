"""Agents that need weights: tested where those are shipped."""

from __future__ import annotations

from typing import Any

import pytest

from sageserve_agents import Agent, make_agent


def make_or_skip(spec: str, **options: Any) -> Agent:
    """Return an agent; skip the test if its extra is missing or no checkpoint of it is shipped."""
    try:
        return make_agent(spec, **options)
    except ImportError as error:
        pytest.skip(str(error))
    except ValueError as error:
        if "checkpoint" not in str(error):
            raise
        pytest.skip(f"no checkpoint is shipped: {error}")
